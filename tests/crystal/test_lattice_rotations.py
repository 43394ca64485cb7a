from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.crystal.lattice import lattice_matrix
from crystalicl_jobflow.crystal.lattice_rotations import lattice_rotations

FACE_CENTRED = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("lengths", "angles", "number"),
    [
        ((5.1, 6.3, 7.9), (83, 97, 71), 2),
        ((5.1, 6.3, 7.9), (90, 97, 90), 4),
        ((5.1, 6.3, 7.9), (90, 90, 90), 8),
        ((5.1, 5.1, 7.9), (90, 90, 90), 16),
        ((5.1, 5.1, 5.1), (70, 70, 70), 12),
        ((5.1, 5.1, 7.9), (90, 90, 120), 24),
        ((5.1, 5.1, 5.1), (90, 90, 90), 48),
        ((5.1, 5.15, 5.1), (90, 92, 90), 48),  # nearly
    ],
)
def test_as_many_as_the_lattice_has(
    lengths: tuple[float, float, float], angles: tuple[float, float, float], number: int
) -> None:
    vectors = lattice_matrix(lengths, angles)
    found = lattice_rotations(vectors, length_tolerance=0.1, angle_tolerance=5)
    assert found is not None
    assert len(np.unique(found, axis=0)) == len(found) == number
    metric = vectors @ vectors.T
    change = found.transpose(0, 2, 1) @ metric @ found - metric
    assert np.abs(change).max() < 0.2 * metric.max()


def test_a_face_centred_cell_is_cubic() -> None:
    found = lattice_rotations(FACE_CENTRED * 4.2, length_tolerance=0.1, angle_tolerance=5)
    assert found is not None
    assert len(found) == 48


def test_a_cell_need_not_be_reduced() -> None:
    change = np.array([[1, 0, 0], [3, 1, 0], [-2, 2, 1]])
    vectors = lattice_matrix((5.1, 6.3, 7.9), (90, 97, 90))
    rotations = lattice_rotations(vectors, length_tolerance=0.1, angle_tolerance=5)
    found = lattice_rotations(change @ vectors, length_tolerance=0.1, angle_tolerance=5)
    assert rotations is not None
    assert found is not None
    # fractional columns along the other axes: x' = inv(change.T) @ x
    back = change.T @ found @ np.linalg.inv(change.T)
    assert np.allclose(np.unique(back.round(), axis=0), np.unique(rotations, axis=0))
