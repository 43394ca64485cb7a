"""What is drawn of a crystal: its cell, the atoms in it, the bonds between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from crystalicl_jobflow.crystal.radii import atomic_radius

MAX_ATOMS = 600
"""Most atoms drawn of one crystal; larger cells are drawn without images on their borders."""

MAX_BONDED_ATOMS = 400
"""Above so many atoms no bonds are looked for."""

RADIUS_SCALE = 0.36
"""Drawn radius per atomic radius: small enough to look into the cell."""

BOND_FACTOR = 1.15
"""Longest bond drawn, as a multiple of the sum of two atomic radii; a choice for the eye."""

ALLOY_BOND_FACTOR = 1.05
"""The same among metals alone, whose many neighbours would hide each other."""

_BORDER = 0.02  # fractional: atoms this near a face are drawn on the opposite one, too
_NO_COLOUR = "#b0b0b0"


@dataclass(frozen=True)
class Scene:
    """A crystal as it is drawn, in a frame whose y axis points up and z at the viewer.

    Parameters
    ----------
    elements
        Symbol of each atom; the most abundant species of a disordered site.
    positions
        Cartesian, Å, shape (atoms, 3), centred on the cell.
    bonds
        Pairs of indices, shape (bonds, 2).
    corners
        The cell's corners, Å, shape (8, 3); corner ``4 i + 2 j + k`` is at (i, j, k).
    """

    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    bonds: NDArray[np.int64]
    corners: NDArray[np.float64]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs of corners that an edge of the cell joins."""
        return [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]

    @property
    def reach(self) -> float:
        """Half the extent in Å that a picture needs, however the crystal is turned."""
        farthest = [
            np.linalg.norm(points, axis=1).max() for points in (self.corners, self.positions)
        ]
        widest = max(element_radius(symbol) for symbol in self.elements)
        return float(max(farthest)) + widest + 0.1

    def document(self) -> dict[str, Any]:
        """Return the scene as the page's script reads it, rounded to 0.001 Å."""
        return {
            "e": list(self.elements),
            "x": np.round(self.positions, 3).tolist(),
            "b": self.bonds.tolist(),
            "r": round(self.reach, 3),
            "c": np.round(self.corners, 3).tolist(),
        }


def crystal_scene(structure: Structure) -> Scene:
    """Return what is drawn of a crystal's cell, as it is given.

    Atoms on a face, an edge or a corner of the cell appear on all equivalent ones.

    Parameters
    ----------
    structure
        The crystal, ordered or not.
    """
    fractional = np.mod(structure.frac_coords, 1.0)  # (sites, 3)
    fractional[fractional > 1 - 1e-6] = 0.0
    elements = [_main_element(site.species) for site in structure]
    if len(structure) <= MAX_ATOMS:
        elements, fractional = _with_images(elements, fractional)
    rotation = _orientation(structure.lattice.matrix)
    centre = np.full(3, 0.5) @ structure.lattice.matrix
    corners = np.array(list(product((0.0, 1.0), repeat=3))) @ structure.lattice.matrix
    positions = (fractional @ structure.lattice.matrix - centre) @ rotation.T
    return Scene(
        elements=tuple(elements),
        positions=positions,
        bonds=_bonds(elements, positions),
        corners=(corners - centre) @ rotation.T,
    )


def viewer_data(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Return what the pages' script draws: the scenes, and colour and radius of each element.

    Parameters
    ----------
    scenes
        In the order in which the page numbers them.
    """
    elements = sorted({symbol for scene in scenes for symbol in scene.elements})
    return {
        "scenes": [scene.document() for scene in scenes],
        "colours": {symbol: element_colour(symbol) for symbol in elements},
        "radii": {symbol: round(element_radius(symbol), 3) for symbol in elements},
    }


def element_colour(symbol: str) -> str:
    """Return an element's colour in Jmol's scheme, as ``#rrggbb``."""
    red_green_blue = _colour_table().get(symbol)
    if red_green_blue is None:
        return _NO_COLOUR
    return "#" + "".join(f"{round(part):02x}" for part in red_green_blue)


def element_radius(symbol: str) -> float:
    """Return the drawn radius of an element, Å."""
    return RADIUS_SCALE * (atomic_radius(symbol) or 1.5)


def _main_element(species: Any) -> str:
    elements = species.element_composition
    return str(max(elements, key=lambda item: (elements[item], item.symbol)).symbol)


def _with_images(
    elements: list[str], fractional: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """Repeat atoms near a face on the opposite one."""
    drawn: list[str] = []
    places: list[NDArray[np.float64]] = []
    for element, place in zip(elements, fractional, strict=True):
        shifts = [
            (0, 1) if value < _BORDER else (0, -1) if value > 1 - _BORDER else (0,)
            for value in place
        ]
        for shift in product(*shifts):
            drawn.append(element)
            places.append(place + np.array(shift, dtype=float))
    return drawn, np.array(places).reshape(-1, 3)


def _orientation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation that puts c upright and a towards the viewer, turned a little."""
    up = matrix[2] / np.linalg.norm(matrix[2])
    towards = np.cross(matrix[1], matrix[2])
    if np.linalg.det(matrix) < 0:
        towards = -towards
    towards = towards / np.linalg.norm(towards)
    upright = np.array([np.cross(up, towards), up, towards])
    azimuth, elevation = np.radians(-24.0), np.radians(14.0)
    about_y = np.array(
        [
            [np.cos(azimuth), 0, np.sin(azimuth)],
            [0, 1, 0],
            [-np.sin(azimuth), 0, np.cos(azimuth)],
        ]
    )
    about_x = np.array(
        [
            [1, 0, 0],
            [0, np.cos(elevation), -np.sin(elevation)],
            [0, np.sin(elevation), np.cos(elevation)],
        ]
    )
    rotation: NDArray[np.float64] = about_x @ about_y @ upright
    return rotation


def _bonds(elements: list[str], positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pairs near enough to be joined by a stick.

    Sums of Slater's radii are bond lengths, ionic, covalent and metallic alike, to about
    0.12 Å (J. Chem. Phys. 41, 3199 (1964)). Two metals are not joined where there is a
    non-metal, which is what holds them together.
    """
    if not 1 < len(elements) <= MAX_BONDED_ATOMS:
        return np.empty((0, 2), dtype=np.int64)
    radii = np.array([atomic_radius(element) for element in elements])
    metallic = np.array([bool(Element(element).is_metal) for element in elements])
    factor = ALLOY_BOND_FACTOR if metallic.all() else BOND_FACTOR
    longest = factor * (radii[:, None] + radii[None])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)  # (atoms, atoms)
    near = distances <= longest
    if not metallic.all():
        near &= ~(metallic[:, None] & metallic[None])
    return np.argwhere(np.triu(near, 1)).astype(np.int64)


@cache
def _colour_table() -> dict[str, list[float]]:
    import pymatgen.vis
    import yaml

    folder = Path(next(iter(pymatgen.vis.__path__)))
    schemes = yaml.safe_load((folder / "ElementColorSchemes.yaml").read_text(encoding="utf-8"))
    table: dict[str, list[float]] = schemes["Jmol"]
    return table
