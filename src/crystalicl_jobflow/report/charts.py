"""Charts as inline SVG: they follow the page's colours, print, and need no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

WIDTH, HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 28
_LETTER = 6.2  # width of a letter in a label, about
MOST_BINS = 30
_CLIPPED = 0.5  # per cent of the values at either end that go into the outermost bins


@dataclass(frozen=True)
class Distribution:
    """Shares of crystals over bins or categories, of a run and of its reference.

    Parameters
    ----------
    title
        What is distributed, with its unit.
    labels
        Name of each bin.
    generated, reference
        Share in each bin; no reference, no shares of it.
    num_generated, num_reference
        Crystals that the shares are of.
    edges
        Edges of the bins, one more than labels; empty for categories.
    remarks
        What a reader has to know.
    figures
        Medians and the like, as (what, value) in words.
    """

    title: str
    labels: tuple[str, ...]
    generated: tuple[float, ...]
    reference: tuple[float, ...] = ()
    num_generated: int = 0
    num_reference: int = 0
    edges: tuple[float, ...] = ()
    remarks: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def svg(self) -> Markup:
        """The chart."""
        return _chart(self)


def histogram(
    title: str, generated: Sequence[float], reference: Sequence[float] = ()
) -> Distribution:
    """Bin continuous values; bins are common to run and reference.

    Parameters
    ----------
    title
        What is distributed, with its unit.
    generated, reference
        Values.
    """
    own, other = np.asarray(generated, dtype=float), np.asarray(reference, dtype=float)
    both = np.concatenate([own, other])
    low, high = np.percentile(both, [_CLIPPED, 100 - _CLIPPED]) if len(both) > 200 else (
        both.min(), both.max(),
    )  # fmt: skip
    edges = _round_edges(float(low), float(high), max(len(own), len(other)))
    clipped = int(np.sum((both < edges[0]) | (both > edges[-1])))
    labels = [f"{a:g} to {b:g}" for a, b in pairwise(edges.tolist())]
    figures = [("median, generated", f"{np.median(own):.3g}")]
    if len(other):
        figures.append(("median, reference", f"{np.median(other):.3g}"))
    return Distribution(
        title=title,
        labels=tuple(labels),
        generated=_binned(own, edges),
        reference=_binned(other, edges) if len(other) else (),
        num_generated=len(own),
        num_reference=len(other),
        edges=tuple(edges),
        remarks=["The outermost bars hold everything beyond them."] if clipped else [],
        figures=figures,
    )


def categories(
    title: str,
    generated: Sequence[str],
    reference: Sequence[str] = (),
    *,
    order: Sequence[str] | None = None,
    most: int = 12,
) -> Distribution:
    """Count categories.

    Parameters
    ----------
    title
        What is distributed.
    generated, reference
        The category of each crystal.
    order
        Categories in their own order; by default the most frequent among the generated.
    most
        Most categories shown where there is no order; the rest are one category.
    """
    own, other = list(generated), list(reference)
    if order is None:
        counts = {name: own.count(name) for name in dict.fromkeys(own)}
        names = sorted(counts, key=lambda name: (-counts[name], name))
        labels = names[:most]
        if len(names) > most or set(other) - set(labels):
            labels.append("others")
        own = [name if name in labels else "others" for name in own]
        other = [name if name in labels else "others" for name in other]
    else:
        labels = [name for name in order if name in own or name in other]
    return Distribution(
        title=title,
        labels=tuple(labels),
        generated=_shares(own, labels),
        reference=_shares(other, labels) if other else (),
        num_generated=len(own),
        num_reference=len(other),
    )


def _shares(values: Sequence[str], labels: Sequence[str]) -> tuple[float, ...]:
    return tuple(values.count(label) / len(values) if values else 0.0 for label in labels)


def _round_edges(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Return edges at round values, about twice the root of the count of them."""
    wanted = int(np.clip(2 * np.sqrt(count), 8, MOST_BINS))
    width = (high - low) / wanted
    if width <= 1e-6 * max(abs(low), abs(high), 1.0):  # one value, but for rounding
        width = max(abs(low) * 0.1, 0.1)
    power = 10.0 ** np.floor(np.log10(width))
    step = float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= width))
    first = np.floor(low / step + 1e-9)
    last = max(np.ceil(high / step - 1e-9), first + 1)
    return np.round(np.arange(first, last + 1) * step, 10)


