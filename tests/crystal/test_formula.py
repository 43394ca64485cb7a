"""One crystal has one formula, whichever cell and however its occupancies are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from crystalicl_jobflow.crystal.formula import crystal_composition, whole_composition


def salt(sodium: float) -> Structure:
    """Rock salt of Na and K, in its conventional cell."""
    cations = {"Na": sodium, "K": 1 - sodium}
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(6.0), [cations, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.mark.parametrize(
    ("sodium", "formula", "anonymous"),
    [
        (0.5, "KNaCl2", "ABC2"),
        (0.25, "K3NaCl4", "AB3C4"),
        (0.333, "K2NaCl3", "AB2C3"),
        (0.67, "K33Na67Cl100", "A33B67C100"),
    ],
)
def test_every_cell_of_a_disordered_crystal_has_the_same_formula(
    sodium: float, formula: str, anonymous: str
) -> None:
    conventional = salt(sodium)
    cells = (conventional, conventional.get_primitive_structure(), conventional * (2, 1, 1))
    assert [len(cell) for cell in cells] == [8, 2, 16]
    for cell in cells:
        composition = crystal_composition(cell)
        assert composition.reduced_formula == formula
        assert composition.anonymized_formula == anonymous


def test_shares_of_a_split_site_add_up_before_they_are_rounded() -> None:
    third = {"Li": 0.333}
    coords = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.5, 0.5, 0.5]]
    crystal = Structure(Lattice.cubic(5), [third, third, third, "F"], coords)
    assert crystal_composition(crystal) == Composition("LiF")


def test_oxidation_states_do_not_matter() -> None:
    charged = salt(0.5)
    charged.add_oxidation_state_by_element({"Na": 1, "K": 1, "Cl": -1})
    assert crystal_composition(charged) == crystal_composition(salt(0.5))


def test_without_atoms_there_is_no_formula() -> None:
    assert crystal_composition(Structure(Lattice.cubic(3), [], [])).reduced_formula == ""


@given(
    st.dictionaries(st.sampled_from(["Na", "Fe", "O", "Cl"]), st.integers(1, 12), min_size=1),
    st.integers(1, 6),
)
def test_whole_numbers_are_reduced_as_pymatgen_does(amounts: dict[str, int], factor: int) -> None:
    large = Composition({symbol: amount * factor for symbol, amount in amounts.items()})
    assert whole_composition(large).reduced_formula == Composition(amounts).reduced_formula
