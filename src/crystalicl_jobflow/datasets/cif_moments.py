"""Magnetic moments of a magnetic CIF, carried to all atoms of the cell by its operations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal.group_settings import DENOMINATOR, read_operation
from crystalicl_jobflow.datasets.cif_block import CifBlock, is_null, read_number
from crystalicl_jobflow.datasets.cif_placement import Placed
from crystalicl_jobflow.datasets.cif_symmetry import MAGNETIC_CENTRING, MAGNETIC_LOOP
from crystalicl_jobflow.thresholds import MAX_OPERATIONS

MOMENT_TOLERANCE = 0.05
"""μB; how far apart two operations may put the moment of one atom. A choice of this package:
files give moments to 0.1 or 0.01 μB."""

_SAME_POINT = 1e-3  # fractional
_PREFIX = "_atom_site_moment_"
_AXES = tuple(f"{_PREFIX}crystalaxis_{axis}" for axis in "xyz")


def read_moments(
    block: CifBlock, placed: Placed, matrix: NDArray[np.float64]
) -> tuple[list[list[float]] | None, list[str]]:
    """Return the moments of all atoms in the cell, and a remark where they are left out.

    A magnetic operation turns a moment as an axial vector, and time reversal reverses it
    (Litvin, Magnetic Group Tables, IUCr 2013; magCIF dictionary).

    Parameters
    ----------
    block
        Of a CIF; without moments nothing is returned.
    placed
        Its atoms, all with their images.
    matrix
        Lattice vectors as rows in Å, shape (3, 3).

    Returns
    -------
    tuple
        Moments in μB along the Cartesian axes of the cell, in the order of
        `Placed.structure`, zero where the file states none; or None. And remarks.
    """
    tags = [tag for tag in block.values if tag.startswith(_PREFIX)]
    if not tags:
        return None, []
    rows = len(block.values[tags[0]])
    try:
        return _all_moments(block, placed, matrix), []
    except ValueError as error:
        return None, [f"magnetic moments of {rows} sites are left out: {error}"]


def _all_moments(block: CifBlock, placed: Placed, matrix: NDArray[np.float64]) -> list[list[float]]:
    stated = _stated(block)
    labels = [site.label for site in placed.sites]
    for label in stated:
        if labels.count(label) != 1:
            where = "no place of its own" if label not in labels else "several places"
            raise ValueError(f"site {label[:20]} has {where}")
    rotations, translations, signs = _operations(block)
    # moments are stated along unit vectors of the axes; operations act on fractions of them
    axes = np.linalg.norm(matrix, axis=1)
    moments: list[list[float]] = []
    for site in placed.sites:
        moment = stated.get(site.label)
        if moment is None:
            moments += [[0.0, 0.0, 0.0]] * len(site.coords)
            continue
        turned = signs[:, None] * (rotations @ (moment / axes)) @ matrix  # (operations, 3)
        images = rotations @ site.coords[0] + translations
        for point in site.coords:
            gaps = images - point
            here = turned[(np.abs(gaps - np.rint(gaps)) < _SAME_POINT).all(1)]
            if not len(here):
                raise ValueError(f"the magnetic operations do not lead to all of site {site.label}")
            if np.abs(here - here[0]).max() > MOMENT_TOLERANCE:
                raise ValueError(f"the moment of site {site.label} contradicts the operations")
            moments.append((np.round(here.mean(0), 6) + 0.0).tolist())
    return moments


def _stated(block: CifBlock) -> dict[str, NDArray[np.float64]]:
    """Return the moments as stated, in μB along the unit vectors of the cell's axes."""
    labels = block.column(f"{_PREFIX}label")
    columns = [block.column(tag) for tag in _AXES]
    if not labels or not all(len(column) == len(labels) for column in columns):
        raise ValueError("they are not given by label along the crystal's axes")
    if len(set(labels)) < len(labels):
        raise ValueError("a site has two of them")
    stated = {}
    for label, *parts in zip(labels, *columns, strict=True):
        if any(is_null(part) for part in parts):
            raise ValueError(f"that of site {label[:20]} is not known")
        stated[label] = np.array([read_number(part, "it") for part in parts])
    return stated


def _operations(
    block: CifBlock,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations, translations (fractional) and the sign that each gives to a moment."""
    own = [_with_time(text) for text in block.column(*MAGNETIC_LOOP)]
    if not own:
        raise ValueError("the CIF lists no magnetic operations")
    centring = [_with_time(text) for text in block.column(*MAGNETIC_CENTRING)]
    centring = centring or [_with_time("x,y,z,+1")]
    if len(own) * len(centring) > MAX_OPERATIONS:
        raise ValueError("the magnetic symmetry operations are more than any group has")
    rotations = np.array([rotation for rotation, _, _ in own for _ in centring])
    translations = np.array([shift + more for _, shift, _ in own for _, more, _ in centring])
    times = np.array([time * more for _, _, time in own for _, _, more in centring])
    return rotations, translations, times * np.rint(np.linalg.det(rotations))


def _with_time(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return rotation, translation and time reversal (-1) of ``x+1/2,y,-z,-1``."""
    *parts, time = text.replace(" ", "").split(",")
    if len(parts) != 3 or time not in ("+1", "1", "-1"):
        raise ValueError(f"{text[:40]!r} is no magnetic operation")
    numbers = np.array(read_operation(",".join(parts)), dtype=float)
    return numbers[:9].reshape(3, 3), numbers[9:] / DENOMINATOR, float(time)
