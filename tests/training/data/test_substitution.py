"""Crystals with other elements: the same structure of a compound nobody knows."""

from __future__ import annotations

import random

import pytest
from pymatgen.analysis.structure_matcher import FrameworkComparator, StructureMatcher
from pymatgen.core import Composition, Element, Lattice, Structure

from crystalicl_jobflow.prompts import prefix_lines
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training import InstructionSet, Mixture, TrainingCrystal, training_crystal
from crystalicl_jobflow.training.data.made_up_pairs import SPREAD, substitute
from crystalicl_jobflow.training.data.mixtures import Variation


def perovskite(formula: str, length: float) -> TrainingCrystal:
    names = [element.symbol for element in Composition(formula)]
    structure = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(length), names, [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    return training_crystal(structure, name=formula, source="made", properties={"band_gap": 1.0})


PEROVSKITES = [
    perovskite("CaTiO3", 3.9),
    perovskite("SrTiO3", 3.91),
    perovskite("BaZrO3", 4.2),
    perovskite("KMgF3", 4.0),
]


def test_structure_group_and_stoichiometry_stay() -> None:
    matcher = StructureMatcher(comparator=FrameworkComparator())
    rng = random.Random(0)
    formulas = set()
    for _ in range(20):
        for item in PEROVSKITES:
            other = substitute(item, rng)
            assert other is not None
            assert other.demonstration.space_group == 221
            assert other.demonstration.anonymous_formula == "ABC3"
            assert other.demonstration.properties == {}
            assert matcher.fit(SGS.build(other.crystal), SGS.build(item.crystal))
            formulas.add(other.demonstration.formula)
    assert len(formulas) > 60


def test_replacements_are_similar_and_distinct() -> None:
    rng = random.Random(1)
    for _ in range(50):
        other = substitute(PEROVSKITES[0], rng)
        assert other is not None
        assert len(other.demonstration.elements) == 3
        anion = next(
            element
            for element, amount in Composition(other.demonstration.formula).items()
            if amount == 3
        )
        assert abs(Element(anion.symbol).mendeleev_no - Element("O").mendeleev_no) <= SPREAD


def test_larger_atoms_make_a_larger_cell() -> None:
    rng = random.Random(2)
    volumes = {}
    for _ in range(60):
        other = substitute(PEROVSKITES[0], rng)
        assert other is not None
        spheres = sum(
            float(element.atomic_radius) ** 3 * amount
            for element, amount in Composition(other.demonstration.formula).items()
            if element.atomic_radius
        )
        volumes[spheres] = SGS.build(other.crystal).volume
    smallest, largest = min(volumes), max(volumes)
    assert volumes[largest] > volumes[smallest]


def test_only_the_examples_tell_the_structure_of_a_substituted_crystal() -> None:
    mixture = Mixture(
        kinds={"few-shot": 1.0}, conditions={"group": 1.0}, strategies={"C": 1.0}, shots={2: 1.0}
    )
    known = {item.demonstration.formula for item in PEROVSKITES}
    plain = InstructionSet(PEROVSKITES, mixture=mixture, seed=3)
    other = InstructionSet(
        PEROVSKITES, mixture=mixture, seed=3, variation=Variation(substitute=1.0)
    )
    for index, item in enumerate(PEROVSKITES):
        instruction = other.instruction(index, 0)
        # the response answers the formula of its own prompt
        asked = instruction.prompt.rsplit("The chemical formula is ", 1)[1].split(". ")[0]
        assert asked not in known
        decoded = SGS.decode(instruction.response.replace("### ", "").strip())
        assert decoded.composition.reduced_formula == Composition(asked).reduced_formula
        # what is shown is real
        assert len(instruction.demonstration_ids) == 2
        assert set(instruction.demonstration_ids) <= {f"made:{name}" for name in known}
        assert prefix_lines(item.demonstration.text) in plain.instruction(index, 0).response


def test_zero_shot_instructions_ask_for_real_crystals_only() -> None:
    mixture = Mixture(kinds={"zero-shot": 1.0}, conditions={"group": 1.0})
    plain = InstructionSet(PEROVSKITES, mixture=mixture)
    other = InstructionSet(PEROVSKITES, mixture=mixture, variation=Variation(substitute=1.0))
    assert list(plain.epoch(0)) == list(other.epoch(0))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_same_seed_gives_the_same_instructions(share: float) -> None:
    one, two = (
        InstructionSet(PEROVSKITES, seed=7, variation=Variation(substitute=share)) for _ in range(2)
    )
    assert list(one.epoch(2)) == list(two.epoch(2))
