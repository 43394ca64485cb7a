"""The 230 space groups in the one setting that the texts use.

Setting: spglib's default for a space-group number, the lowest Hall number (origin
choice 1, hexagonal axes for rhombohedral groups, unique axis b, cell choice b1).
Everything is looked up in ``data/space_groups.json``, which ``data/build_tables.py``
writes, and in spglib's database of operations.

Fractional coordinates are those of the conventional cell; lengths are in Å and angles
in degrees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
import spglib
from numpy.typing import ArrayLike, NDArray

from crystalicl_jobflow.text._affine import integer_annihilator, parse_triplet

#: Largest fractional change (max-norm) under an operation that still counts as staying
#: put. Two decimals are right to 0.005 per coordinate and an operation can triple that;
#: 0.1 was measured to merge sites that are distinct, 0.005 to split sites that are not.
#: Just off the grid of two decimals, so that rounding errors never decide a comparison.
SNAP_TOLERANCE = 0.03 - 1e-6
#: Rounds of averaging; nearly every site is stable after one or two.
SNAP_ROUNDS = 4
#: Images of an averaged point closer than this (fractional, max-norm) are one point.
SAME_POINT = 1e-4
#: A snapped point counts as on a position up to this much; its equations have coefficients.
_ON_POSITION = 10 * SAME_POINT

_SYSTEM_STARTS = (
    (1, "triclinic"),
    (3, "monoclinic"),
    (16, "orthorhombic"),
    (75, "tetragonal"),
    (143, "trigonal"),
    (168, "hexagonal"),
    (195, "cubic"),
)
_CENTRING = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
#: Older names of the groups with an e-glide (International Tables A, 1983 and before).
_OLD_NAMES = {
    "Abm2": 39, "Aba2": 41, "Cmca": 64, "Cmma": 67, "Ccca": 68,
    "Pm3": 200, "Pn3": 201, "Fm3": 202, "Fd3": 203, "Im3": 204,
    "Pa3": 205, "Ia3": 206, "Pm3m": 221, "Pn3n": 222, "Pm3n": 223, "Pn3m": 224,
    "Fm3m": 225, "Fm3c": 226, "Fd3m": 227, "Fd3c": 228, "Im3m": 229, "Ia3d": 230,
}  # fmt: skip


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

    @property
    def _stacked(self) -> NDArray[np.float64]:
        # (3, 3n): one matrix product instead of n small ones
        stacked = self.__dict__.get("_stacked_cache")
        if stacked is None:
            stacked = self.rotations.reshape(-1, 3).T.astype(float)
            self.__dict__["_stacked_cache"] = stacked
        return stacked


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
    """The other descriptions of one and the same crystal in one space group.

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


@dataclass(frozen=True, eq=False)
class SnapResult:
    """Points moved onto their Wyckoff positions.

    Attributes
    ----------
    frac_coords
        Shape (n, 3), not wrapped.
    multiplicity
        Points of each orbit in the conventional cell, shape (n,).
    stabilizer_mask
        Operations that leave each point where it is, up to a lattice vector, shape
        (n, operations).
    """

    frac_coords: NDArray[np.float64]
    multiplicity: NDArray[np.int64]
    stabilizer_mask: NDArray[np.bool_]


@cache
def _tables() -> list[dict[str, Any]]:
    path = resources.files("crystalicl_jobflow.text") / "data" / "space_groups.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _table(number: int) -> dict[str, Any]:
    if not 1 <= number <= 230:
        raise ValueError(f"space group {number}: the number must lie between 1 and 230")
    return _tables()[number - 1]


def _plain(name: str) -> str:
    """Strip what does not distinguish one symbol from another."""
    return "".join(c for c in name if c not in " _{}$").replace("\\bar", "-").casefold()


@cache
def _numbers_by_name() -> dict[str, int]:
    names: dict[str, int] = {}
    for number_, table in enumerate(_tables(), start=1):
        kind: Any = spglib.get_spacegroup_type(table["hall_number"])
        for name in (table["symbol"], kind.international_full):
            names.setdefault(_plain(name), number_)
    for name, number_ in _OLD_NAMES.items():
        names.setdefault(_plain(name), number_)
    return names


