"""Cell lengths and angles as a crystal system allows them, field by field."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.constraints.fields import Mask, Values

LEAST_SPREAD = 1e-3
"""Least 1 − Σcos² + 2Πcos of three cell angles: the squared volume of the unit rhomb.
Flatter cells (a volume below 3 % of the box's) are not written."""


@lru_cache(maxsize=64)
def length_values(low: float, high: float) -> Values:
    """Return the lengths within bounds in Å, at one decimal."""
    tenths = range(math.ceil(low * 10 - 1e-9), math.floor(high * 10 + 1e-9) + 1)
    return Values("cell length", tuple(f"{n / 10:.1f}" for n in tenths))


@lru_cache(maxsize=64)
def angle_values(low: int, high: int) -> Values:
    """Return the angles within bounds in whole degrees."""
    return Values("cell angle", tuple(str(n) for n in range(low, high + 1)))


@lru_cache(maxsize=256)
def _numbers(values: Values) -> NDArray[np.float64]:
    return np.array([float(text) for text in values.strings])


@lru_cache(maxsize=256)
def _cosines(values: Values) -> NDArray[np.float64]:
    return np.cos(np.radians(_numbers(values)))


@lru_cache(maxsize=1024)
def _spreads(values: Values, alpha: int) -> NDArray[np.float64]:
    """Return 1 − Σcos² + 2Πcos for one first angle, over the second and third."""
    every = _cosines(values)
    a, b, c = every[alpha], every[:, None], every[None, :]
    return np.asarray(1 - a * a - b * b - c * c + 2 * a * b * c)


def only(values: Values, index: int) -> Mask:
    """Return a mask that allows one value."""
    mask = np.zeros(len(values), dtype=bool)
    mask[index] = True
    return mask


def _narrowed(mask: Mask, wish: Mask) -> Mask:
    """Return the values that also satisfy the preference, or all where none does."""
    both = mask & wish
    return both if both.any() else mask


def length_mask(
    number: int,
    written: tuple[int, ...],
    values: Values,
    writable: Mask,
    least_volume: float,
) -> Mask:
    """Return the lengths that may come next.

    Parameters
    ----------
    number
        Space-group number.
    written
        Indices of the lengths written so far.
    values, writable
        All lengths, and which of them the model can write.
    least_volume
        Of the conventional cell, in Å³: the last free length is chosen to reach it.
    """
    system = wyckoff.crystal_system(number)
    lengths = _numbers(values)
    if system == "cubic":
        if written:
            return only(values, written[0])
        return _narrowed(writable, lengths**3 >= least_volume)
    if system in ("tetragonal", "trigonal", "hexagonal"):
        if len(written) == 1:
            return only(values, written[0])
        base = 1.0 if system == "tetragonal" else math.sqrt(3) / 2
    else:
        base = 1.0
    if len(written) == 2:
        first, second = lengths[list(written)]
        return _narrowed(writable, base * first * second * lengths >= least_volume)
    return writable


def angle_mask(
    number: int,
    box: float,
    written: tuple[int, ...],
    values: Values,
    writable: Mask,
    least_volume: float,
) -> Mask:
    """Return the angles that may come next.

    Parameters
    ----------
    number
        Space-group number.
    box
        Product of the lengths in Å³.
    written
        Indices of the angles written so far.
    values, writable
        All angles, and which of them the model can write.
    least_volume
        Of the conventional cell, in Å³.
    """
    system = wyckoff.crystal_system(number)
    place = len(written)
    if system == "triclinic":
        if place == 0:
            return writable
        spreads = _spreads(values, written[0])
        if place == 1:
            return writable & (spreads[:, writable] >= LEAST_SPREAD).any(1)
        spreads = spreads[written[1]]
        volumes = box * np.sqrt(np.maximum(spreads, 0))
        return _narrowed(writable & (spreads >= LEAST_SPREAD), volumes >= least_volume)
    if system == "monoclinic" and place == 1:
        return _narrowed(writable, box * np.sin(np.radians(_numbers(values))) >= least_volume)
    if system in ("trigonal", "hexagonal") and place == 2:
        return only(values, values.index["120"])
    return only(values, values.index["90"])
