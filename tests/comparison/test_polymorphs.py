"""Which of the known crystals of a composition are found."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.comparison import polymorphs
from crystalicl_jobflow.comparison.polymorphs import match_polymorphs
from crystalicl_jobflow.schemas import Rate


def caesium_chloride(ratio: float = 1.0) -> Structure:
    """Return a crystal of the CsCl type, tetragonal where c/a is not 1."""
    return Structure(
        Lattice.tetragonal(4.0, 4.0 * ratio), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture
def references(nacl: Structure) -> list[Structure]:
    """Return NaCl of two types, the first one twice, and CsCl."""
    high_pressure = Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return [nacl, nacl.get_primitive_structure(), high_pressure, caesium_chloride()]


def test_distinct_references_are_found_by_any_crystal(
    nacl: Structure, references: list[Structure]
) -> None:
    found = match_polymorphs([nacl * (1, 1, 2), None, caesium_chloride(1.1)], references)
    assert found.num_polymorphs == 3
    assert found.best == {0: 0, 2: 3}
    assert found.rates == {
        "polymorphs": Rate(rate=2 / 3, count=2, of=3),
        "polymorphs_of_many": Rate(rate=1 / 2, count=1, of=2),
    }


def test_nothing_found_is_a_rate_of_nothing(references: list[Structure]) -> None:
    found = match_polymorphs([None], references)
    assert found.best == {}
    assert found.rates["polymorphs"] == Rate(rate=0, count=0, of=3)
    assert match_polymorphs([None], []).rates["polymorphs"].rate is None


def test_what_is_known_is_not_compared_again(nacl: Structure, references: list[Structure]) -> None:
    compared = {(0, id(references[0])): None, (0, id(references[2])): 0.1}
    found = match_polymorphs([nacl], references, compared=compared)
    assert found.best == {0: 2}


def test_of_several_the_one_with_the_lowest_displacement_counts() -> None:
    references = [caesium_chloride(1.0), caesium_chloride(1.6)]
    between = caesium_chloride(1.28)
    assert match_polymorphs([between], references).rates["polymorphs"].count == 2
    compared = {(0, id(references[0])): 0.2, (0, id(references[1])): 0.1}
    assert match_polymorphs([between], references, compared=compared).best == {0: 1}


def test_a_formula_with_too_many_crystals_is_left_out_and_named(
    nacl: Structure, references: list[Structure], monkeypatch, caplog
) -> None:
    """One formula such as Carbon-24's takes the square of its crystals."""
    monkeypatch.setattr(polymorphs, "MAX_POLYMORPH_PAIRS", 8)
    found = match_polymorphs([nacl, nacl.copy(), caesium_chloride(1.1)], references)
    assert "NaCl: 9 comparisons for its polymorphs; they are not counted" in caplog.text
    assert found.rates["polymorphs"] == Rate(rate=1, count=1, of=1)
    assert found.best == {2: 3}
    only = match_polymorphs([nacl, nacl.copy()], references[:3])
    assert only.rates["polymorphs"].rate is None
    assert only.num_polymorphs == 0