def symbol(number: int) -> str:
    """Return the short Hermann-Mauguin symbol, for example ``P4/mmm``.

    Raises
    ------
    ValueError
        Where the number is not one of 1 to 230.
    """
    return str(_table(number)["symbol"])


def number(symbol_or_number: str | int) -> int:
    """Return the number of a space group.

    Parameters
    ----------
    symbol_or_number
        A number, or a symbol: short or full, with or without underscores and spaces,
        in any case, and the usual older names (``Cmca``, ``Fm3m``). Symbols of other
        settings (``I2/a``, ``P2_1/n``) are refused: their coordinates differ.

    Raises
    ------
    ValueError
        Where it names no space group in the standard setting.
    """
    if isinstance(symbol_or_number, str):
        text = symbol_or_number.strip()
        if not text.isdecimal():
            found = _numbers_by_name().get(_plain(text))
            if found is None:
                raise ValueError(f"no space group is called {text!r} in the standard setting")
            return found
        symbol_or_number = int(text)
    _table(int(symbol_or_number))
    return int(symbol_or_number)


def crystal_system(number: int) -> str:
    """Return the crystal system of a group number, ``triclinic`` to ``cubic``."""
    _table(number)
    return [name for start, name in _SYSTEM_STARTS if number >= start][-1]


def centring_multiplicity(number: int) -> int:
    """Return how many primitive cells the conventional cell holds (1, 2, 3 or 4)."""
    return _CENTRING[symbol(number)[0]]


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


