"""Random walks: whatever is drawn from the allowed tokens ends in what is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.base import GenerationRequest, TokenVocabulary
from crystalicl_jobflow.generation.constraints import (
    ConstraintOptions,
    ImpossibleConditionError,
    SGSConstraint,
    build_constraint,
    symmetry_accept,
)
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.schemas import Condition, FailureReason
from crystalicl_jobflow.text import SGS, SGSW

from .writing import walk


def feasible_request(
    number: int, rng: np.random.Generator, text_format: str = "sgs"
) -> tuple[Condition, SGSConstraint]:
    """Return a random formula that can be built in a group."""
    while True:
        names = rng.choice(ELEMENTS[:94], rng.integers(1, 5), replace=False)
        formula = "".join(f"{name}{rng.integers(1, 6)}" for name in names)
        condition = Condition(formula=formula, space_group=number)
        try:
            constraint = build_constraint(condition, ConstraintOptions(max_atoms=40), text_format)
        except ImpossibleConditionError:
            continue
        assert constraint is not None
        return condition, constraint


@pytest.mark.parametrize("number", range(1, 231))
def test_walks_in_every_group(number: int, words: TokenVocabulary) -> None:
    rng = np.random.default_rng(number)
    condition, constraint = feasible_request(number, rng)
    text, state = walk(constraint, words, number)

    structure = SGS.decode(text)
    assert structure.composition.reduced_formula == condition.formula
    primitive = len(structure) // wyckoff.centring_multiplicity(number)
    assert primitive <= 40
    written = SGS.parse(text)
    assert written.space_group_number == number
    assert wyckoff.constrain_lattice(written.lengths, written.angles, number) == (
        pytest.approx(written.lengths),
        pytest.approx(written.angles),
    )
    # what the constraint counted is what the text decodes to
    assert {
        name: n * wyckoff.centring_multiplicity(number) for name, n in state.counts.items()
    } == structure.composition.get_el_amt_dict()
    if not state.relaxed:
        # unlike the distance matrix, with each site's own images
        assert not len(structure.get_neighbor_list(0.7 - 1e-6)[0])


@pytest.mark.parametrize("number", [1, 2, 14, 19, 62, 82, 123, 141, 160, 167, 194, 205, 221, 227])
def test_found_group_is_a_supergroup(number: int, words: TokenVocabulary) -> None:
    """The group found is the one asked for, or higher by accident; accept tells which."""
    rng = np.random.default_rng(number)
    reasons = []
    for seed in range(4):
        condition, constraint = feasible_request(number, rng)
        text, _ = walk(constraint, words, [number, seed])
        reasons.append(symmetry_accept(condition)(text, GenerationRequest("")))
        declared = wyckoff.operations(number)
        found = SGS.analyze(SGS.decode(text))
        assert len(wyckoff.operations(found.space_group_number)) >= len(declared) or (
            reasons[-1] is not None
        )
    assert set(reasons) <= {None, FailureReason.SYMMETRY_DIFFERS}
    assert None in reasons


def test_accept_sees_a_higher_group() -> None:
    accept = symmetry_accept(Condition(space_group=123))
    cubic = "P4/mmm\n4.2 4.2 4.2\n90 90 90\nPo\n0.00 0.00 0.00"
    assert accept(cubic, GenerationRequest("")) is FailureReason.SYMMETRY_DIFFERS
    assert accept(cubic.replace("4.2 4.2 4.2", "4.2 4.2 5.0"), GenerationRequest("")) is None
    assert accept("P4/mmm\n4.2 4.2", GenerationRequest("")) is not None
    either = symmetry_accept(Condition(space_group=[123, 221]))
    assert either(cubic, GenerationRequest("")) is None


@pytest.mark.parametrize("number", [1, 5, 47, 62, 99, 139, 166, 176, 194, 216, 225, 230])
def test_walks_with_wyckoff_letters(number: int, words: TokenVocabulary) -> None:
    rng = np.random.default_rng(number)
    for seed in range(3):
        condition, constraint = feasible_request(number, rng, "sgsw")
        text, state = walk(constraint, words, [number, seed])
        structure = SGSW.decode(text)
        assert structure.composition.reduced_formula == condition.formula
        sites = SGSW.parse(text).sites
        assert all(site.wyckoff_letter for site in sites)
        assert sum(state.counts.values()) * wyckoff.centring_multiplicity(number) == len(structure)


@pytest.mark.parametrize(
    ("fields", "ok"),
    [
        ({}, lambda s: True),
        ({"chemsys": "Ca-Ti-O"}, lambda s: set(s.symbol_set) == {"Ca", "Ti", "O"}),
        ({"elements": ["Li", "O"]}, lambda s: {"Li", "O"} <= set(s.symbol_set)),
        ({"anonymous_formula": "ABC3"}, lambda s: _anonymous(s) == "ABC3"),
        (
            {"anonymous_formula": "ABC3", "elements": ["O"], "space_group": [62, 221]},
            lambda s: _anonymous(s) == "ABC3" and "O" in s.symbol_set,
        ),
        (
            {"anonymous_formula": "AB2", "chemsys": "Mg-H"},
            lambda s: _anonymous(s) == "AB2" and set(s.symbol_set) == {"Mg", "H"},
        ),
        (
            {"formula": "NaCl", "num_sites": {"min": 4, "max": 6}, "space_group": [1, 4, 225]},
            lambda s: s.composition.reduced_formula == "NaCl",
        ),
        ({"chemsys": "Si", "num_sites": 3, "space_group": [143, 166]}, lambda s: True),
        ({"num_sites": {"min": 5, "max": 5}}, lambda s: True),
        ({"formula": "O2"}, lambda s: set(s.symbol_set) == {"O"}),
        ({"space_group": 227, "num_sites": {"max": 8}}, lambda s: True),
        ({"properties": {"band_gap": 1.0}, "formula": "GaN"}, lambda s: True),
    ],
)
def test_every_kind_of_condition(fields: dict, ok: object, words: TokenVocabulary) -> None:
    condition = Condition(**fields)
    constraint = build_constraint(condition, ConstraintOptions(max_atoms=20))
    assert constraint is not None
    for seed in range(6):
        text, _ = walk(constraint, words, seed)
        structure = SGS.decode(text)
        number = SGS.parse(text).space_group_number
        assert ok(structure), text
        if condition.formula:
            assert structure.composition.reduced_formula == condition.formula
        if condition.space_groups:
            assert number in condition.space_groups
        atoms = len(structure) / wyckoff.centring_multiplicity(number)
        assert atoms <= 20
        asked = condition.num_sites
        if isinstance(asked, int):
            assert atoms == asked
        elif asked is not None:
            assert asked.contains(atoms)


def _anonymous(structure: object) -> str:
    return Composition(structure.composition.reduced_formula).anonymized_formula


def test_a_limit_on_orbits_is_kept(words: TokenVocabulary) -> None:
    condition = Condition(formula="CaTiO3", space_group=[47, 62, 221])
    constraint = build_constraint(condition, ConstraintOptions(max_orbits=4))
    assert constraint is not None
    for seed in range(6):
        text, _ = walk(constraint, words, seed)
        assert len(SGS.parse(text).sites) <= 4
        assert SGS.decode(text).composition.reduced_formula == "CaTiO3"


def test_the_same_seed_writes_the_same_text(words: TokenVocabulary) -> None:
    constraint = build_constraint(Condition(formula="SiO2", space_group=92))
    assert constraint is not None
    assert walk(constraint, words, 1)[0] == walk(constraint, words, 1)[0]
