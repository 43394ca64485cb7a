"""Checks of numbers and sizes before they reach libraries that do not check them.

spglib crashes the process on a cell that is not finite, a neighbour search in a cell of 1e-8 Å
takes gigabytes, and pymatgen needs half a minute to read a coordinate of 2,000 digits. Each
function returns one line that states what is out of bounds, or None.

>>> from pymatgen.core import Lattice
>>> lattice_fault(Lattice.cubic(5.6).matrix)
>>> lattice_fault(Lattice.cubic(1e-8).matrix)
'a cell length of 1e-08 Å is not between 0.5 and 1000 Å'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from crystalicl_jobflow.thresholds import (
    MAX_COORDINATE,
    MAX_LENGTH,
    MAX_NUMBER_CHARACTERS,
    MAX_SITES,
    MAX_TEXT_SIZE,
    MIN_ANGLE_SPREAD,
    MIN_LENGTH,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure


def text_fault(text: str) -> str | None:
    """Describe how a text is too long to be a crystal; None if it is not."""
    if len(text) > MAX_TEXT_SIZE:
        return f"the text has {len(text):,} characters, more than {MAX_TEXT_SIZE:,}"
    return None


def number_fault(text: str) -> str | None:
    """Describe how a number has too many characters; None if it does not."""
    if len(text) > MAX_NUMBER_CHARACTERS:
        return f"the number {text[:12]}… has {len(text)} characters"
    return None


def lengths_fault(lengths: Sequence[float]) -> str | None:
    """Name the cell length, in Å, that is not finite or out of bounds; None if there is none."""
    for length in lengths:
        if not MIN_LENGTH <= length <= MAX_LENGTH:  # not true of NaN
            return (
                f"a cell length of {length:g} Å is not between "
                f"{MIN_LENGTH:g} and {MAX_LENGTH:.0f} Å"
            )
    return None


def angles_fault(angles: Sequence[float]) -> str | None:
    """Describe why no cell can have these angles, in degrees; None if one can."""
    if all(0 < angle < 180 for angle in angles):
        a, b, c = (math.cos(math.radians(angle)) for angle in angles)
        if 1 - a * a - b * b - c * c + 2 * a * b * c >= MIN_ANGLE_SPREAD:
            return None
    return f"no cell has the angles {' '.join(f'{angle:g}' for angle in angles)}"


def lattice_fault(lattice: ArrayLike) -> str | None:
    """Describe why lattice vectors (rows, in Å, shape (3, 3)) are not a cell, or return None."""
    matrix = np.asarray(lattice, dtype=float)
    if matrix.shape == (3, 3) and _is_plainly_a_cell(matrix.tolist()):
        return None
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return "the lattice vectors are not nine finite numbers"
    lengths = np.sqrt((matrix**2).sum(axis=1))
    if lengths_fault(np.round(lengths, 6).tolist()):  # vectors of 0.5 Å may be 1e-16 shorter
        return lengths_fault(lengths.tolist())
    if np.linalg.det(matrix / lengths[:, None]) ** 2 < MIN_ANGLE_SPREAD * (1 - 1e-6):
        return "the lattice vectors span no volume"
    return None


def _is_plainly_a_cell(vectors: list[list[float]]) -> bool:
    """Return whether lattice vectors are far from every bound: most are, and this is quick."""
    a, b, c = vectors
    lengths = [math.hypot(*vector) for vector in vectors]  # NaN compares false below
    if not all(MIN_LENGTH * 1.01 < length < MAX_LENGTH / 1.01 for length in lengths):
        return False
    volume = (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    return (volume / math.prod(lengths)) ** 2 > 1.01 * MIN_ANGLE_SPREAD


def coordinates_fault(frac_coords: ArrayLike) -> str | None:
    """Name the first fractional coordinate that is not finite or out of bounds, or return None."""
    coords = np.asarray(frac_coords, dtype=float)
    if not coords.size or np.abs(coords).max() <= MAX_COORDINATE:  # not true of NaN
        return None
    within = np.abs(coords) <= MAX_COORDINATE
    return f"a coordinate of {coords[~within][0]:g} is out of bounds (±{MAX_COORDINATE:g})"


def num_sites_fault(num_sites: int) -> str | None:
    """Describe that a cell has too many atoms; None if it does not."""
    if num_sites > MAX_SITES:
        return f"{num_sites} atoms are too many: a cell may have {MAX_SITES}"
    return None


def cell_fault(lattice: ArrayLike, frac_coords: ArrayLike) -> str | None:
    """Describe what is out of bounds in a cell and its sites.

    Parameters
    ----------
    lattice
        Rows are lattice vectors in Å, shape (3, 3).
    frac_coords
        Shape (n, 3).

    Returns
    -------
    str or None
        One line, or None where symmetry and neighbours may be searched.
    """
    coords = np.asarray(frac_coords, dtype=float)
    return num_sites_fault(len(coords)) or lattice_fault(lattice) or coordinates_fault(coords)


def structure_fault(structure: Structure) -> str | None:
    """Describe what is out of bounds in a crystal, ordered or not; see `cell_fault`."""
    return cell_fault(structure.lattice.matrix, structure.frac_coords)
