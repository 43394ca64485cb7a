"""Shortest distances of a periodic crystal, an atom's own images included."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from crystalicl_jobflow.evaluation.thresholds import RADII_FRACTION

_CHUNK = 500_000  # vectors at once: 12 MB


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


@cache
def atomic_radius(symbol: str) -> float:
    """Return the radius of the overlap rule, in Å; 0 where an element has none.

    See :data:`~crystalicl_jobflow.evaluation.thresholds.RADII_SET` for the order of
    sources.
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


def distance_report(structure: Structure) -> DistanceReport:
    """Find the shortest distance and the worst overlap of atomic radii.

    Exact for every cell, however small or skewed: the lattice is reduced, and the images
    looked at are bounded by the longest distance that could still matter.

    Parameters
    ----------
    structure
        Crystal with at least one site and a cell of non-zero volume. A site of mixed
        occupancy takes the occupancy-weighted mean radius.

    Raises
    ------
    ValueError
        If there is no site, or the cell has no volume.
    """
    n = len(structure)
    matrix = np.array(structure.lattice.matrix)
    if n == 0:
        raise ValueError("a crystal without atoms has no distances")
    if not abs(np.linalg.det(matrix)) > 1e-9:
        raise ValueError("the cell has no volume")
    frac = np.array(structure.frac_coords)
    if _is_skewed(matrix):
        reduced = Lattice(matrix).get_lll_reduced_lattice().matrix
        frac = frac @ matrix @ np.linalg.inv(reduced)
        matrix = np.array(reduced)

    radii = np.array(
        [
            sum(atomic_radius(_symbol(species)) * share for species, share in site.species.items())
            for site in structure
        ]
    )
    first, second = np.triu_indices(n)  # an atom with itself included: its own images
    limits = RADII_FRACTION * (radii[first] + radii[second])
    delta = frac[first] - frac[second]
    delta -= np.round(delta)  # (pairs, 3), each within [-0.5, 0.5]
    own = first == second

    heights = 1.0 / np.linalg.norm(np.linalg.inv(matrix), axis=0)  # spacing of lattice planes, Å
    distances = _shortest(matrix, delta, own, np.ones(3, dtype=int))
    # What lies farther than this decides nothing. Once the radii rule is broken, only the
    # shortest distance is open: a cell far too small then needs no thousands of images.
    reach = float(distances.min())
    if not np.any(distances < limits):
        reach = max(reach, float(limits.max()))
    # |delta_k + m_k| * height_k <= distance, hence |m_k| <= reach / height_k + 0.5
    images = np.floor(reach / heights + 0.5).astype(int)
    if np.any(images > 1):
        distances = _shortest(matrix, delta, own, np.maximum(images, 1))

    closest = int(np.argmin(distances))
    excess = limits - distances
    worst = int(np.argmax(excess))
    report = (float(distances[closest]), (int(first[closest]), int(second[closest])))
    if excess[worst] <= 0:
        return DistanceReport(*report)
    return DistanceReport(
        *report,
        overlapping=(int(first[worst]), int(second[worst])),
        overlap_distance=float(distances[worst]),
        overlap_limit=float(limits[worst]),
    )


def min_distance(structure: Structure) -> float:
    """Return the shortest distance in Å, an atom's own images included."""
    return distance_report(structure).min_distance


def _symbol(species: object) -> str:
    symbol = getattr(species, "symbol", str(species))
    return symbol if Element.is_valid_symbol(symbol) else "X"


def _is_skewed(matrix: NDArray[np.float64]) -> bool:
    """Tell whether a lattice vector can be shortened by another one."""
    gram = matrix @ matrix.T
    lengths = np.diag(gram)
    shortest = np.minimum(lengths[:, None], lengths[None, :])
    return bool(np.any(np.abs(gram - np.diag(lengths)) > 0.5 * shortest * (1 + 1e-9)))


def _shortest(
    matrix: NDArray[np.float64],
    delta: NDArray[np.float64],
    own: NDArray[np.bool_],
    images: NDArray[np.int_],
) -> NDArray[np.float64]:
    """Return the shortest distance of each pair over the images, shape (pairs,), Å."""
    axes = [np.arange(-count, count + 1) for count in images]
    shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    shift_vectors = shifts @ matrix  # (images, 3), Å
    home = int(np.flatnonzero(~shifts.any(axis=1))[0])
    vectors = delta @ matrix  # (pairs, 3), Å
    squares = np.empty(len(vectors))
    step = max(1, _CHUNK // len(shift_vectors))
    for start in range(0, len(vectors), step):
        part = slice(start, start + step)
        total = vectors[part, None, :] + shift_vectors[None, :, :]  # (pairs, images, 3)
        square = np.einsum("pij,pij->pi", total, total)
        square[own[part], home] = np.inf  # an atom is no neighbour of itself
        squares[part] = square.min(axis=1)
    return np.sqrt(squares)
