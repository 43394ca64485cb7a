"""The 230 space groups in the one setting that the texts use.

Setting: spglib's default for a space-group number, the lowest Hall number (origin
choice 1, hexagonal axes for rhombohedral groups, unique axis b, cell choice b1).
Everything is looked up in ``data/space_groups.json``, which ``data/build_tables.py``
writes, and in spglib's database of operations.

Fractional coordinates are those of the conventional cell; lengths are in Å and angles
in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystalicl_jobflow.crystal.group_tables import (
    Normalizer,
    SpaceGroupOperations,
    WyckoffPosition,
    normalizer,
    operations,
    wyckoff_positions,
)
from crystalicl_jobflow.crystal.lattice import constrain_lattice, lattice_matrix, lattice_parameters
from crystalicl_jobflow.crystal.space_groups import (
    centring_multiplicity,
    crystal_system,
    number,
    symbol,
)

__all__ = [
    "Normalizer",
    "SnapResult",
    "SpaceGroupOperations",
    "WyckoffPosition",
    "centring_multiplicity",
    "constrain_lattice",
    "crystal_system",
    "lattice_matrix",
    "lattice_parameters",
    "normalizer",
    "number",
    "on_first_triplets",
    "operations",
    "orbit",
    "orbits",
    "snap",
    "symbol",
    "wrap",
    "wyckoff_index",
    "wyckoff_positions",
]

#: Largest fractional displacement (max-norm) by an operation that counts as none. Two decimals are
#: right to 0.005 per coordinate and an operation can triple that; 0.1 was measured to merge sites
#: that are distinct, 0.005 to split sites that are not. Just off the grid of two decimals, so that
#: rounding errors never decide a comparison.
SNAP_TOLERANCE = 0.03 - 1e-6
#: Rounds of averaging; nearly every site is stable after one or two.
SNAP_ROUNDS = 4
#: Images of an averaged point closer than this (fractional, max-norm) are one point.
SAME_POINT = 1e-4
#: A snapped point counts as on a position up to this much; its equations have coefficients.
_ON_POSITION = 10 * SAME_POINT


@dataclass(frozen=True, eq=False)
class SnapResult:
    """Points moved onto their Wyckoff positions.

    Attributes
    ----------
    frac_coords
        Shape (n, 3), not wrapped.
    multiplicity
        Points of each orbit in the conventional cell, shape (n,).
    stabilizer_mask
        Operations that leave each point where it is, up to a lattice vector, shape
        (n, operations).
    vectors
        The lattice vector between each image and the point's nearest equivalent, in whole
        numbers, shape (n, operations, 3).
    """

    frac_coords: NDArray[np.float64]
    multiplicity: NDArray[np.int64]
    stabilizer_mask: NDArray[np.bool_]
    vectors: NDArray[np.float64]


def snap(frac_coords: ArrayLike, number: int, tol: float = SNAP_TOLERANCE) -> SnapResult:
    """Move points onto the Wyckoff positions that they are close to.

    Every operation that moves a point by less than `tol` is taken to leave it in place,
    and the point is averaged over them; this is repeated until nothing moves.
    `SGS.build` uses this function, so it gives the points that a text decodes to.

    Parameters
    ----------
    frac_coords
        Shape (n, 3).
    number
        Space-group number.
    tol
        Fractional, max-norm.
    """
    group = operations(number)
    points = np.array(frac_coords, dtype=float).reshape(-1, 3)
    for _ in range(SNAP_ROUNDS):
        moves, vectors, lengths = _moves(group, points)
        stays = lengths < tol
        step = (moves * stays[:, :, None]).sum(1) / stays.sum(1, keepdims=True)
        points += step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    else:
        _, vectors, lengths = _moves(group, points)
    mask = lengths < SAME_POINT
    return SnapResult(points, len(group) // mask.sum(1), mask, vectors)


def _moves(
    group: SpaceGroupOperations, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how operations move points, without lattice vectors, these, and by how much.

    Shapes (n, operations, 3) twice, and (n, operations) for the max-norm.
    """
    moves = group.apply(points)
    moves -= points[:, None]
    vectors = np.rint(moves)
    moves -= vectors
    sizes = np.abs(moves)
    # faster than `max` over an axis of three
    return moves, vectors, np.maximum(np.maximum(sizes[..., 0], sizes[..., 1]), sizes[..., 2])


_ORBIT_INDEX: dict[tuple[int, bytes], NDArray[np.int64]] = {}


