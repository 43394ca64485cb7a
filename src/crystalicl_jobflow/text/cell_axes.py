"""Other axes along which a crystal is described in the same space group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.space_groups import crystal_system

MOST_STRAIN = 0.35
"""Most that a length differs along other axes, as the logarithm of the ratio."""

MOST_TURN = 15.0
"""Most that an angle differs along other axes (degrees)."""

MOST_CHOICES = 4
"""Other axes that are tried, those of the most alike cells."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Axes for a crystal: ``x' = rotation @ x + translation``.

    Attributes
    ----------
    rotation, translation
        Shapes (3, 3) and (3,).
    matrix
        Vectors of the cell along these axes as rows (Å), shape (3, 3).
    strain
        How far its lengths are from the other cell's, as logarithms at equal volumes.
    changed
        Whether these are other axes than the crystal had.
    """

    rotation: NDArray[np.int64]
    translation: NDArray[np.float64]
    matrix: NDArray[np.float64]
    strain: float
    changed: bool

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points, shape (n, 3), along these axes."""
        return np.asarray(points @ self.rotation.T + self.translation)


def like_axes(
    number: int, matrix: NDArray[np.float64], target: NDArray[np.float64]
) -> Iterator[Axes]:
    """Yield the axes of a crystal as they are, then others in which its cell is alike.

    Parameters
    ----------
    number
        Space-group number.
    matrix, target
        Vectors of the crystal's cell and of the one to be like as rows (Å), shape (3, 3).
    """
    lengths, angles = _shape(matrix)
    goal_lengths, goal_angles = _shape(target)
    strain = float(np.abs(lengths - goal_lengths).mean())
    eye = np.eye(3, dtype=np.int64)
    yield Axes(eye, np.zeros(3), matrix, strain, changed=False)
    others = other_axes(number)
    if not others[0].size:
        return
    rotations, translations, inverses = others
    # rows of a matrix are the cell's vectors: x' = P x takes them to inv(P).T @ rows
    cells = inverses.transpose(0, 2, 1) @ matrix
    lengths, angles = _shapes(cells)
    gaps = np.abs(lengths - goal_lengths)
    turns = np.abs(angles - goal_angles).max(1)
    strains = gaps.mean(1) + turns / 90.0
    near = np.flatnonzero((gaps.max(1) < MOST_STRAIN) & (turns < MOST_TURN))
    for row in near[np.argsort(strains[near], kind="stable")][:MOST_CHOICES]:
        yield Axes(
            rotations[row],
            translations[row],
            cells[row],
            float(gaps[row].mean()),
            changed=True,
        )


def _shape(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths, angles = _shapes(matrix[None])
    return lengths[0], angles[0]


def _shapes(cells: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return logarithms of lengths at unit volume, and angles (degrees); shapes (n, 3)."""
    lengths = np.linalg.norm(cells, axis=2)
    units = cells / lengths[:, :, None]
    cosines = np.stack(
        [
            (units[:, 1] * units[:, 2]).sum(1),
            (units[:, 0] * units[:, 2]).sum(1),
            (units[:, 0] * units[:, 1]).sum(1),
        ],
        axis=1,
    )
    volumes = np.abs(np.linalg.det(cells))
    logs = np.log(lengths) - np.log(volumes)[:, None] / 3
    return logs, np.degrees(np.arccos(np.clip(cosines, -1, 1)))


@cache
def other_axes(
    number: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return changes of axes that leave the group's operations as they are.

    Returns
    -------
    rotations, translations, inverses : numpy.ndarray
        Proper, shapes (n, 3, 3), (n, 3) and (n, 3, 3); without those that are no other
        axes (sign changes). Empty where a group's axes are all told apart.
    """
    system = crystal_system(number)
    empty = np.zeros((0, 3, 3), dtype=np.int64), np.zeros((0, 3)), np.zeros((0, 3, 3))
    if system == "orthorhombic":
        candidates = _signed_permutations()
    elif system == "monoclinic":
        candidates = _monoclinic_bases()
    elif system == "triclinic":
        candidates = _triclinic_bases()
    else:
        return empty
    found = []
    for rotation in candidates:
        shift = _normalizing_shift(number, rotation)
        if shift is not None:
            found.append((rotation, shift))
    if not found:
        return empty
    rotations = np.array([rotation for rotation, _ in found])
    inverses = np.rint(np.linalg.inv(rotations.astype(float)))
    return rotations, np.array([shift for _, shift in found]), inverses


def _signed_permutations() -> list[NDArray[np.int64]]:
    """Return one proper matrix for each permutation of three axes but the identity."""
    found = []
    for order in list(permutations(range(3)))[1:]:
        matrix = np.eye(3, dtype=np.int64)[list(order)]
        found.append(matrix if np.linalg.det(matrix) > 0 else -matrix)
    return found


def _monoclinic_bases() -> list[NDArray[np.int64]]:
    found = []
    for a, b, c, d in product((-1, 0, 1), repeat=4):
        size = a * d - b * c
        if abs(size) != 1 or (abs(a), b, c, abs(d)) == (1, 0, 0, 1):
            continue
        found.append(np.array([[a, 0, b], [0, size, 0], [c, 0, d]], dtype=np.int64))
    return found


def _triclinic_bases() -> list[NDArray[np.int64]]:
    entries = np.array(list(product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    proper = entries[np.rint(np.linalg.det(entries)) == 1]
    return [matrix for matrix in proper if not np.array_equal(matrix, np.eye(3))]


def _normalizing_shift(number: int, rotation: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the origin shift with which a change of axes maps a group onto itself."""
    if number <= 2:  # identity and inversion alone
        return np.zeros(3)
    group = wyckoff.operations(number)
    inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
    turned = rotation @ group.rotations @ inverse
    known = {
        (tuple(w.ravel()), tuple(np.rint(t * 24).astype(int) % 24))
        for w, t in zip(group.rotations, group.translations, strict=True)
    }
    linear = {key[0] for key in known}
    if any(tuple(w.ravel()) not in linear for w in turned):
        return None
    eye = np.eye(3)
    steps = (0.0, 0.25, 0.5, 0.75) if number not in (43, 70) else tuple(np.arange(8) / 8)
    for shift in product(steps, repeat=3):
        vector = np.array(shift)
        translations = group.translations @ rotation.T + (eye - turned) @ vector
        whole = np.rint(translations * 24).astype(int) % 24
        if all((tuple(w.ravel()), tuple(t)) in known for w, t in zip(turned, whole, strict=True)):
            return vector
    return None
