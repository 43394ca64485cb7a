"""What instruction sets show, and what they must not give away."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from crystalicl_jobflow.prompts import prefix_lines, response_text
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.alignment import align, with_positions
from crystalicl_jobflow.text.formats import crystal_text
from crystalicl_jobflow.training import BASE_MIXTURE, HYBRID_MIXTURE, InstructionSet, Mixture
from crystalicl_jobflow.training.data.instructions import draw_condition
from crystalicl_jobflow.training.data.mixtures import Variation

FEW_SHOT = Mixture(kinds={"few-shot": 1.0}, conditions={"group": 1.0}, strategies={"C": 1.0})


def test_the_same_seed_gives_the_same_instructions_and_epochs_differ(prototypes) -> None:
    first, second = (InstructionSet(prototypes, seed=5) for _ in range(2))
    assert list(first.epoch(0)) == list(second.epoch(0))
    assert [i.prompt for i in first.epoch(0)] != [i.prompt for i in first.epoch(1)]


def test_an_epoch_asks_for_every_crystal_once(prototypes) -> None:
    asked = [i.crystal_id for i in InstructionSet(prototypes).epoch(0)]
    assert sorted(asked) == sorted(p.demonstration.demonstration_id for p in prototypes)


def test_weights_thin_out_a_source(prototypes) -> None:
    thinned = InstructionSet(prototypes, weights={"prototypes": 0.3})
    assert 0 < len(thinned.order(0)) < 0.6 * len(prototypes)
    assert thinned.order(0) != thinned.order(1)


@pytest.mark.parametrize("text_format", ["sgs", "sgsw"])
def test_responses_decode_to_the_crystal_asked_for(prototypes, text_format) -> None:
    only = Mixture(kinds={"zero-shot": 1.0})
    by_id = {p.demonstration.demonstration_id: p for p in prototypes}
    for instruction in InstructionSet(prototypes, text_format=text_format, mixture=only).epoch(0):
        asked = by_id[instruction.crystal_id]
        assert instruction.prompt.endswith("### Response:")
        if text_format == "sgs":
            structure = SGS.decode(instruction.response)
            assert structure.composition.reduced_formula == asked.demonstration.formula
        else:
            assert instruction.response == response_text(crystal_text(asked.crystal, "sgsw"))


def test_a_demonstration_is_never_the_crystal_asked_for(prototypes) -> None:
    by_id = {p.demonstration.demonstration_id: p.demonstration for p in prototypes}
    shown = 0
    for epoch in range(3):
        for instruction in InstructionSet(prototypes, mixture=FEW_SHOT).epoch(epoch):
            asked = by_id[instruction.crystal_id]
            for other_id in instruction.demonstration_ids:
                other = by_id[other_id]
                assert (other.formula, other.space_group) != (asked.formula, asked.space_group)
                shown += 1
    assert shown > len(prototypes)


def test_c_shows_crystals_of_the_same_anonymous_formula_where_there_are_any(prototypes) -> None:
    by_id = {p.demonstration.demonstration_id: p.demonstration for p in prototypes}
    crowd = Counter(
        (p.demonstration.anonymous_formula, p.demonstration.space_group) for p in prototypes
    )
    one = Mixture(
        kinds=FEW_SHOT.kinds, conditions=FEW_SHOT.conditions, strategies={"C": 1.0}, shots={1: 1.0}
    )
    checked = 0
    for instruction in InstructionSet(prototypes, mixture=one).epoch(0):
        asked = by_id[instruction.crystal_id]
        key = (asked.anonymous_formula, asked.space_group)
        if crowd[key] > 1 and instruction.demonstration_ids:
            other = by_id[instruction.demonstration_ids[0]]
            assert (other.anonymous_formula, other.space_group) == key
            checked += 1
    assert checked


def test_examples_mark_the_shown_texts(prototypes) -> None:
    marked = 0
    for instruction in InstructionSet(prototypes, mixture=FEW_SHOT).epoch(0):
        assert len(instruction.examples) == len(instruction.demonstration_ids)
        for start, end in instruction.examples:
            text = instruction.prompt[start:end]
            assert text == "\n" + prefix_lines(SGS.format(SGS.parse(text)))
            marked += 1
    assert marked


def test_kinds_come_in_their_shares(prototypes) -> None:
    for mixture in (BASE_MIXTURE, HYBRID_MIXTURE):
        instructions = InstructionSet(prototypes, mixture=mixture)
        kinds = Counter(
            instruction.kind.split()[0]
            for epoch in range(12)
            for instruction in instructions.epoch(epoch)
        )
        share = kinds["few-shot"] / kinds.total()
        assert share == pytest.approx(mixture.kinds["few-shot"], abs=0.06)
        assert kinds["property"]


def test_without_fingerprints_structural_strategies_are_named_as_what_they_are(prototypes) -> None:
    mixture = Mixture(kinds={"few-shot": 1.0}, strategies={"F": 0.5, "CF": 0.5})
    kinds = {i.kind for i in InstructionSet(prototypes, mixture=mixture).epoch(0)}
    assert kinds == {"few-shot R for F", "few-shot C for CF"}


def test_the_paper_condition_asks_for_everything_known(prototypes) -> None:
    item = next(p.demonstration for p in prototypes if p.demonstration.properties)
    condition = draw_condition(item, "all", random.Random(0))
    assert condition.formula == item.formula
    assert condition.space_group == item.space_group
    assert dict(condition.properties) == item.properties
    assert draw_condition(item, "empty", random.Random(0)) == Condition()


def test_subsets_never_contradict_themselves(prototypes) -> None:
    rng = random.Random(1)
    for item in (prototype.demonstration for prototype in prototypes):
        for _ in range(5):
            asked = draw_condition(item, "subset", rng)
            assert asked.formula in (None, item.formula)
            assert asked.anonymous_formula in (None, item.anonymous_formula)
            assert asked.chemsys in (None, item.chemsys)
            assert set(asked.elements or ()) <= set(item.elements)
            assert asked.space_group in (None, item.space_group)
            assert asked.num_sites in (None, item.num_sites)
            assert asked.properties.items() <= item.properties.items()


def test_property_responses_are_the_number_after_a_blank(prototypes) -> None:
    mixture = Mixture(kinds={"property": 1.0})
    by_id = {p.demonstration.demonstration_id: p.demonstration for p in prototypes}
    found = [
        i for i in InstructionSet(prototypes, mixture=mixture).epoch(0) if "[MASK]" in i.prompt
    ]
    assert found
    for instruction in found:
        assert instruction.response[0] == " "
        expected = by_id[instruction.crystal_id].properties["band_gap"]
        assert float(instruction.response) == pytest.approx(expected, abs=1e-4)


def test_an_unknown_variant_is_refused(prototypes) -> None:
    with pytest.raises(ValueError, match="'poscar' is not one of sgs, sgsw, xyz, cif"):
        crystal_text(prototypes[0].crystal, "poscar")
    with pytest.raises(ValueError, match="'poscar' is not one of sgs, sgsw, xyz, cif"):
        InstructionSet(prototypes, text_format="poscar")
    with pytest.raises(ValueError, match="'vicuna' is not one of crystalicl, alpaca"):
        InstructionSet(prototypes, template="vicuna")


def test_what_is_to_be_copied_stands_line_by_line(prototypes) -> None:
    mixture = Mixture(
        kinds={"few-shot": 1.0}, conditions={"group": 1.0}, strategies={"CE": 1.0}, shots={3: 1.0}
    )
    structures = defaultdict(list)
    for item in prototypes:
        letters = [site.wyckoff_letter for site in item.crystal.sites]
        structures[item.crystal.space_group_number, *sorted(letters)].append(item)
    alike = [item for items in structures.values() if len(items) > 1 for item in items]
    by_id = {item.demonstration.demonstration_id: item.demonstration for item in alike}
    variation = Variation(augment=1.0, aligned=True)
    instructions = InstructionSet(alike, mixture=mixture, variation=variation)
    written = found = moved = 0
    for instruction in instructions.epoch(0):
        asked = by_id[instruction.crystal_id]
        crystal = SGS.decode(instruction.response)
        assert crystal.composition.reduced_formula == asked.formula
        moved += instruction.response != response_text(asked.text)
        (start, end), *_ = instruction.examples
        first = with_positions(SGS.parse(instruction.prompt[start:end]))
        last = with_positions(SGS.parse(instruction.response))
        aligned = align(last, first)
        if aligned is not None:
            written += SGS.format(aligned.crystal) == SGS.format(last)
            found += 1
    assert found > 3
    assert written > 0.8 * found
    assert moved > 3
