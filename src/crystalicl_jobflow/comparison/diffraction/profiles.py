"""Patterns on a common grid of 1/d, and how similar two of them are.

The similarity is the normalised cross-correlation of de Gelder, Wehrens and Hageman (J. Comput.
Chem. 22, 273 (2001)), ``∫ w c_fg / sqrt(∫ w c_ff ∫ w c_gg)``. A weight ``w`` that is the
autocorrelation of a kernel, as their triangle is of a box, makes it the cosine between the
patterns smoothed with this kernel: peaks may be as far apart as the kernel is wide. Here it is a
Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from crystalicl_jobflow.schemas.diffraction import PowderPattern

Floats = NDArray[np.float64]

STEP = 0.0005
"""Å⁻¹ between two points of the grid: 0.05 degrees for Cu Kα at low angles."""

LARGEST = 1.25
"""Largest 1/d that is compared, Å⁻¹ (d = 0.8 Å): beyond, reflections are many and weak."""

MARGIN = 0.06
"""Å⁻¹ that are kept free beside a pattern, so that its ends do not touch in the transform."""

LEAST_RANGE = 0.02
"""Å⁻¹ that a pattern covers at least, about two degrees for Cu Kα."""

PEAKS_APART = 1.5
"""A list of peaks, not a scan: from one step to the next, steps change by this factor or more at
the median."""

BACKGROUND_WIDTH = 1.5
"""Degrees over which what is broad counts as background, to either side."""

SMOOTHED = 0.1
"""Degrees to either side over which counts are averaged before their background is sought."""


@dataclass(frozen=True)
class Grid:
    """Points of 1/d.

    Parameters
    ----------
    start
        Left edge of the first, Å⁻¹.
    size
        How many.
    """

    start: float
    size: int

    @property
    def end(self) -> float:
        """Right edge of the last point, Å⁻¹."""
        return self.start + self.size * STEP

    @cached_property
    def padded(self) -> int:
        """Points of a Fourier transform whose ends do not touch."""
        return int(next_fast_len(self.size + round(MARGIN / STEP), real=True))

    def sticks(self, places: Floats, heights: Floats) -> Floats:
        """Return sticks on the grid, each divided between two points, shape (padded,).

        Parameters
        ----------
        places
            1/d in Å⁻¹, shape (n,); those outside of the grid are left out.
        heights
            Shape (n,).
        """
        at = (places - self.start) / STEP - 0.5
        left = np.floor(at).astype(int)
        inside = (left >= 0) & (left < self.size - 1)
        share = (at - left)[inside]
        left, heights = left[inside], heights[inside]
        total = np.zeros(self.padded)
        total += np.bincount(left, heights * (1 - share), minlength=self.padded)
        total += np.bincount(left + 1, heights * share, minlength=self.padded)
        return total

    def kernel(self, width: float) -> Floats:
        """Return the Fourier transform of a Gaussian of unit area, shape (padded // 2 + 1,).

        Parameters
        ----------
        width
            FWHM, Å⁻¹.
        """
        sigma = width / (2 * math.sqrt(2 * math.log(2))) / STEP
        frequencies = np.arange(self.padded // 2 + 1) / self.padded
        found: Floats = np.exp(-2 * (math.pi * sigma * frequencies) ** 2)
        return found


@dataclass(frozen=True)
class MeasuredProfile:
    """A measured pattern on the grid, without its background.

    Parameters
    ----------
    pattern
        What was measured.
    grid
        The grid.
    values
        Integrated intensity at its points, shape (padded,).
    """

    pattern: PowderPattern
    grid: Grid
    values: Floats
    _smoothed: dict[float, tuple[Floats, NDArray[np.complex128], float]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(cls, pattern: PowderPattern) -> MeasuredProfile:
        """Prepare a pattern.

        Raises
        ------
        ValueError
            If its range is too short; one line.
        """
        angles = np.asarray(pattern.two_theta)
        heights = np.asarray(pattern.intensity)
        places = 2 * np.sin(np.radians(angles / 2)) / pattern.wavelength
        listed = is_peak_list(pattern)
        beside = 0.01 if listed else 0.0  # peaks at the ends are whole
        start = max(float(places[0]) - beside, STEP)
        end = min(float(places[-1]) + beside, LARGEST)
        if end - start < LEAST_RANGE:
            raise ValueError(
                f"{pattern.name}: 2θ from {angles[0]:g} to {angles[-1]:g} is too short a range"
            )
        grid = Grid(start, int((end - start) / STEP))
        if listed:
            return cls(pattern, grid, grid.sticks(places, np.clip(heights, 0, None)))
        counts = heights - background(angles, heights)
        areas = (counts[1:] + counts[:-1]) / 2 * np.diff(angles)
        edges = grid.start + STEP * np.arange(grid.size + 1)
        values = np.zeros(grid.padded)
        values[: grid.size] = np.diff(np.interp(edges, places, np.append(0.0, np.cumsum(areas))))
        return cls(pattern, grid, values)

    def similarity(self, places: Floats, heights: Floats, *, width: float) -> float:
        """Return how similar calculated reflections are, 0 to 1.

        Parameters
        ----------
        places
            Their 1/d, Å⁻¹, shape (n,).
        heights
            Their integrated intensities, shape (n,).
        width
            FWHM of the Gaussian that both patterns are smoothed with, Å⁻¹.
        """
        kernel, measured, norm = self._with_width(width)
        own = rfft(self.grid.sticks(places, heights)) * kernel
        length = norm * _length(own)
        if length <= 0:
            return 0.0
        return max(0.0, float(_over_all((measured.conj() * own).real)) / length)

    def _with_width(self, width: float) -> tuple[Floats, NDArray[np.complex128], float]:
        if width not in self._smoothed:
            kernel = self.grid.kernel(width)
            measured = rfft(self.values) * kernel
            self._smoothed[width] = (kernel, measured, _length(measured))
        return self._smoothed[width]


def _over_all(values: Floats) -> float:
    """Return the sum over all frequencies, of which the transform of real numbers has half."""
    return float(2 * values.sum() - values[0])


def _length(values: NDArray[np.complex128]) -> float:
    return math.sqrt(max(_over_all(np.abs(values) ** 2), 0.0))


def is_peak_list(pattern: PowderPattern) -> bool:
    """Return whether a pattern lists peaks, where a scan has steps that are alike."""
    steps = np.diff(np.asarray(pattern.two_theta))
    if len(steps) < 2:
        return True
    changes = np.abs(np.log(steps[1:] / steps[:-1]))
    return bool(np.median(changes) > math.log(PEAKS_APART))


def background(angles: Floats, heights: Floats) -> Floats:
    """Return the background of a scan by peak clipping (SNIP).

    C. G. Ryan et al., Nucl. Instrum. Methods B 34, 396 (1988), with decreasing windows (M. Morháč
    et al., Nucl. Instrum. Methods A 401, 113 (1997)) and without their logarithm, so that counts
    may be negative.

    Parameters
    ----------
    angles
        2θ in degrees, shape (n,).
    heights
        Shape (n,).
    """
    step = float(np.median(np.diff(angles)))
    window = min(max(2, round(BACKGROUND_WIDTH / step)), (len(angles) - 1) // 2)
    found: Floats = uniform_filter1d(heights, 2 * max(1, round(SMOOTHED / step)) + 1)
    for reach in range(window, 0, -1):
        middle = (found[2 * reach :] + found[: -2 * reach]) / 2
        found[reach:-reach] = np.minimum(found[reach:-reach], middle)
    return found
