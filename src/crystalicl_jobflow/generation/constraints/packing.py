"""Distances of a crystal that is being written, orbit by orbit."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.constraints.landing import landing

Floats = NDArray[np.float64]
Point = tuple[int, int, int]
"""Fractional coordinates in hundredths."""

SAME_PLACE = 0.05
"""Atoms closer than this, in Å, are the same atom written twice; never allowed."""

_OVERLAP = 1e-3  # fractional, per axis: images of an orbit nearer than this coincide


@lru_cache(maxsize=1 << 16)
def site_orbit(number: int, point: Point) -> Floats:
    """Return the orbit that a written point decodes to.

    Parameters
    ----------
    number
        Space-group number.
    point
        Hundredths.

    Returns
    -------
    numpy.ndarray
        Fractional coordinates, the point itself first, shape (multiplicity, 3).
    """
    snapped = wyckoff.snap(np.array([point]) / 100, number)
    orbit = wyckoff.orbit(
        snapped.frac_coords[0], number, stabilizer_mask=snapped.stabilizer_mask[0]
    )
    orbit.flags.writeable = False
    return orbit


FEW_POINTS = 16
"""Maximum number of written points that are all tried."""


@lru_cache(maxsize=1 << 16)
def few_places(number: int, positions: int, x: int, y: int | None) -> tuple[Floats, ...] | None:
    """Return the distinct orbits that coordinates written so far can lead to, if few.

    Parameters
    ----------
    number
        Space-group number.
    positions
        Wyckoff positions on which the point is to land, as bits.
    x, y
        Coordinates in hundredths; y is None before it is written.

    Returns
    -------
    tuple of numpy.ndarray or None
        Orbits from `site_orbit`; None where there are many.
    """
    table = landing(number)
    if y is not None:
        allowed, most = table.z_allowed(x, y, positions), FEW_POINTS
    else:
        allowed, most = table.yz_allowed(x, positions), 8 * FEW_POINTS
    if np.count_nonzero(allowed) > most:
        return None
    points = np.empty((np.count_nonzero(allowed), 3), dtype=np.int64)
    points[:, 0] = x
    if y is None:
        points[:, 1:] = np.argwhere(allowed)
    else:
        points[:, 1], points[:, 2] = y, np.flatnonzero(allowed)
    if not len(points):
        return ()
    snapped = wyckoff.snap(points / 100, number)
    keys = np.rint(snapped.frac_coords * 1e4).astype(np.int64)
    _, first = np.unique(keys, axis=0, return_index=True)
    return tuple(
        wyckoff.orbit(snapped.frac_coords[i], number, stabilizer_mask=snapped.stabilizer_mask[i])
        for i in first
    )


@lru_cache(maxsize=1 << 12)
def fixed_places(number: int, which: int) -> tuple[tuple[int, ...], Floats]:
    """Return the bits of some fixed positions and one point of each, shape (n, 3).

    Parameters
    ----------
    number
        Space-group number.
    which
        The positions, as a bit mask.
    """
    positions = wyckoff.wyckoff_positions(number)
    chosen = [i for i in range(len(positions)) if which >> i & 1]
    points = np.array([positions[i].translation for i in chosen]).reshape(-1, 3)
    return tuple(1 << i for i in chosen), points


def cell_matrix(
    number: int, lengths: tuple[float, float, float], angles: tuple[float, float, float]
) -> Floats:
    """Return the cell vectors that a text decodes to, as rows, in Å, shape (3, 3).

    Parameters
    ----------
    number
        Space-group number, whose crystal system is imposed.
    lengths, angles
        In Å and degrees.
    """
    (a, b, c), degrees = wyckoff.constrain_lattice(lengths, angles, number)
    ca, cb, cg = (math.cos(math.radians(angle)) for angle in degrees)
    sg = math.sqrt(1 - cg * cg)
    cy = (ca - cb * cg) / sg
    cz = math.sqrt(max(1 - cb * cb - cy * cy, 0.0))
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * cy, c * cz]])


def _plane_spacings(matrix: Floats) -> list[float]:
    """Return the distances between lattice planes along each axis, in Å."""
    # written out: numpy calls for one cell take longer than the arithmetic
    vectors = matrix.tolist()
    normals = [_cross(vectors[(k + 1) % 3], vectors[(k + 2) % 3]) for k in range(3)]
    volume = abs(sum(u * v for u, v in zip(vectors[0], normals[0], strict=True)))
    return [volume / math.hypot(*normal) for normal in normals]


def _cross(u: list[float], v: list[float]) -> tuple[float, float, float]:
    return (
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    )


class Packing:
    """Atoms placed so far, and the distances that further atoms must keep.

    Parameters
    ----------
    number
        Space-group number.
    matrix
        Cell vectors as rows, in Å, shape (3, 3).
    min_distance
        In Å; None to exclude only atoms written twice.
    radii_fraction
        Minimum distance as a fraction of the sum of two radii; None for no such rule.
    """

    def __init__(
        self,
        number: int,
        matrix: Floats,
        *,
        min_distance: float | None,
        radii_fraction: float | None,
    ) -> None:
        self.number = number
        self.floor = SAME_PLACE if min_distance is None else min_distance
        self.fraction = 0.0 if min_distance is None or radii_fraction is None else radii_fraction
        self._matrix = matrix
        self._heights = _plane_spacings(matrix)
        self._images: dict[tuple[int, ...], tuple[Floats, float]] = {}
        self.frac_coords: Floats = np.empty((0, 3))
        self.radii: Floats = np.empty(0)
        self._reach = 0.0
        self._rooms: dict[tuple[bytes, float], float] = {}
        self._kept: dict[tuple[int, int, bytes, float], Floats] = {}

    def copy(self) -> Packing:
        """Return an independent copy."""
        twin = object.__new__(Packing)
        twin.__dict__.update(self.__dict__)
        return twin

    def _shifts(self, reach: float) -> tuple[Floats, float]:
        """Return the lattice vectors needed up to a distance in Å, zero first.

        Beside them the square of the shortest but zero, infinite where there is none.

        |f_k + m_k| * height_k <= distance with |f_k| <= 1/2, hence
        |m_k| <= distance / height_k + 1/2.
        """
        counts = tuple([int(reach / height + 0.5) for height in self._heights])
        found = self._images.get(counts)
        if found is None:
            ranges = [sorted(range(-n, n + 1), key=abs) for n in counts]
            grid = np.array(np.meshgrid(*ranges, indexing="ij")).reshape(3, -1).T
            shifts = grid @ self._matrix
            shortest = float((shifts[1:] ** 2).sum(1).min()) if len(shifts) > 1 else math.inf
            found = self._images[counts] = shifts, shortest
        return found

    def _squares(self, gaps: Floats, reach: float) -> Floats:
        """Return squared distances to the nearest images, gaps of shape (n, 3), shape (n,)."""
        gaps = (gaps - np.rint(gaps)) @ self._matrix
        shifts, _ = self._shifts(reach)
        if len(shifts) == 1:
            return np.asarray(np.einsum("ij,ij->i", gaps, gaps))
        every = gaps[:, None] + shifts
        return np.asarray(np.einsum("ijk,ijk->ij", every, every).min(1))

    def room(self, orbit: Floats, radius: float) -> float:
        """Return the smallest ratio of an orbit's distances to their minima; too close below 1.

        Parameters
        ----------
        orbit
            Fractional coordinates, shape (n, 3). The atoms already placed have the same symmetry
            as the orbit, so its first point is enough.
        radius
            Of its element, in Å.

        Returns
        -------
        float
            Smallest ratio of a distance to its allowed minimum, if below about 1.
        """
        key = (orbit[0].tobytes(), radius)
        found = self._rooms.get(key)
        if found is None:
            found = self._rooms[key] = self._room(orbit, radius)
        return found

    def _room(self, orbit: Floats, radius: float) -> float:
        own = max(self.floor, 2 * self.fraction * radius)
        reach = max(own, self._reach and max(self.floor, self.fraction * (self._reach + radius)))
        _, shortest = self._shifts(reach)
        best = math.sqrt(shortest) / own  # lattice vectors themselves
        n_own = len(orbit) - 1
        gaps = np.concatenate([orbit[1:], self.frac_coords]) - orbit[0]
        if len(gaps):
            limits = np.empty(len(gaps))
            limits[:n_own] = own
            np.maximum(self.fraction * (self.radii + radius), self.floor, out=limits[n_own:])
            ratios = self._squares(gaps, reach) / (limits * limits)
            best = min(best, math.sqrt(ratios.min()))
        return best

    def with_room(
        self, x: int, y: int, allowed: NDArray[np.bool_], radius: float
    ) -> NDArray[np.bool_]:
        """Return the z at which an orbit keeps the minimum distances, or all where none does.

        Parameters
        ----------
        x, y
            Hundredths.
        allowed
            Which z are asked about, shape (100,).
        radius
            Of the element, in Å.
        """
        good = self.rooms_along(x, y, allowed, radius) >= 1
        return good if good.any() else allowed

    def rooms_along(self, x: int, y: int, allowed: NDArray[np.bool_], radius: float) -> Floats:
        """Return the room (see `room`) of the orbits at some z, shape (100,).

        Parameters
        ----------
        x, y
            Hundredths.
        allowed
            Which z are asked about, shape (100,); the others have -1.
        radius
            Of the element, in Å.
        """
        key = (x, y, allowed.tobytes(), radius)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._rooms_along(x, y, allowed, radius)
        return found

    def _rooms_along(self, x: int, y: int, allowed: NDArray[np.bool_], radius: float) -> Floats:
        points = np.array([(x, y, z) for z in np.flatnonzero(allowed)]) / 100
        snapped = wyckoff.snap(points, self.number)
        coords = snapped.frac_coords
        own = max(self.floor, 2 * self.fraction * radius)
        reach = max(own, self._reach and max(self.floor, self.fraction * (self._reach + radius)))
        images = wyckoff.operations(self.number).apply(coords)  # (k, operations, 3)
        gaps = np.concatenate(
            [images, np.broadcast_to(self.frac_coords, (len(coords), *self.frac_coords.shape))], 1
        )
        gaps -= coords[:, None]
        ratios = self._squares(gaps.reshape(-1, 3), reach).reshape(gaps.shape[:2])
        n_own = images.shape[1]
        ratios[:, :n_own] /= own * own
        ratios[:, :n_own][snapped.stabilizer_mask] = np.inf
        ratios[:, n_own:] /= np.maximum(self.fraction * (self.radii + radius), self.floor) ** 2
        least = ratios.min(1)
        _, shortest = self._shifts(reach)
        least = np.minimum(least, shortest / (own * own))  # lattice vectors themselves
        rooms = np.full(allowed.shape, -1.0)
        rooms[np.flatnonzero(allowed)] = np.sqrt(least)
        return rooms

    def place(self, orbit: Floats, radius: float) -> None:
        """Add an orbit of an element of a radius in Å."""
        self.frac_coords = np.concatenate([self.frac_coords, orbit])
        self.radii = np.concatenate([self.radii, np.full(len(orbit), radius)])
        self._reach = max(self._reach, radius)
        self._rooms = {}
        self._kept = {}

    def blocked(self, left: int, orbit: Floats, radius: float, smallest: float) -> int:
        """Return the fixed positions too near to an orbit for any element, as a bit mask.

        Parameters
        ----------
        left
            Fixed positions to look at, as a bit mask.
        orbit
            Newly placed, shape (n, 3).
        radius
            Of its element, in Å.
        smallest
            Least radius of the elements that may still come, in Å.
        """
        if not left:
            return 0
        bits, points = fixed_places(self.number, left)
        limit = max(self.floor, self.fraction * (radius + smallest))
        squares = self._squares((points[:, None] - orbit).reshape(-1, 3), limit)
        near = squares.reshape(len(bits), -1).min(1) < limit * limit
        return sum(bit for bit, is_near in zip(bits, near.tolist(), strict=True) if is_near)
