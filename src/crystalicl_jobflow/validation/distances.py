"""Shortest distances of a periodic crystal, an atom's own images included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.thresholds import MIN_DISTANCE, RADII_FRACTION

_THIN = 0.1  # Å; a shorter cell vector overlaps its own image for every element
_MOST_IMAGES = 1000  # cells along a thin cell's vector within the first search
_MOST_PAIRS = 20_000_000  # pairs within the second search: about 1 GB


@dataclass(frozen=True)
class DistanceReport:
    """The closest contacts of a crystal.

    Parameters
    ----------
    min_distance
        Shortest distance between two atoms, or an atom and its own image, in Å.
    closest
        Site indices of that pair; equal for an atom and its image.
    overlapping
        Site indices of the pair that breaks the radii rule most, or None.
    overlap_distance
        That pair's distance in Å, or None.
    overlap_limit
        That pair's smallest allowed distance in Å, or None.
    """

    min_distance: float
    closest: tuple[int, int]
    overlapping: tuple[int, int] | None = None
    overlap_distance: float | None = None
    overlap_limit: float | None = None


def distance_report(structure: Structure) -> DistanceReport:
    """Find the shortest distance and the worst overlap of atomic radii.

    Exact for every cell, however large or skewed, that is not so small or so thin that the
    search would take gigabytes: there the first overlap found is the answer. pymatgen's
    linked-cell search looks only as far as needed: no crystal of n atoms in a volume V has a
    shortest distance above (√2 V/n)^(1/3), that of the densest packing (Hales 2005), so the
    shortest one lies within; a second look reaches as far as the largest radii do, if the
    first found no overlap.

    Parameters
    ----------
    structure
        Crystal with at least one site and a cell of non-zero volume. A site of mixed
        occupancy takes the occupancy-weighted mean radius.

    Raises
    ------
    ValueError
        If there is no site, a coordinate is not finite, or the cell has no volume.
    """
    if len(structure) == 0:
        raise ValueError("a crystal without atoms has no distances")
    matrix = np.array(structure.lattice.matrix)
    volume = abs(float(np.linalg.det(matrix)))
    if not 1e-9 < volume < np.inf:  # false of NaN
        raise ValueError("the cell has no volume")
    if _is_skewed(matrix):  # else a thin cell would need a great many images
        matrix = np.array(structure.lattice.get_lll_reduced_lattice().matrix)
    coords = np.ascontiguousarray(structure.cart_coords)
    if not np.isfinite(coords).all():
        raise ValueError("a coordinate is not a finite number")
    radii = np.array([_site_radius(site.species) for site in structure])

    reach = (np.sqrt(2.0) * volume / len(structure)) ** (1 / 3) * (1 + 1e-6)
    shortest = float(np.linalg.norm(matrix, axis=1).min())
    if shortest < _THIN and reach > _MOST_IMAGES * shortest:
        return _overlap((0, 0), shortest)
    first, second, distances = _pairs(coords, matrix, reach)
    nearest = int(np.argmin(distances))
    report = (float(distances[nearest]), (int(first[nearest]), int(second[nearest])))
    widest = float(2 * RADII_FRACTION * radii.max())
    limits = RADII_FRACTION * (radii[first] + radii[second])
    if widest > reach and not np.any(distances < limits):
        if len(coords) ** 2 * 4 / 3 * np.pi * widest**3 / volume > _MOST_PAIRS:
            return _overlap(report[1], report[0])
        first, second, distances = _pairs(coords, matrix, widest)
        limits = RADII_FRACTION * (radii[first] + radii[second])
    worst = int(np.argmax(limits - distances))
    if not distances[worst] < limits[worst]:
        return DistanceReport(*report)
    return DistanceReport(
        *report,
        overlapping=(int(first[worst]), int(second[worst])),
        overlap_distance=float(distances[worst]),
        overlap_limit=float(limits[worst]),
    )


def _overlap(pair: tuple[int, int], distance: float) -> DistanceReport:
    """Report one pair for a heap of atoms in which it is one of very many overlaps."""
    return DistanceReport(distance, pair, pair, distance, MIN_DISTANCE)


def min_distance(structure: Structure) -> float:
    """Return the shortest distance in Å, an atom's own images included."""
    return distance_report(structure).min_distance


def _site_radius(composition: Composition) -> float:
    """Return the occupancy-weighted mean radius of a site, Å."""
    amounts = composition.get_el_amt_dict()
    return sum(atomic_radius(symbol) * share for symbol, share in amounts.items()) / sum(
        amounts.values()
    )


def _is_skewed(matrix: NDArray[np.float64]) -> bool:
    """Tell whether a lattice vector can be shortened by another one."""
    gram = matrix @ matrix.T
    lengths = np.diag(gram)
    shortest = np.minimum(lengths[:, None], lengths[None, :])
    return bool(np.any(np.abs(gram - np.diag(lengths)) > 0.5 * shortest * (1 + 1e-9)))


def _pairs(
    coords: NDArray[np.float64], matrix: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all ordered pairs within a distance: first, second, distance in Å, each (pairs,)."""
    first, second, images, distances = find_points_in_spheres(
        coords,
        coords,
        r=reach,
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(matrix),
        tol=1e-8,
        min_r=reach,
    )
    other = (first != second) | images.any(axis=1)  # an atom is no neighbour of itself
    return first[other], second[other], distances[other]