def _binned(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[float, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return tuple(float(count) / max(len(values), 1) for count in counts)


def _chart(chart: Distribution) -> Markup:
    highest = max([*chart.generated, *chart.reference, 0.01])
    ceiling = _ceiling(highest)
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    slot = wide / max(len(chart.labels), 1)
    parts = [_grid(ceiling, wide, high)]
    for place, (label, share) in enumerate(zip(chart.labels, chart.generated, strict=True)):
        x = _LEFT + place * slot
        words = f"{label}: {100 * share:.1f} % of generated"
        if chart.reference:
            words += f", {100 * chart.reference[place]:.1f} % of reference"
        bars = [_bar("own", x, slot, share / ceiling * high, chart, high)]
        if chart.reference and not chart.edges:
            other = chart.reference[place] / ceiling * high
            bars.append(_bar("other", x, slot, other, chart, high))
        parts.append(
            f"<g><title>{escape(words)}</title>"
            f'<rect class="hit" x="{x:.1f}" y="{_TOP}" width="{slot:.1f}" height="{high}"/>'
            f"{''.join(bars)}</g>"
        )
    if chart.reference and chart.edges:
        parts.append(_steps([share / ceiling * high for share in chart.reference], slot, high))
    parts.append(_axis(chart, slot, high))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT + _deeper(chart, slot):.0f}" role="img"'
        f' aria-label="{escape(chart.title)}">{"".join(parts)}</svg>'
    )


def _bar(kind: str, x: float, slot: float, length: float, chart: Distribution, high: float) -> str:
    if chart.edges:
        left, width = x + 0.5, slot - 1
    else:
        gap = slot * 0.14
        each = (slot - 2 * gap) / (2 if chart.reference else 1)
        left = x + gap + (each if kind == "other" else 0)
        width = each - 1
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{_TOP + high - length:.1f}"'
        f' width="{max(width, 0.5):.1f}" height="{length:.1f}"/>'
    )


def _steps(heights: list[float], slot: float, high: float) -> str:
    """Return the outline of the reference's histogram."""
    base = _TOP + high
    path = [f"M{_LEFT} {base}"]
    for place, height in enumerate(heights):
        path.append(f"V{base - height:.1f}H{_LEFT + (place + 1) * slot:.1f}")
    return f'<path class="outline" d="{"".join(path)}V{base}"/>'


def _ceiling(highest: float) -> float:
    steps = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    return next((step for step in steps if step >= highest - 1e-9), 1.0)


def _grid(ceiling: float, wide: float, high: float) -> str:
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = _TOP + high * (1 - part)
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">'
            f"{100 * part * ceiling:g} %</text>"
        )
    return "".join(lines)


def _deeper(chart: Distribution, slot: float) -> float:
    """Return how much room tilted labels need; none where they fit side by side."""
    longest = _LETTER * max((len(label) for label in chart.labels), default=0)
    return 0.0 if chart.edges or longest <= slot else 0.53 * longest


def _axis(chart: Distribution, slot: float, high: float) -> str:
    """Return the labels under the bars; of many bins only some."""
    y = _TOP + high + 15
    texts = []
    if chart.edges:
        every = max(1, round(len(chart.edges) / 7))
        for place in range(0, len(chart.edges), every):
            x = _LEFT + place * slot
            texts.append(
                f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{chart.edges[place]:g}</text>'
            )
        return "".join(texts)
    tilted = _deeper(chart, slot) > 0
    for place, label in enumerate(chart.labels):
        x = _LEFT + (place + 0.5) * slot
        turn = f' transform="rotate(-32 {x:.1f} {y})" text-anchor="end"' if tilted else (
            ' text-anchor="middle"'
        )  # fmt: skip
        texts.append(f'<text x="{x:.1f}" y="{y}"{turn}>{escape(label)}</text>')
    return "".join(texts)
