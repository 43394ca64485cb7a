"""The cell of a crystal refined to a measured pattern, within its group, and the similarity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import minimize

from crystalicl_jobflow.comparison.diffraction.profiles import MeasuredProfile
from crystalicl_jobflow.comparison.diffraction.reflections import (
    Reflections,
    calculator,
    limited,
    reflections,
)
from crystalicl_jobflow.schemas.diffraction import PatternFit, PowderPattern
from crystalicl_jobflow.thresholds import (
    PATTERN_SCALING,
    PATTERN_SEARCH_WIDTH,
    PATTERN_STRAIN,
    PATTERN_WIDTH,
    SYMPREC,
)
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.parallel import map_list, time_limit
from crystalicl_jobflow.utils.progress import Progress

Floats = NDArray[np.float64]

SCALES = 41
"""Scales that are tried."""

MAX_SECONDS = 20.0
"""CPU time for one crystal."""

METHOD = (
    f"cosine of patterns smoothed to {PATTERN_WIDTH:g} 1/Å FWHM (de Gelder 2001), cell refined in"
    " its group, peaks by pymatgen"
)


def fit_patterns(
    structures: Sequence[Structure | None],
    pattern: PowderPattern,
    *,
    symprec: float = SYMPREC,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[PatternFit]:
    """Compare crystals with a measured pattern.

    Parameters
    ----------
    structures
        The crystals; None gets a fit without a similarity.
    pattern
        What was measured.
    symprec
        Tolerance in Å of the groups that cells keep.
    processes
        Processes that share the crystals.
    progress
        Called with (crystals done, of).

    Returns
    -------
    list of PatternFit
        In order; never raises for a crystal.

    Raises
    ------
    ValueError
        If the pattern covers too short a range; one line.
    """
    profile = MeasuredProfile.of(pattern)
    return map_list(
        partial(fit_pattern, profile=profile, symprec=symprec),
        structures,
        processes=processes,
        progress=progress,
        on_death=partial(_died, profile=profile),
    )


def fit_pattern(
    structure: Structure | None, profile: MeasuredProfile, *, symprec: float = SYMPREC
) -> PatternFit:
    """Compare a crystal with a measured pattern, after refining its cell within its group.

    Lengths are scaled by up to `PATTERN_SCALING`, all alike; from the best scale, all parameters
    of the cell that the group leaves free are refined (Nelder and Mead), by up to
    `PATTERN_STRAIN`. Fractional coordinates stay.

    Parameters
    ----------
    structure
        The crystal.
    profile
        The prepared pattern.
    symprec
        Tolerance in Å of the group.
    """
    empty = _empty(profile.pattern)
    if structure is None:
        return empty.model_copy(update={"failure_message": "no crystal"})
    try:
        with time_limit(MAX_SECONDS):
            return _fitted(structure, profile, empty, symprec)
    except Exception as error:  # one crystal must not cost the others
        return empty.model_copy(update={"failure_message": one_line(error)})


def _empty(pattern: PowderPattern) -> PatternFit:
    return PatternFit(
        pattern=pattern.name,
        pattern_sha256=pattern.sha256,
        wavelength=pattern.wavelength,
        radiation=pattern.radiation,
        method=f"{METHOD} {version('pymatgen')}",
    )


def _died(structure: Structure | None, profile: MeasuredProfile) -> PatternFit:  # noqa: ARG001
    found = _empty(profile.pattern)
    return found.model_copy(update={"failure_message": "its process ended; not compared"})


def _fitted(
    structure: Structure, profile: MeasuredProfile, empty: PatternFit, symprec: float
) -> PatternFit:
    wavelength = profile.pattern.wavelength
    grid = profile.grid
    # reflections that a strain moves into the range are there from the start
    beyond = (grid.start * (1 - PATTERN_STRAIN), grid.end * (1 + PATTERN_STRAIN))
    found = reflections(structure, wavelength=wavelength, limits=beyond, symprec=symprec)
    amounts = refine_cell(found, profile)
    strain = np.tensordot(amounts, found.strains, axes=1)
    refined = structure.lattice.matrix @ (np.eye(3) + strain)
    fit = empty.model_copy(update={"lattice": refined.tolist()})
    after = fit.refined(structure)
    assert after is not None
    written = profile.similarity(
        found.positions(np.zeros(len(amounts))), found.intensities, width=PATTERN_WIDTH
    )
    angles = [
        2 * math.degrees(math.asin(min(1.0, wavelength * x / 2))) for x in (grid.start, grid.end)
    ]
    return fit.model_copy(
        update={
            "two_theta": (round(angles[0], 3), round(angles[1], 3)),
            "similarity": round(similarity(after, profile), 4),
            "similarity_as_written": round(written, 4),
            "volume_ratio": round(after.volume / structure.volume, 5),
            "largest_strain": round(float(np.abs(np.linalg.eigvalsh(strain)).max()), 5),
            "num_parameters": len(amounts),
        }
    )


def similarity(
    structure: Structure, profile: MeasuredProfile, *, width: float = PATTERN_WIDTH
) -> float:
    """Return the similarity of a crystal as it is, without any refinement.

    Parameters
    ----------
    structure
        The crystal.
    profile
        The prepared pattern.
    width
        FWHM of the smoothing, Å⁻¹.

    Raises
    ------
    ValueError
        If it has no pattern: an element without scattering factors, no reflection in the range.
    """
    wavelength = profile.pattern.wavelength
    limits = limited(structure, wavelength, (profile.grid.start, profile.grid.end))
    angles = tuple(2 * math.degrees(math.asin(wavelength * x / 2)) for x in limits)
    peaks = calculator(wavelength).get_pattern(structure, scaled=False, two_theta_range=angles)
    places = 2 * np.sin(np.radians(np.asarray(peaks.x) / 2)) / wavelength
    return profile.similarity(places, np.asarray(peaks.y), width=width)


def drawn_pattern(structure: Structure, pattern: PowderPattern) -> tuple[Floats, Floats, Floats]:
    """Return a crystal's pattern as it is drawn beside a measured one.

    Parameters
    ----------
    structure
        The crystal.
    pattern
        Gives range and wavelength.

    Returns
    -------
    tuple
        2θ in degrees and the profile, both of shape (2000,), Gaussian peaks of 1/400 of the range
        FWHM; and the angles of its reflections.
    """
    profile = MeasuredProfile.of(pattern)
    limits = limited(structure, pattern.wavelength, (profile.grid.start, profile.grid.end))
    low, high = (2 * math.degrees(math.asin(pattern.wavelength * x / 2)) for x in limits)
    peaks = calculator(pattern.wavelength).get_pattern(structure, two_theta_range=(low, high))
    angles, heights = np.asarray(peaks.x), np.asarray(peaks.y)
    grid = np.linspace(pattern.two_theta[0], pattern.two_theta[-1], 2000)
    sigma = (grid[-1] - grid[0]) / 400 / (2 * math.sqrt(2 * math.log(2)))
    near = np.exp(-(((grid[:, None] - angles) / sigma) ** 2) / 2)  # (points, peaks)
    return grid, near @ heights, angles


def refine_cell(found: Reflections, profile: MeasuredProfile) -> Floats:
    """Return how much of each free strain makes a crystal most similar, shape (free,).

    Parameters
    ----------
    found
        The crystal's reflections.
    profile
        The prepared pattern.
    """
    free = len(found.strains)
    amounts = np.zeros(free)

    def unlike(values: Floats, width: float) -> float:
        inside = _inside(values, found.strains)
        over = float(np.abs(values - inside).sum())
        places = found.positions(inside)
        return over - profile.similarity(places, found.intensities, width=width)

    best = np.inf
    for scale in np.linspace(-PATTERN_SCALING, PATTERN_SCALING, SCALES):
        trial = np.zeros(free)
        trial[0] = scale
        value = unlike(trial, PATTERN_SEARCH_WIDTH)
        if value < best:
            best, amounts = value, trial
    for width, step in _STAGES:
        options = {
            "initial_simplex": np.vstack([amounts, amounts + step * np.eye(free)]),
            "maxfev": 40 * (free + 1),
            "xatol": 1e-5,
            "fatol": 1e-5,
        }
        answer = minimize(unlike, amounts, args=(width,), method="Nelder-Mead", options=options)
        amounts = _inside(answer.x, found.strains)
    return amounts


def _inside(amounts: Floats, strains: Floats) -> Floats:
    """Return strains that change no length by more than `PATTERN_STRAIN`."""
    largest = float(np.abs(np.linalg.eigvalsh(np.tensordot(amounts, strains, axes=1))).max())
    return amounts * min(1.0, PATTERN_STRAIN / max(largest, 1e-12))


_STAGES = ((PATTERN_SEARCH_WIDTH, 0.01), (PATTERN_WIDTH, 0.004))
"""Smoothing of each stage of the refinement (FWHM, Å⁻¹), and its first step."""
