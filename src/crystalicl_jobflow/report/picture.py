"""A crystal as a still picture, for readers without JavaScript or WebGL, and for paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from crystalicl_jobflow.report.scene import Scene, element_colour, element_radius

SIZE = 300
"""Width and height of the picture in its own units."""

_EDGE_PARTS = 6  # an edge of the cell is drawn in parts, so that atoms can hide some of it


@dataclass(frozen=True)
class _Mark:
    """One thing to draw, and how near the viewer it is."""

    depth: float
    svg: str


def crystal_svg(scene: Scene, *, label: str) -> Markup:
    """Draw a crystal by parallel projection, the farthest parts first.

    Colours come from the gradients that :func:`gradients_svg` defines once per page.

    Parameters
    ----------
    scene
        What is drawn.
    label
        The picture in words; escaped here.
    """
    scale = SIZE / 2 / scene.reach
    marks = [*_edges(scene, scale), *_bonds(scene, scale), *_atoms(scene, scale)]
    marks.sort(key=lambda mark: mark.depth)
    half = SIZE / 2
    return Markup(
        '<svg class="still" viewBox="{} {} {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(-half, -half, SIZE, SIZE, label, Markup("".join(mark.svg for mark in marks)))


def gradients_svg(elements: Iterable[str]) -> Markup:
    """Return an invisible picture with one gradient per element, for all others to use."""
    stops = []
    for symbol in sorted(set(elements)):
        colour = element_colour(symbol)
        stops.append(
            f'<radialGradient id="atom-{symbol}" cx="38%" cy="32%" r="70%">'
            f'<stop offset="0" stop-color="{_mixed(colour, 255, 0.6)}"/>'
            f'<stop offset="0.45" stop-color="{colour}"/>'
            f'<stop offset="1" stop-color="{_mixed(colour, 0, 0.45)}"/></radialGradient>'
        )
    return Markup(
        '<svg width="0" height="0" aria-hidden="true" class="defs"><defs>{}</defs></svg>'
    ).format(Markup("".join(stops)))


def _mixed(colour: str, towards: int, share: float) -> str:
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (towards - part)):02x}" for part in parts)


def _place(point: NDArray[np.float64], scale: float) -> tuple[float, float]:
    """Return where a point is drawn; y points down in the picture."""
    return round(float(point[0]) * scale, 1), round(-float(point[1]) * scale, 1)


def _line(start: NDArray[np.float64], end: NDArray[np.float64], scale: float) -> str:
    (x1, y1), (x2, y2) = _place(start, scale), _place(end, scale)
    return f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'


def _edges(scene: Scene, scale: float) -> list[_Mark]:
    marks = []
    for first, second in scene.edges:
        points = np.linspace(scene.corners[first], scene.corners[second], _EDGE_PARTS + 1)
        for start, end in pairwise(points):
            depth = float(start[2] + end[2]) / 2
            marks.append(_Mark(depth, f'<line class="edge" {_line(start, end, scale)}/>'))
    return marks


def _bonds(scene: Scene, scale: float) -> list[_Mark]:
    width = max(1.2, 0.14 * scale)
    marks = []
    for pair in scene.bonds:
        ends = scene.positions[pair]
        middle = ends.mean(axis=0)
        for atom, end in zip(pair, ends, strict=True):
            colour = _mixed(element_colour(scene.elements[atom]), 0, 0.15)
            along = (middle - end) / max(float(np.linalg.norm(middle - end)), 1e-9)
            end = end + 0.8 * element_radius(scene.elements[atom]) * along  # not from within it
            svg = (
                f'<line class="bond" stroke="{colour}" stroke-width="{width:.1f}"'
                f" {_line(end, middle, scale)}/>"
            )
            marks.append(_Mark(float(end[2] + middle[2]) / 2, svg))
    return marks


def _atoms(scene: Scene, scale: float) -> list[_Mark]:
    marks = []
    for symbol, position in zip(scene.elements, scene.positions, strict=True):
        x, y = _place(position, scale)
        radius = element_radius(symbol) * scale
        svg = f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="url(#atom-{symbol})"/>'
        # by its foremost point: the parts of lines within the sphere are behind it
        marks.append(_Mark(float(position[2]) + element_radius(symbol), svg))
    return marks
