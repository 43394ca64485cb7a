"""The gate for numbers and sizes: what passes, and what each fault is called."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal import bounds
from crystalicl_jobflow.crystal.symmetry import (
    has_group,
    spglib_dataset,
    standard_cell,
    structure_dataset,
)

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_real_cells_pass() -> None:
    assert bounds.structure_fault(ROCK_SALT) is None
    skewed = Lattice.from_parameters(0.5, 1000, 30, 90, 90, 20)
    assert bounds.lattice_fault(skewed.matrix) is None
    assert bounds.coordinates_fault([[-10, 10, 0.5]]) is None
    assert bounds.num_sites_fault(2000) is None
    assert bounds.number_fault("-0.123456789012345678901234567") is None
    assert bounds.text_fault("x" * 1_000_000) is None


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.full((3, 3), np.nan), "not nine finite numbers"),
        (np.diag([4, 4, np.inf]), "not nine finite numbers"),
        (np.eye(2), "not nine finite numbers"),
        (np.diag([4, 4, 1e-8]), "length of 1e-08 Å is not between 0.5 and 1000"),
        (np.diag([4, 4, 0.0]), "length of 0 Å"),
        (np.diag([4, 4, 1001.0]), "length of 1001 Å"),
        (np.array([[4, 0, 0], [4, 0.02, 0], [0, 0, 4.0]]), "span no volume"),
    ],
)
def test_lattices_that_are_none(matrix: np.ndarray, message: str) -> None:
    assert message in (bounds.lattice_fault(matrix) or "")


@pytest.mark.parametrize(
    "angles", [(0, 90, 90), (90, 180, 90), (120, 120, 120), (30, 40, 90), (float("nan"), 90, 90)]
)
def test_angles_that_make_no_cell(angles: tuple[float, float, float]) -> None:
    assert "no cell has the angles" in (bounds.angles_fault(angles) or "")
    assert bounds.angles_fault((60, 60, 60)) is None


def test_the_quick_look_says_of_no_lattice_what_the_thorough_one_does_not() -> None:
    """Random cells, from cubes to nearly flat ones, and from far too small to far too large."""
    draw = np.random.default_rng(0)
    plain = 0
    for _ in range(3000):
        matrix = draw.normal(size=(3, 3)) * 10 ** draw.uniform(-1, 3.3, size=(3, 1))
        matrix[2] = matrix[2] * 10 ** -draw.uniform(0, 8) + draw.normal(size=2) @ matrix[:2]
        quick = bounds._is_plainly_a_cell(matrix.tolist())
        lengths = np.linalg.norm(matrix, axis=1)
        spread = (np.linalg.det(matrix) / lengths.prod()) ** 2
        inside = lengths.min() >= bounds.MIN_LENGTH and lengths.max() <= bounds.MAX_LENGTH
        assert not quick or (inside and spread >= bounds.MIN_ANGLE_SPREAD)
        assert (bounds.lattice_fault(matrix) is None) == (
            inside and bool(spread >= bounds.MIN_ANGLE_SPREAD)
        )
        plain += quick
    assert 100 < plain < 2700


def test_numbers_sites_and_texts_out_of_bounds() -> None:
    assert "10.01 is out of bounds" in (bounds.coordinates_fault([[0, 0, 10.01]]) or "")
    assert "nan is out of bounds" in (bounds.coordinates_fault([[0, np.nan, 0]]) or "")
    assert "2001 atoms are too many" in (bounds.num_sites_fault(2001) or "")
    assert "has 31 characters" in (bounds.number_fault("1" * 31) or "")
    assert "1,000,001 characters" in (bounds.text_fault("x" * 1_000_001) or "")


@pytest.mark.parametrize(
    ("matrix", "point"),
    [
        (np.full((3, 3), np.nan), 0.0),
        (np.diag([4.0, 4.0, np.inf]), 0.0),
        (np.diag([4.0, 4.0, 0.0]), 0.0),
        (np.diag([4.0, 4.0, 4.0]), np.nan),
        (np.diag([4.0, 4.0, 4.0]), 1e300),
    ],
)
def test_spglib_never_sees_what_would_end_the_process(matrix: np.ndarray, point: float) -> None:
    coords, labels = np.full((1, 3), point), np.array([1])
    assert spglib_dataset(matrix, coords, labels) is None
    assert not has_group(matrix, coords, labels, 1)
    with pytest.raises(ValueError, match=r"out of bounds|finite numbers|cell length"):
        standard_cell(matrix, coords, labels)


def test_a_crystal_of_too_many_atoms_has_no_group() -> None:
    large = Structure(Lattice.cubic(50), ["H"] * 2001, np.random.default_rng(0).random((2001, 3)))
    assert structure_dataset(large) is None
