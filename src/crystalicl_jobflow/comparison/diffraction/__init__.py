"""Crystals against a measured powder pattern: reading, similarity, refinement of the cell."""

from __future__ import annotations

from crystalicl_jobflow.comparison.diffraction.fitting import (
    drawn_pattern,
    fit_pattern,
    fit_patterns,
    similarity,
)
from crystalicl_jobflow.comparison.diffraction.pattern_files import measured_pattern, read_pattern
from crystalicl_jobflow.comparison.diffraction.profiles import MeasuredProfile

__all__ = [
    "MeasuredProfile",
    "drawn_pattern",
    "fit_pattern",
    "fit_patterns",
    "measured_pattern",
    "read_pattern",
    "similarity",
]