def orbit(
    frac_coords: ArrayLike, number: int, *, stabilizer_mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return all points equivalent to one point, each once, wrapped into [0, 1).

    Parameters
    ----------
    frac_coords
        Shape (3,), already on its Wyckoff position (see `snap`).
    number
        Space-group number.
    stabilizer_mask
        The point's row of `SnapResult.stabilizer_mask`, where known; saves work.

    Returns
    -------
    numpy.ndarray
        Shape (multiplicity, 3), the point itself first.
    """
    point = np.asarray(frac_coords, dtype=float).reshape(1, 3)
    images = operations(number).apply(point)[0]
    if stabilizer_mask is None:
        moves = images - point
        stabilizer_mask = np.abs(moves - np.rint(moves)).max(1) < SAME_POINT
    return wrap(images[_distinct(images, number, stabilizer_mask)])


def orbits(snapped: SnapResult, number: int) -> list[NDArray[np.float64]]:
    """Return `orbit` of each snapped point."""
    images = operations(number).apply(snapped.frac_coords)
    parts = [
        own[_distinct(own, number, mask)]
        for own, mask in zip(images, snapped.stabilizer_mask, strict=True)
    ]
    points = wrap(np.concatenate(parts))
    ends = list(accumulate(map(len, parts)))
    return [points[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


def _distinct(
    images: NDArray[np.float64], number: int, stabilizer_mask: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the operations with distinct images of a point, the first of each.

    Which images coincide depends only on the stabilizer, so it is determined once.
    """
    key = (number, stabilizer_mask.tobytes())
    index = _ORBIT_INDEX.get(key)
    if index is None:
        index = _first_of_each(images, len(images) // int(stabilizer_mask.sum()))
        _ORBIT_INDEX[key] = index
    return index


def _first_of_each(images: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """Return the first index of each of some points that are equal but for lattice vectors.

    `number` is how many different points are expected.
    """
    places: dict[tuple[float, ...], int] = {}
    for index, place in enumerate((np.rint(images * 1e3) % 1e3).tolist()):
        places.setdefault(tuple(place), index)
    if len(places) == number:
        return np.array(list(places.values()))
    gaps = images[:, None] - images[None]  # noise at the border of two places, or fewer points
    same = np.abs(gaps - np.rint(gaps)).max(2) < 2 * SAME_POINT
    return np.flatnonzero(np.argmax(same, axis=1) == np.arange(len(images)))


def wrap(frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates in [0, 1); what lies within 1e-9 below 1 becomes 0."""
    wrapped = frac_coords - np.floor(frac_coords + 1e-9)
    return np.maximum(wrapped, 0.0)


def wyckoff_index(
    frac_coords: NDArray[np.float64], number: int, multiplicity: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return which of `wyckoff_positions` each snapped point belongs to, shape (n,).

    Parameters
    ----------
    frac_coords, multiplicity
        Of a `SnapResult`: shapes (n, 3) and (n,).
    number
        Space-group number.
    """
    found = np.full(len(frac_coords), -1, dtype=np.int64)
    by_multiplicity = _positions_by_multiplicity(number)
    for size in set(multiplicity.tolist()) & set(by_multiplicity):
        same = np.flatnonzero(multiplicity == size)
        indices, planes, shifts = by_multiplicity[size]
        if planes is None:  # a point of the general position can be nothing else
            found[same] = indices[0]
            continue
        images = operations(number).apply(frac_coords[same])  # (m, operations, 3)
        gaps = images @ planes - shifts
        gaps = np.abs(gaps - np.rint(gaps))
        gaps = gaps.reshape(len(same), -1, len(indices), 3).max(3).min(1)  # (m, positions)
        nearest = np.argmin(gaps, axis=1)
        near = gaps[np.arange(len(same)), nearest] < _ON_POSITION
        found[same[near]] = indices[nearest[near]]
    return found


@cache
def _positions_by_multiplicity(
    number: int,
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float64]]]:
    """Return the positions of each multiplicity, their planes side by side, and offsets."""
    sizes: dict[int, list[int]] = {}
    for index, position in enumerate(wyckoff_positions(number)):
        sizes.setdefault(position.multiplicity, []).append(index)
    result: dict[int, Any] = {}
    for size, indices in sizes.items():
        positions = [wyckoff_positions(number)[i] for i in indices]
        rows = np.concatenate([p.padded_annihilator for p in positions])
        shifts = np.concatenate([p.padded_annihilator @ p.translation for p in positions])
        lone = len(indices) == 1 and not len(positions[0].annihilator)
        result[size] = (np.array(indices), None if lone else rows.T.copy(), shifts)
    return result


def on_first_triplets(
    images: NDArray[np.float64], positions: Sequence[WyckoffPosition]
) -> NDArray[np.bool_]:
    """Return whether points, shape (n, m, 3), lie on the first triplets of n positions."""
    rows = np.array([position.padded_annihilator for position in positions])  # (n, 3, 3)
    shifts = np.array([position.translation for position in positions])
    gap = (images - shifts[:, None]) @ rows.transpose(0, 2, 1)
    return np.asarray(np.abs(gap - np.rint(gap)).max(-1) < _ON_POSITION)
