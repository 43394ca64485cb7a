"""Distances of a crystal that is being written, orbit by orbit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalicl_jobflow.text import spacegroups

Floats = NDArray[np.float64]
Point = tuple[int, int, int]
"""Fractional coordinates in hundredths."""

SAME_PLACE = 0.05
"""Atoms nearer than this, in Å, are one and the same written twice; never allowed."""

_OVERLAP = 1e-3  # fractional, per axis: images of an orbit nearer than this coincide


@cache
def atomic_radius(symbol: str) -> float:
    """Return an element's radius in Å, 0 where none is known.

    In this order: Slater's empirical radii (J. Chem. Phys. 41, 3199 (1964)), calculated
    ones (Clementi et al. 1967), half the van der Waals radius; all as pymatgen has them.
    """
    element = Element(symbol)
    with warnings.catch_warnings():  # pymatgen warns for every radius it lacks
        warnings.simplefilter("ignore")
        for radius, scale in (
            (element.atomic_radius, 1.0),
            (element.atomic_radius_calculated, 1.0),
            (element.van_der_waals_radius, 0.5),
        ):
            if radius is not None:
                return float(radius) * scale
    return 0.0


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
    snapped = spacegroups.snap(np.array([point]) / 100, number)
    orbit = spacegroups.orbit(
        snapped.frac_coords[0], number, stabilizer_mask=snapped.stabilizer_mask[0]
    )
    orbit.flags.writeable = False
    return orbit


@lru_cache(maxsize=1 << 12)
def fixed_places(number: int) -> tuple[tuple[int, ...], Floats]:
    """Return the bits of a group's fixed positions and one point of each, shape (n, 3)."""
    positions = spacegroups.wyckoff_positions(number)
    bits = tuple(i for i, p in enumerate(positions) if p.degrees_of_freedom == 0)
    points = np.array([positions[i].translation for i in bits]).reshape(-1, 3)
    return bits, points


def cell_matrix(
    number: int, lengths: tuple[float, float, float], angles: tuple[float, float, float]
) -> Floats:
    """Return the cell's vectors as rows, in Å, shape (3, 3), as a text decodes.

    Parameters
    ----------
    number
        Space-group number, whose crystal system is imposed.
    lengths, angles
        In Å and degrees.
    """
    (a, b, c), degrees = spacegroups.constrain_lattice(lengths, angles, number)
    ca, cb, cg = np.cos(np.radians(degrees))
    sg = np.sqrt(1 - cg * cg)
    cy = (ca - cb * cg) / sg
    cz = np.sqrt(max(1 - cb * cb - cy * cy, 0.0))
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * cy, c * cz]])


class Packing:
    """Atoms placed so far, and how near a further one may come to them.

    Parameters
    ----------
    number
        Space-group number.
    matrix
        Cell vectors as rows, in Å, shape (3, 3).
    min_distance
        In Å; None for no rule but that no atom is written twice.
    radii_fraction
        Share of the sum of two radii that a distance keeps; None for none.
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
        self._heights = 1.0 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
        self._images: dict[tuple[int, ...], Floats] = {}
        self.frac_coords: Floats = np.empty((0, 3))
        self.radii: Floats = np.empty(0)
        self._reach = 0.0

    def copy(self) -> Packing:
        """Return a packing that grows on its own."""
        twin = object.__new__(Packing)
        twin.__dict__.update(self.__dict__)
        return twin

    def _shifts(self, reach: float) -> Floats:
        """Return the lattice vectors that matter up to a distance in Å; zero comes first.

        |f_k + m_k| * height_k <= distance with |f_k| <= 1/2, hence
        |m_k| <= distance / height_k + 1/2.
        """
        counts = tuple(int(n) for n in (reach / self._heights + 0.5))
        shifts = self._images.get(counts)
        if shifts is None:
            ranges = [sorted(range(-n, n + 1), key=abs) for n in counts]
            grid = np.array(np.meshgrid(*ranges, indexing="ij")).reshape(3, -1).T
            shifts = self._images[counts] = grid @ self._matrix
        return shifts

    def _squares(self, gaps: Floats, reach: float) -> Floats:
        """Return squared distances to the nearest images, shape of `gaps` less its last axis."""
        gaps = (gaps - np.rint(gaps)) @ self._matrix
        shifts = self._shifts(reach)
        if len(shifts) == 1:
            return (gaps * gaps).sum(-1)
        every = gaps[..., None, :] + shifts
        return (every * every).sum(-1).min(-1)

    def room(self, orbit: Floats, radius: float) -> float:
        """Return how far an orbit keeps its distances: below 1 it comes too near somewhere.

        Parameters
        ----------
        orbit
            Fractional coordinates, shape (n, 3). The atoms placed already are as symmetric
            as the orbit, so its first point stands for all.
        radius
            Of its element, in Å.

        Returns
        -------
        float
            Least distance over allowed distance, as far as it is below about 1.
        """
        point = orbit[0]
        own = max(self.floor, 2 * self.fraction * radius)
        others = np.maximum(self.floor, self.fraction * (self.radii + radius))
        reach = max(own, self._reach and max(self.floor, self.fraction * (self._reach + radius)))
        shifts = self._shifts(reach)
        best = np.inf
        if len(shifts) > 1:  # lattice vectors themselves
            best = np.sqrt((shifts[1:] ** 2).sum(1).min()) / own
        if len(orbit) > 1:
            best = min(best, np.sqrt(self._squares(orbit[1:] - point, reach).min()) / own)
        if len(others):
            squares = self._squares(self.frac_coords - point, reach)
            best = min(best, np.sqrt((squares / (others * others)).min()))
        return float(best)

    def place(self, orbit: Floats, radius: float) -> None:
        """Add an orbit of an element of a radius in Å."""
        self.frac_coords = np.concatenate([self.frac_coords, orbit])
        self.radii = np.concatenate([self.radii, np.full(len(orbit), radius)])
        self._reach = max(self._reach, radius)

    def blocked(self, orbit: Floats, radius: float, smallest: float) -> int:
        """Return the fixed positions too near to an orbit for any element, as a bit mask.

        Parameters
        ----------
        orbit
            Newly placed, shape (n, 3).
        radius
            Of its element, in Å.
        smallest
            Least radius of the elements that may still come, in Å.
        """
        bits, points = fixed_places(self.number)
        if not bits:
            return 0
        limit = max(self.floor, self.fraction * (radius + smallest))
        squares = self._squares(points[:, None] - orbit, limit)
        near = squares.min(1) < limit * limit
        return sum(1 << bit for bit, is_near in zip(bits, near, strict=True) if is_near)

    def rooms(self, points: Sequence[Point], radius: float) -> list[float]:
        """Return `room` of the orbits of several written points."""
        return [self.room(site_orbit(self.number, point), radius) for point in points]
