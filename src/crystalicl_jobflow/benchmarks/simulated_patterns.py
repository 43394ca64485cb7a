"""Powder patterns as a diffractometer would measure them, simulated from known crystals."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pymatgen.analysis.diffraction.xrd import WAVELENGTHS, XRDCalculator
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.base import Document
from crystalicl_jobflow.schemas.diffraction import PowderPattern
from crystalicl_jobflow.thresholds import MIN_PATTERN_POINTS

KA2_SHARE = 0.5
"""Intensity of Kα2 over that of Kα1."""

RADIUS = 240.0
"""Radius of the goniometer in mm, for the displacement of the sample."""

SCHERRER = 0.9
"""Shape factor K of Scherrer's equation, FWHM = K λ / (L cos θ)."""


class PatternSimulation(Document):
    """What a simulated measurement is like. Ranges are drawn from evenly, for each crystal."""

    radiation: str = Field("CuKa", description="Name of the doublet: CuKa, CoKa, MoKa, …")
    two_theta: tuple[float, float] = Field((10.0, 90.0), description="Range in degrees.")
    step: float = Field(0.02, gt=0, description="Step in degrees.")
    counts: tuple[float, float] = Field(
        (1e3, 1e4), description="Counts at the highest peak; noise is Poisson's."
    )
    background: tuple[float, float] = Field(
        (0.02, 0.1),
        description="Constant background over the highest peak; at low angles it is three times"
        " as high, and a third as much again is an amorphous hump at 22°.",
    )
    zero_shift: float = Field(0.05, ge=0, description="Largest shift of all angles, degrees.")
    displacement: float = Field(
        0.1, ge=0, description="Largest displacement of the sample, mm (240 mm radius)."
    )
    width: float = Field(0.08, gt=0, description="FWHM of the instrument, degrees; half Lorentz.")
    crystallites: tuple[float, float] = Field(
        (200.0, 1000.0), description="Size of the crystallites in Å: Scherrer's broadening."
    )
    debye_waller: float = Field(0.6, ge=0, description="B of all atoms, Å².")
    intensity_error: float = Field(
        0.15,
        ge=0,
        description="Standard deviation of the logarithm of each peak's intensity: few grains,"
        " weak texture.",
    )

    @model_validator(mode="after")
    def _check(self) -> PatternSimulation:
        _lines(self.radiation)
        for name in ("two_theta", "counts", "background", "crystallites"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} {low:g}:{high:g} is no range of positive numbers")
        low, high = self.two_theta
        if not 0 < low < low + MIN_PATTERN_POINTS * self.step < high < 180:
            raise ValueError(f"two_theta {low:g}:{high:g} is no range between 0 and 180 degrees")
        return self


def simulate_pattern(
    structure: Structure, simulation: PatternSimulation, *, name: str, seed: int
) -> PowderPattern:
    """Return a pattern as a diffractometer would measure it.

    Parameters
    ----------
    structure
        The crystal.
    simulation
        Range, noise, shifts, widths and background.
    name
        Name of the pattern; with the seed it decides what is drawn.
    seed
        Seed.

    Raises
    ------
    ValueError
        If the radiation is not known, or an element has no scattering factor.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    grid = np.arange(*simulation.two_theta, simulation.step)
    zero = draw.uniform(-1, 1) * simulation.zero_shift
    displaced = draw.uniform(-1, 1) * simulation.displacement
    size = draw.uniform(*simulation.crystallites)
    profile = np.zeros(len(grid))
    errors: dict[Any, float] = {}
    for radiation, share in _lines(simulation.radiation).items():
        wavelength = WAVELENGTHS[radiation]
        peaks = XRDCalculator(
            wavelength,
            debye_waller_factors={
                element.symbol: simulation.debye_waller
                for element in structure.composition.elements
            },
        ).get_pattern(structure, scaled=False, two_theta_range=simulation.two_theta)
        theta = np.radians(np.asarray(peaks.x) / 2)
        # one error for each family of planes, the same for both lines of the doublet
        heights = np.array(
            [
                height
                * math.exp(
                    simulation.intensity_error
                    * errors.setdefault(planes[0]["hkl"], draw.standard_normal())
                )
                for height, planes in zip(peaks.y, peaks.hkls, strict=True)
            ]
        )
        shift = zero - np.degrees(2 * displaced * np.cos(theta) / RADIUS)
        scherrer = np.degrees(SCHERRER * wavelength / (size * np.cos(theta)))
        width = np.hypot(simulation.width, scherrer)
        profile += share * _profile(grid, np.asarray(peaks.x) + shift, heights, width)
    counts = draw.uniform(*simulation.counts)
    profile *= counts / max(profile.max(), 1e-12)
    level = counts * draw.uniform(*simulation.background)
    background = level * (
        1 + 2 * np.exp(-(grid - grid[0]) / 12) + np.exp(-((grid - 22) ** 2) / 50) / 3
    )
    return PowderPattern.build(
        grid,
        draw.poisson(profile + background),
        name=name,
        wavelength=simulation.radiation,
    )


def _lines(radiation: str) -> dict[str, float]:
    """Return the lines of a radiation, with their shares."""
    if radiation not in WAVELENGTHS:
        raise ValueError(
            f"radiation {radiation!r} is not known; known are {', '.join(WAVELENGTHS)}"
        )
    if not radiation.endswith("a"):
        return {radiation: 1.0}
    return {f"{radiation}1": 1.0, f"{radiation}2": KA2_SHARE}


def _profile(
    grid: NDArray[np.float64],
    places: NDArray[np.float64],
    heights: NDArray[np.float64],
    widths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the sum of pseudo-Voigt peaks, half Gauss and half Lorentz, of given areas."""
    total = np.zeros(len(grid))
    for place, height, width in zip(places, heights, widths, strict=True):
        x = (grid - place) / width
        gauss = math.sqrt(4 * math.log(2) / math.pi) * np.exp(-4 * math.log(2) * x**2)
        lorentz = 2 / math.pi / (1 + 4 * x**2)
        total += height * (gauss + lorentz) / (2 * width)
    return total
