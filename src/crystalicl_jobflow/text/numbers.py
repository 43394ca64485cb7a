"""How numbers are written in SGS and XYZ texts.

Halves are rounded up despite floating-point noise, so that a value such as 1/8 always gives
the same text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

LENGTH_STEP = 0.1
"""Step between written cell lengths in Å."""

ANGLE_STEP = 1.0
"""Step between written angles in degrees."""


_HUNDREDTHS = tuple(f"{i / 100:.2f}" for i in range(100))


def format_lengths(lengths: Iterable[float]) -> str:
    """Write lengths in Å at one decimal."""
    return " ".join(f"{math.floor(x * 10 + 0.5 + 1e-6) / 10:.1f}" for x in lengths)


def format_angles(angles: Iterable[float]) -> str:
    """Write angles in whole degrees."""
    return " ".join(str(math.floor(x + 0.5 + 1e-6)) for x in angles)


def format_coords(coords: Iterable[float]) -> str:
    """Write fractional coordinates at two decimals, wrapped into [0, 1) after rounding."""
    return " ".join(_HUNDREDTHS[math.floor(x * 100 + 0.5 + 1e-5) % 100] for x in coords)