def snap(frac_coords: ArrayLike, number: int, tol: float = SNAP_TOLERANCE) -> SnapResult:
    """Move points onto the Wyckoff positions that they are meant to be on.

    Every operation that moves a point by less than `tol` is taken to leave it in place,
    and the point is averaged over them; this is repeated until nothing moves.
    `SGS.build` uses this very function, so it tells what a text decodes to.

    Parameters
    ----------
    frac_coords
        Shape (n, 3).
    number
        Space-group number.
    tol
        Fractional, max-norm.
    """
    group = operations(number)
    points = np.array(frac_coords, dtype=float).reshape(-1, 3)
    for _ in range(SNAP_ROUNDS):
        moves = group.apply(points) - points[:, None]  # (n, operations, 3)
        moves -= np.rint(moves)
        stays = np.abs(moves).max(2) < tol
        step = (moves * stays[:, :, None]).sum(1) / stays.sum(1, keepdims=True)
        points += step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    moves = group.apply(points) - points[:, None]
    moves -= np.rint(moves)
    mask = np.abs(moves).max(2) < SAME_POINT
    return SnapResult(points, len(group) // mask.sum(1), mask)


_ORBIT_INDEX: dict[tuple[int, bytes], NDArray[np.int64]] = {}


def orbit(
    frac_coords: ArrayLike, number: int, *, stabilizer_mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return all points equivalent to one point, each once, wrapped into [0, 1).

    Parameters
    ----------
    frac_coords
        Shape (3,), already on its Wyckoff position (see `snap`).
    number
        Space-group number.
    stabilizer_mask
        The point's row of `SnapResult.stabilizer_mask`, where known; saves work.

    Returns
    -------
    numpy.ndarray
        Shape (multiplicity, 3), the point itself first.
    """
    point = np.asarray(frac_coords, dtype=float).reshape(1, 3)
    images = operations(number).apply(point)[0]
    if stabilizer_mask is None:
        moves = images - point
        stabilizer_mask = np.abs(moves - np.rint(moves)).max(1) < SAME_POINT
    # Which images coincide depends on the stabilizer alone, so it is found out once.
    key = (number, stabilizer_mask.tobytes())
    index = _ORBIT_INDEX.get(key)
    if index is None:
        gaps = images[:, None] - images[None]
        same = np.abs(gaps - np.rint(gaps)).max(2) < 2 * SAME_POINT
        index = np.flatnonzero(np.argmax(same, axis=1) == np.arange(len(images)))
        _ORBIT_INDEX[key] = index
    return wrap(images[index])


def wrap(frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates in [0, 1); what lies within 1e-9 below 1 becomes 0."""
    wrapped = frac_coords - np.floor(frac_coords + 1e-9)
    return np.maximum(wrapped, 0.0)


def wyckoff_index(
    frac_coords: NDArray[np.float64], number: int, multiplicity: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return which of `wyckoff_positions` each snapped point belongs to, shape (n,).

    Parameters
    ----------
    frac_coords, multiplicity
        Of a `SnapResult`: shapes (n, 3) and (n,).
    number
        Space-group number.
    """
    found = np.full(len(frac_coords), -1, dtype=np.int64)
    by_multiplicity = _positions_by_multiplicity(number)
    for size in set(multiplicity.tolist()) & set(by_multiplicity):
        same = np.flatnonzero(multiplicity == size)
        indices, planes, shifts = by_multiplicity[size]
        if planes is None:  # a point of the general position can be nothing else
            found[same] = indices[0]
            continue
        images = operations(number).apply(frac_coords[same])  # (m, operations, 3)
        gaps = images @ planes - shifts
        gaps = np.abs(gaps - np.rint(gaps))
        gaps = gaps.reshape(len(same), -1, len(indices), 3).max(3).min(1)  # (m, positions)
        nearest = np.argmin(gaps, axis=1)
        near = gaps[np.arange(len(same)), nearest] < _ON_POSITION
        found[same[near]] = indices[nearest[near]]
    return found


@cache
def _positions_by_multiplicity(
    number: int,
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float64]]]:
    """Return the positions of each multiplicity, their planes side by side, and offsets."""
    sizes: dict[int, list[int]] = {}
    for index, position in enumerate(wyckoff_positions(number)):
        sizes.setdefault(position.multiplicity, []).append(index)
    result: dict[int, Any] = {}
    for size, indices in sizes.items():
        positions = [wyckoff_positions(number)[i] for i in indices]
        rows = np.concatenate([p.padded_annihilator for p in positions])
        shifts = np.concatenate([p.padded_annihilator @ p.translation for p in positions])
        lone = len(indices) == 1 and not len(positions[0].annihilator)
        result[size] = (np.array(indices), None if lone else rows.T.copy(), shifts)
    return result


def on_first_triplets(
    images: NDArray[np.float64], positions: Sequence[WyckoffPosition]
) -> NDArray[np.bool_]:
    """Tell of points of shape (n, m, 3) whether they lie on n positions' first triplets."""
    rows = np.array([position.padded_annihilator for position in positions])  # (n, 3, 3)
    shifts = np.array([position.translation for position in positions])
    gap = (images - shifts[:, None]) @ rows.transpose(0, 2, 1)
    return np.asarray(np.abs(gap - np.rint(gap)).max(-1) < _ON_POSITION)


def constrain_lattice(
    lengths: Sequence[float], angles: Sequence[float], number: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Impose a group's crystal system on cell lengths (Å) and angles (degrees).

    Lengths that must be equal become their mean; angles that are fixed get their value.
    """
    a, b, c = (float(x) for x in lengths)
    system = crystal_system(number)
    if system == "triclinic":
        alpha, beta, gamma = (float(x) for x in angles)
        return (a, b, c), (alpha, beta, gamma)
    if system == "monoclinic":
        return (a, b, c), (90.0, float(angles[1]), 90.0)
    if system == "orthorhombic":
        return (a, b, c), (90.0, 90.0, 90.0)
    if system == "cubic":
        a = b = c = (a + b + c) / 3
        return (a, b, c), (90.0, 90.0, 90.0)
    a = b = (a + b) / 2
    return (a, b, c), (90.0, 90.0, 90.0 if system == "tetragonal" else 120.0)


def lattice_matrix(lengths: Sequence[float], angles: Sequence[float]) -> NDArray[np.float64]:
    """Return lattice vectors in Å as rows, shape (3, 3): c along z, a in the xz plane."""
    a, b, c = lengths
    cos_alpha, cos_beta, cos_gamma = np.cos(np.radians(angles))
    sin_alpha, sin_beta, _ = np.sin(np.radians(angles))
    cos_gamma_star = np.clip((cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta), -1, 1)
    sin_gamma_star = np.sqrt(1 - cos_gamma_star**2)
    return np.array(
        [
            [a * sin_beta, 0.0, a * cos_beta],
            [-b * sin_alpha * cos_gamma_star, b * sin_alpha * sin_gamma_star, b * cos_alpha],
            [0.0, 0.0, c],
        ]
    )
