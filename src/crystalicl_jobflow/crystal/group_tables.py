"""The tables of the 230 space groups: operations, Wyckoff positions, normalizers.

They are in the one setting that the texts use, see :mod:`crystalicl_jobflow.crystal.wyckoff`,
through which everything here is to be had.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from crystalicl_jobflow.crystal.integer_algebra import integer_annihilator, parse_triplet
from crystalicl_jobflow.crystal.space_groups import symbol


@dataclass(frozen=True, eq=False)
class SpaceGroupOperations:
    """Operations of the conventional cell, centring translations included.

    Attributes
    ----------
    rotations
        Integers, shape (n, 3, 3), acting on fractional column vectors.
    translations
        Shape (n, 3), in [0, 1).
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)

    def apply(self, frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all images of points of shape (m, 3), shape (m, n, 3), not wrapped."""
        turned = frac_coords @ self._stacked
        return turned.reshape(len(frac_coords), -1, 3) + self.translations

    @cached_property
    def _stacked(self) -> NDArray[np.float64]:
        # (3, 3n): one matrix product instead of n small ones
        return self.rotations.reshape(-1, 3).T.astype(float)


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One Wyckoff position; its first coordinate triplet is ``rotation @ (x, y, z) + translation``.

    Attributes
    ----------
    letter
        Wyckoff letter (``A`` stands for alpha in group 47).
    multiplicity
        Points in the conventional cell.
    site_symmetry
        Oriented site-symmetry symbol.
    degrees_of_freedom
        0 (fixed: can be taken once) to 3 (general).
    rotation, translation
        The map from free parameters to the first triplet, shapes (3, 3) and (3,).
    annihilator
        Integer rows, shape (3 - degrees_of_freedom, 3): ``annihilator @ (p - translation)``
        is integral exactly where ``p`` lies on the first triplet, up to a lattice vector.
    """

    letter: str
    multiplicity: int
    site_symmetry: str
    degrees_of_freedom: int
    rotation: NDArray[np.int64]
    translation: NDArray[np.float64]
    annihilator: NDArray[np.int64]

    @cached_property
    def padded_annihilator(self) -> NDArray[np.float64]:
        """The annihilator with rows of zeros below, shape (3, 3)."""
        padded = np.zeros((3, 3))
        padded[: len(self.annihilator)] = self.annihilator
        return padded


@dataclass(frozen=True, eq=False)
class Normalizer:
    """The equivalent descriptions of the same crystal in one space group.

    Attributes
    ----------
    polar
        Axes along which the origin is free, shape (3,), boolean.
    rotations, translations
        One per coset of the group in its proper Euclidean normalizer (generic metric),
        the identity first: integers (n, 3, 3) and (n, 3).
    letters
        Per coset: what each Wyckoff letter, in order, becomes.
    """

    polar: NDArray[np.bool_]
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    letters: tuple[dict[str, str], ...]


@cache
def _tables() -> list[dict[str, Any]]:
    path = resources.files("crystalicl_jobflow.crystal") / "data" / "space_groups.json"
    tables: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return tables


def _table(number: int) -> dict[str, Any]:
    symbol(number)  # raises an error for an invalid number
    return _tables()[number - 1]


@cache
def operations(number: int) -> SpaceGroupOperations:
    """Return the operations of a group in the texts' setting."""
    database: Any = spglib.get_symmetry_from_database(_table(number)["hall_number"])
    # the database holds decimals such as 0.333333333; exact fractions average exactly
    translations = np.rint(np.asarray(database["translations"]) * 24) / 24
    return SpaceGroupOperations(np.asarray(database["rotations"], dtype=np.int64), translations)


@cache
def wyckoff_positions(number: int) -> tuple[WyckoffPosition, ...]:
    """Return the Wyckoff positions of a group in the order of their letters, ``a`` first."""
    positions = []
    for letter, multiplicity, site_symmetry, triplet in _table(number)["wyckoff"]:
        linear, shift = parse_triplet(triplet)
        annihilator = integer_annihilator(linear)
        positions.append(
            WyckoffPosition(
                letter,
                multiplicity,
                site_symmetry,
                3 - len(annihilator),
                np.array(linear, dtype=np.int64),
                np.array(shift, dtype=float),
                annihilator,
            )
        )
    return tuple(positions)


@cache
def normalizer(number: int) -> Normalizer:
    """Return the choices of origin and axes that describe the same crystals in a group."""
    table = _table(number)
    names = [row[0] for row in table["wyckoff"]]
    return Normalizer(
        np.array(table["polar"], dtype=bool),
        np.array([row[0] for row in table["normalizer"]], dtype=np.int64).reshape(-1, 3, 3),
        np.array([row[1] for row in table["normalizer"]]) / 24,
        tuple(dict(zip(names, row[2], strict=True)) for row in table["normalizer"]),
    )
