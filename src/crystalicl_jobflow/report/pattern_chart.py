"""A measured powder pattern above those of the best crystals, as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalicl_jobflow.comparison.diffraction import drawn_pattern
from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.schemas.diffraction import PatternFit, PowderPattern

WIDTH = 720
MEASURED, CALCULATED = 150, 96
"""Heights of the panels."""
_LEFT, _RIGHT, _TOP, _AXIS, _GAP = 12, 12, 24, 34, 26
_TICK = 9
MOST_LABELS = 12
_SEEN = 0.3  # of a pixel
SHOWN = 3
"""Crystals whose patterns are drawn."""


@dataclass(frozen=True)
class PatternPicture:
    """The picture of a pattern with what a page says of it.

    Parameters
    ----------
    pattern
        What was measured.
    svg
        The picture.
    rows
        Place of each crystal drawn, its label and its fit, the best first.
    fitted
        Candidates that were compared with the pattern.
    """

    pattern: PowderPattern
    svg: Markup
    rows: tuple[tuple[int, str, PatternFit], ...]
    fitted: int


def pattern_picture(run: Run, places: Sequence[int]) -> PatternPicture | None:
    """Return the picture of a run's pattern; None where it has none.

    Parameters
    ----------
    run
        The run.
    places
        Places of the crystals that the page shows; the most similar of these are drawn.
    """
    pattern = run.pattern
    if pattern is None:
        return None
    known = [(place, run.candidates[place]) for place in places]
    fits = [
        (place, item, item.xrd)
        for place, item in known
        if item.structure is not None
        and item.xrd is not None
        and item.xrd.similarity is not None
        and item.xrd.pattern_sha256 == pattern.sha256
    ]
    fits.sort(key=lambda found: -(found[2].similarity or 0.0))
    rows, crystals = [], []
    for place, item, fit in fits[:SHOWN]:
        assert item.structure is not None
        group = f" {item.space_group_symbol} ({item.space_group})" if item.space_group else ""
        rows.append((place, f"{item.formula_pretty}{group}", fit))
        crystals.append(fit.refined(item.structure) or item.structure)
    labels = [f"{label}, similarity {fit.similarity:.3f}" for _, label, fit in rows]
    fitted = sum(item.xrd is not None for item in run.candidates)
    return PatternPicture(pattern, draw_patterns(pattern, crystals, labels), tuple(rows), fitted)


def draw_patterns(
    pattern: PowderPattern, crystals: Sequence[Structure], labels: Sequence[str]
) -> Markup:
    """Return the measured pattern above the calculated ones.

    Parameters
    ----------
    pattern
        What was measured, drawn as it is, with its background.
    crystals
        Crystals with their refined cells.
    labels
        One line for each crystal.
    """
    first, last = pattern.two_theta[0], pattern.two_theta[-1]
    wide = WIDTH - _LEFT - _RIGHT

    def across(angles: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = _LEFT + (angles - first) / (last - first) * wide
        return found

    high = _TOP + MEASURED + len(crystals) * (CALCULATED + _GAP)
    parts = [_axis(first, last, across, high)]
    angles, heights = np.asarray(pattern.two_theta), np.asarray(pattern.intensity)
    heights = np.clip(heights, 0, None)
    parts.append(_line("measured", across(angles), heights, _TOP + MEASURED, MEASURED))
    parts.append(_label("measured", f"measured: {pattern.name}", _TOP - 8))
    base = _TOP + MEASURED
    for crystal, label in zip(crystals, labels, strict=True):
        base += _GAP + CALCULATED
        grid, profile, peaks = drawn_pattern(crystal, pattern)
        parts.append(_line("calculated", across(grid), profile, base - _TICK, CALCULATED - _TICK))
        ticks = "".join(f"M{x:.1f} {base}v-{_TICK - 3}" for x in across(peaks))
        parts.append(f'<path class="ticks" d="{ticks}"/>')
        parts.append(_label("calculated", f"calculated: {label}", base - CALCULATED - 6))
    words = f"Measured pattern {pattern.name} above {len(crystals)} calculated"
    return Markup(
        f'<svg class="chart pattern" viewBox="0 0 {WIDTH} {high + _AXIS}" role="img"'
        f' aria-label="{escape(words)}">{"".join(parts)}</svg>'
    )


def _label(kind: str, text: str, y: float) -> str:
    return (
        f'<text class="{kind}-label" x="{_LEFT}" y="{y}" text-anchor="start">{escape(text)}</text>'
    )


def _line(
    kind: str, x: NDArray[np.float64], heights: NDArray[np.float64], base: float, high: float
) -> str:
    """Return a profile; of many points in one column of the picture, lowest and highest."""
    y = base - heights / max(float(heights.max(initial=0.0)), 1e-12) * high
    columns = np.floor(x * 2).astype(int)
    starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
    lowest, highest = np.maximum.reduceat(y, starts), np.minimum.reduceat(y, starts)
    points = [f"{x[starts[0]]:.1f} {y[0]:.1f}"]
    for at, low, top in zip(x[starts], lowest, highest, strict=True):
        points.append(f"{at:.1f} {low:.1f}")
        if low - top > _SEEN:
            points.append(f"{at:.1f} {top:.1f}")
    return f'<path class="{kind}" d="M{"L".join(points)}"/>'


def _axis(
    first: float,
    last: float,
    across: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    high: float,
) -> str:
    step = next(step for step in (1, 2, 5, 10, 20) if (last - first) / step <= MOST_LABELS)
    parts = []
    for angle in np.arange(np.ceil(first / step) * step, last + 1e-9, step):
        x = float(across(np.array([angle]))[0])
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{high}"/>'
            f'<text x="{x:.1f}" y="{high + 14}" text-anchor="middle">{angle:g}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{high + 29}" text-anchor="middle">2θ in degrees</text>')
    return "".join(parts)
