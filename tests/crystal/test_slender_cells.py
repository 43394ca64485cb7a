"""Long, thin cells: an angle tolerance of 5° is several Å there."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.symmetry import group_number, is_slender, structure_dataset


@pytest.mark.parametrize(
    ("parameters", "slender"),
    [
        ((57, 4, 4, 60, 60, 60), True),
        ((4, 4, 46.57, 90, 91.85, 120), True),
        ((4.4, 4.4, 30.5, 90, 90, 120), False),
        ((4, 4, 39.9, 90, 90, 90), False),
        ((4, 4, 40.1, 90, 90, 90), True),
        # a long vector of a cell that is not long
        ((4, 4, 57, 90, 4, 90), False),
    ],
)
def test_the_reduced_cell_decides(parameters: tuple[float, ...], slender: bool) -> None:
    assert is_slender(Lattice.from_parameters(*parameters).matrix) is slender


@pytest.mark.parametrize("form", ["as written", "reduced"])
def test_the_group_is_that_of_the_crystal(form: str) -> None:
    """Bent by 1.8°, the crystal of a 57 Å text is monoclinic; 5° took it for hexagonal."""
    structure = Structure(
        Lattice.from_parameters(57, 4, 4, 60, 60, 60),
        ["Cl", "Na"],
        [[0.5, 0.5, 0.5], [0, 0, 0]],
    )
    if form == "reduced":
        structure = structure.get_reduced_structure("LLL")
    assert structure_dataset(structure).number == group_number(structure) == 12


def test_a_right_slender_cell_keeps_its_group() -> None:
    z = np.arange(12) / 12
    sites = [[0, 0, x] for x in z]
    structure = Structure(Lattice.tetragonal(4, 60), ["Na"] + ["Cl"] * 11, sites)
    assert structure_dataset(structure).number == 123
