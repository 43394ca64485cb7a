"""Made-up crystals: what one of them looks like, only its twin among the examples tells."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition, Element

from crystalicl_jobflow.crystal.formula import element_rank
from crystalicl_jobflow.crystal.wyckoff import wyckoff_index
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training import (
    InstructionSet,
    Mixture,
    TrainingCrystal,
    read_training_crystals,
    read_training_data,
)
from crystalicl_jobflow.training.data.batches import encode_instruction
from crystalicl_jobflow.training.data.made_up_pairs import MADE_UP, SPREAD, made_up_pair
from crystalicl_jobflow.training.data.mixtures import Variation
from crystalicl_jobflow.training.tokenizer import build_tokenizer

FEW_SHOT = Mixture(
    kinds={"few-shot": 1.0}, conditions={"group": 1.0}, strategies={"C": 1.0}, shots={3: 1.0}
)


@pytest.fixture(scope="module")
def prototypes() -> list[TrainingCrystal]:
    return read_training_data(["prototypes"]).crystals


def made(items: list[TrainingCrystal]) -> list[tuple[TrainingCrystal, TrainingCrystal]]:
    rng = random.Random(0)
    pairs = [made_up_pair(item, rng) for item in items]
    assert sum(pair is None for pair in pairs) < 0.05 * len(items)
    return [pair for pair in pairs if pair is not None]


def test_both_have_one_structure(prototypes: list[TrainingCrystal]) -> None:
    for shown, asked in made(prototypes):
        first, second = shown.crystal, asked.crystal
        assert first.space_group_number == second.space_group_number
        assert first.angles == second.angles
        assert [s.frac_coords for s in first.sites] == [s.frac_coords for s in second.sites]
        ratios = [a / b for a, b in zip(first.lengths, second.lengths, strict=True)]
        assert ratios == pytest.approx([ratios[0]] * 3)


def test_group_positions_and_stoichiometry_are_those_of_a_real_crystal(
    prototypes: list[TrainingCrystal],
) -> None:
    rng = random.Random(1)
    for item in prototypes:
        pair = made_up_pair(item, rng)
        for one in pair or ():
            known, new = item.demonstration, one.demonstration
            assert new.space_group == known.space_group
            assert new.num_sites == known.num_sites
            assert new.anonymous_formula == known.anonymous_formula
            assert new.properties == {}
            assert Composition(new.formula).anonymized_formula == known.anonymous_formula
            sites = one.crystal.sites
            points = [list(site.frac_coords) for site in sites]
            sizes = [site.multiplicity or 0 for site in sites]
            assert sizes == [s.multiplicity for s in item.crystal.sites]
            found = wyckoff_index(np.array(points), new.space_group, np.array(sizes))
            assert (found >= 0).all()


def test_elements_are_similar_and_in_the_order_of_texts(
    prototypes: list[TrainingCrystal],
) -> None:
    for item in prototypes:
        pair = made_up_pair(item, random.Random(2))
        old = sorted(item.demonstration.elements, key=element_rank)
        for one in pair or ():
            new = sorted(one.demonstration.elements, key=element_rank)
            assert len(set(new)) == len(old)
            for before, after in zip(old, new, strict=True):
                distance = abs(Element(before).mendeleev_no - Element(after).mendeleev_no)
                assert distance <= SPREAD
            species = [site.species for site in one.crystal.sites]
            assert all(element_rank(a) <= element_rank(b) for a, b in pairwise(species))


def test_cells_and_coordinates_are_drawn_anew(prototypes: list[TrainingCrystal]) -> None:
    item = max(prototypes, key=lambda crystal: crystal.num_orbits)
    rng = random.Random(3)
    texts = {
        pair[0].demonstration.text for pair in (made_up_pair(item, rng) for _ in range(20)) if pair
    }
    assert len(texts) == 20
    assert item.demonstration.text not in texts


def test_real_crystals_of_a_data_set(shared_data: Path) -> None:
    crystals, _ = read_training_crystals([shared_data / "mp_20_test.csv.gz"], limit=300)
    rng = random.Random(4)
    pairs = [made_up_pair(item, rng) for item in crystals]
    assert sum(pair is not None for pair in pairs) >= 0.95 * len(crystals)
    for pair in pairs:
        for one in pair or ():
            assert SGS.parse(one.demonstration.text).space_group_number == (
                one.demonstration.space_group
            )


def test_one_of_the_examples_has_the_structure_asked_for(
    prototypes: list[TrainingCrystal],
) -> None:
    instructions = InstructionSet(
        prototypes, mixture=FEW_SHOT, seed=5, variation=Variation(made_up=1.0)
    )
    places = set()
    for index in range(len(prototypes)):
        instruction = instructions.instruction(index, 0)
        if instruction.kind != "few-shot made up":
            continue
        twins = [name.startswith(MADE_UP) for name in instruction.demonstration_ids]
        assert sum(twins) == 1
        assert len(twins) <= 3
        if len(twins) == 3:
            places.add(twins.index(True))
        lines = instruction.response.split("\n")
        coordinates = [line for line in lines if line.count(".") == 3][1:]
        assert "\n".join(lines[:1]) in instruction.prompt
        for line in coordinates:
            assert line in instruction.prompt
    assert places == {0, 1, 2}


def test_beside_a_made_up_example_only_the_response_is_learned(
    prototypes: list[TrainingCrystal],
) -> None:
    instructions = InstructionSet(
        prototypes, mixture=FEW_SHOT, seed=6, variation=Variation(made_up=1.0)
    )
    tokenizer = build_tokenizer("sgs")
    for index in range(40):
        instruction = instructions.instruction(index, 0)
        with_examples = encode_instruction(tokenizer, instruction, examples=True)
        response_only = encode_instruction(tokenizer, instruction)
        made_up = instruction.kind == "few-shot made up"
        assert (with_examples == response_only) == made_up


def test_zero_shot_instructions_stay_real(prototypes: list[TrainingCrystal]) -> None:
    mixture = Mixture(kinds={"zero-shot": 1.0}, conditions={"group": 1.0})
    plain = InstructionSet(prototypes, mixture=mixture)
    other = InstructionSet(prototypes, mixture=mixture, variation=Variation(made_up=1.0))
    assert list(plain.epoch(0)) == list(other.epoch(0))


def test_the_same_seed_gives_the_same_instructions(prototypes: list[TrainingCrystal]) -> None:
    one, two = (
        InstructionSet(prototypes, seed=7, variation=Variation(made_up=0.5)) for _ in range(2)
    )
    assert list(one.epoch(2)) == list(two.epoch(2))
    assert {i.kind for i in one.epoch(2)} >= {"few-shot made up"}


def test_the_second_is_written_as_the_first_whatever_its_elements(
    prototypes: list[TrainingCrystal],
) -> None:
    rng = random.Random(4)
    pairs = [made_up_pair(item, rng, aligned=True) for item in prototypes]
    out_of_order = 0
    for shown, asked in (pair for pair in pairs if pair is not None):
        mapping: dict[str, str] = {}
        for first, second in zip(shown.crystal.sites, asked.crystal.sites, strict=True):
            assert first.frac_coords == second.frac_coords
            assert mapping.setdefault(first.species, second.species) == second.species
        names = sorted(mapping, key=element_rank)
        drawn = [mapping[name] for name in names]
        out_of_order += drawn != sorted(drawn, key=element_rank)
    assert out_of_order > 10
