"""Space groups in any setting: from a symbol, a number, a Hall symbol or listed operations.

The texts use one setting of each group (:mod:`crystalicl_jobflow.crystal.wyckoff`); files use
any of the 564 that gemmi's tables hold (Int. Tables A, table A1.4.2.7, and those of
sgtbx). Translations are whole numbers of 24ths, so that products of operations are exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystalicl_jobflow.crystal.space_groups import number as number_by_name
from crystalicl_jobflow.thresholds import MAX_OPERATIONS

DENOMINATOR = 24
"""Translations are in units of a lattice vector divided by this number."""

MAX_OPERATION_LENGTH = 60
"""Maximum number of characters of one operation; the longest in use have about 30."""

CELL_LENGTH_TOLERANCE = 0.005
"""Relative difference up to which two cell lengths that the group makes equal count as such.

Chosen for this package: files give lengths to 0.01 Å or better, for cells above 2 Å."""

CELL_ANGLE_TOLERANCE = 0.5
"""The same for cell angles, in degrees; files give whole degrees or better."""

#: Lattice, up to four rotations with axis and translations, origin shift (Int. Tables B, A1.4.2.3);
#: gemmi takes two axes of one rotation (``4xx``) without complaint.
_HALL = re.compile(
    r"-?[PABCIRSTFH](?: -?[12346][xyz'\"*]?[12345abcnuvwd]*){1,4}(?: ?\([^()]+\))?", re.IGNORECASE
)

#: Endings that ICSD adds to a symbol, and what they mean.
_ICSD_ENDINGS = {"S": ":1", "Z": ":2", "H": ":H", "R": ":R", "HR": ":H", "RS": ":R"}


@dataclass(frozen=True, eq=False)
class GroupSetting:
    """The operations of a space group in one setting, centring translations included.

    Attributes
    ----------
    name
        Symbol with the setting, such as ``F d -3 m:2``; for listed operations a description.
    number
        Number of the group; None where the operations are in a setting that no table has.
    rotations
        Whole numbers acting on fractional column vectors, shape (n, 3, 3).
    translations
        In 24ths, from 0 to 23, shape (n, 3).
    standard
        Whether gemmi's tables call this the reference setting of its group.
    """

    name: str
    number: int | None
    rotations: NDArray[np.int64]
    translations: NDArray[np.int64]
    standard: bool = False

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def key(self) -> frozenset[tuple[int, ...]]:
        """The operations as a set, for comparisons of settings."""
        rows = np.hstack([self.rotations.reshape(-1, 9), self.translations])
        return frozenset(map(tuple, rows.tolist()))

    def fits_cell(self, matrix: ArrayLike) -> bool:
        """Return whether every operation leaves a lattice unchanged, apart from rounding.

        Parameters
        ----------
        matrix
            Lattice vectors as rows in Å, shape (3, 3).
        """
        vectors = np.asarray(matrix, dtype=float)
        metric = vectors @ vectors.T
        turned = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations
        lengths = np.sqrt(np.diagonal(turned, axis1=1, axis2=2))
        own = np.sqrt(np.diag(metric))
        if (np.abs(lengths - own) > CELL_LENGTH_TOLERANCE * own).any():
            return False
        cosines = turned / (lengths[:, :, None] * lengths[:, None, :])
        angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
        own_angles = np.degrees(np.arccos(np.clip(metric / np.outer(own, own), -1, 1)))
        return bool((np.abs(angles - own_angles) <= CELL_ANGLE_TOLERANCE).all())


def _from_gemmi(name: str, number: int | None, group: Any, *, standard: bool) -> GroupSetting:
    rows = [(op.rot, op.tran) for op in group]
    rotations = np.array([row[0] for row in rows], dtype=np.int64) // DENOMINATOR
    translations = np.array([row[1] for row in rows], dtype=np.int64) % DENOMINATOR
    return GroupSetting(name, number, rotations, translations, standard)


@cache
def _table() -> tuple[Any, ...]:
    return tuple(gemmi.spacegroup_table())


@lru_cache(maxsize=1024)
def _from_table(place: int) -> GroupSetting:
    entry = _table()[place]
    return _from_gemmi(
        entry.xhm(), entry.number, entry.operations(), standard=entry.is_reference_setting()
    )


@cache
def _places_by_number(number: int) -> tuple[int, ...]:
    """Return the indices of a group's settings in the table, the reference setting first."""
    places = [i for i, entry in enumerate(_table()) if entry.number == number]
    return tuple(sorted(places, key=lambda i: not _table()[i].is_reference_setting()))


def settings_of_number(number: int) -> tuple[GroupSetting, ...]:
    """Return all settings of a group, the reference setting first.

    Raises
    ------
    ValueError
        Where the number is not one of 1 to 230.
    """
    if not 1 <= number <= 230:
        raise ValueError(f"space group {number}: the number must lie between 1 and 230")
    return tuple(map(_from_table, _places_by_number(number)))


@lru_cache(maxsize=4096)
def settings_of_symbol(symbol: str) -> tuple[GroupSetting, ...]:
    """Return the settings that a Hermann-Mauguin symbol can mean; empty if it is unknown.

    A symbol that states its setting (``P 21/n``, ``F d -3 m :2``, ``P 1 1 21/b``) has one meaning.
    Without a setting it can mean both origin choices, or hexagonal and rhombohedral axes, where
    its group has them; a short monoclinic symbol can mean any unique axis. The cell and its
    contents then decide.

    Parameters
    ----------
    symbol
        Short or full, with or without spaces and underscores, in any case, with ``:1``,
        ``:2``, ``:H``, ``:R`` or ICSD's ``S``, ``Z``, ``H``, ``R`` at the end; older names
        (``Cmca``, ``Fm3m``) and screw axes as ``2(1)`` are understood.
    """
    for name, ending in _readings(symbol):
        found = gemmi.find_spacegroup_by_name(name + ending)
        if found is None:
            continue
        if ending or ":" in name:
            return (_from_table(_place(found)),)
        return tuple(map(_from_table, _alternatives(found, name)))
    try:
        number = number_by_name(re.sub(r"\((\d)\)", r"\1", symbol))
    except ValueError:
        return ()
    standard = _table()[_places_by_number(number)[0]]
    return tuple(map(_from_table, _alternatives(standard, symbol)))


def _readings(symbol: str) -> Iterator[tuple[str, str]]:
    """Yield ways to read a symbol: the name, and the setting at its end."""
    name = re.sub(r"\((\d)\)", r"\1", symbol.strip())  # 2(1) as SHELX and others write
    name = " ".join(name.replace("_", "").replace("{", "").replace("}", "").split())
    if not name or len(name) > 40:
        return
    head, colon, ending = name.partition(":")
    if colon:
        yield head.strip(), ":" + ending.strip().upper()
        return
    # "R -3 m H" is known to gemmi, but with the ending it is one setting, not two
    match = re.fullmatch(r"(.*[^\s:])\s*(HR|RS|[SZHR])", name)
    if match is not None:
        yield match[1], _ICSD_ENDINGS[match[2]]
        yield match[1], ""  # some add S where there is one origin only
    yield name, ""


def _place(entry: Any) -> int:
    key = (entry.xhm(), entry.hall)
    return next(i for i, other in enumerate(_table()) if (other.xhm(), other.hall) == key)


def _alternatives(entry: Any, given: str) -> list[int]:
    """Return the settings that share the symbol that was given, the one found first."""
    first = _place(entry)
    # P 2/m, P 21/c: the unique axis b is meant, unless the cell says otherwise; P 1 2/m 1 is exact
    compact = "".join(given.split()).lower()
    short = 3 <= entry.number <= 15 and compact != "".join(entry.hm.split()).lower()
    others = []
    for place in _places_by_number(entry.number):
        other = _table()[place]
        same_symbol = other.hm == entry.hm  # they differ in origin choice or axes
        same_short = short and _without_ones(other.hm) == _without_ones(entry.hm)
        if place != first and (same_symbol or same_short):
            others.append(place)
    return [first, *others]


def _without_ones(symbol: str) -> str:
    return " ".join(part for part in symbol.split() if part != "1")


@lru_cache(maxsize=1024)
def setting_of_hall(hall: str) -> GroupSetting | None:
    """Return the setting of a Hall symbol, tabulated or not; None if it is not one."""
    text = " ".join(hall.replace("_", " ").split())
    if len(text) > 60 or _HALL.fullmatch(text) is None:
        return None
    try:
        group = gemmi.symops_from_hall(text)
    except (RuntimeError, ValueError):
        return None
    if len(group) > MAX_OPERATIONS:
        return None
    known = gemmi.find_spacegroup_by_ops(group)
    if known is not None:
        return _from_table(_place(known))
    setting = _from_gemmi(f"Hall symbol {text}", None, group, standard=False)
    return replace(setting, number=_number_of(setting.rotations, setting.translations))


@lru_cache(maxsize=1024)
def setting_of_operations(operations: tuple[str, ...]) -> GroupSetting:
    """Return the group formed by a list of operations.

    Parameters
    ----------
    operations
        Triplets such as ``-x,y+1/2,-z``.

    Raises
    ------
    ValueError
        If an entry is not an operation, or the list is not a group (one is missing or wrong).
    """
    if len(operations) > MAX_OPERATIONS:
        raise ValueError(f"{len(operations)} symmetry operations are more than any group has")
    rows = dict.fromkeys(map(read_operation, operations))
    table = np.array(list(rows), dtype=np.int64)
    rotations, translations = table[:, :9].reshape(-1, 3, 3), table[:, 9:]
    found = _known_group(rotations, translations)
    if found is None:
        _check_group(rotations, translations, rows)
        name = f"{len(rows)} listed operations"
        return GroupSetting(name, _number_of(rotations, translations), rotations, translations)
    return GroupSetting(found.xhm(), found.number, rotations, translations)


def read_operation(triplet: str) -> tuple[int, ...]:
    """Return the rotation's nine whole numbers, row by row, and the translation in 24ths.

    Raises
    ------
    ValueError
        If the triplet is no operation of a lattice.
    """
    text = triplet.strip().strip("'\"").replace(" ", "").lower()
    if len(text) > MAX_OPERATION_LENGTH or max(map(len, re.findall(r"\d+", text)), default=0) > 15:
        raise ValueError(f"symmetry operation {text[:40]!r} is too long")
    try:
        op = gemmi.Op(text)
    except (RuntimeError, ValueError):
        raise ValueError(f"{text!r} is no symmetry operation") from None
    rotation = np.array(op.rot)
    if (rotation % DENOMINATOR).any() or abs(round(np.linalg.det(rotation / DENOMINATOR))) != 1:
        raise ValueError(f"{text!r} is no symmetry operation of a lattice")
    entries = (rotation // DENOMINATOR).ravel().tolist()
    return (*entries, *(value % DENOMINATOR for value in op.tran))


def _known_group(rotations: NDArray[np.int64], translations: NDArray[np.int64]) -> Any:
    """Return gemmi's entry for exactly these operations, or None."""
    ops = []
    for rotation, translation in zip(rotations, translations, strict=True):
        op = gemmi.Op("x,y,z")
        op.rot = (rotation * DENOMINATOR).tolist()
        op.tran = translation.tolist()
        ops.append(op)
    try:
        group = gemmi.GroupOps(ops)
        found = gemmi.find_spacegroup_by_ops(group)
    except (RuntimeError, ValueError):
        return None
    # gemmi adds operations that it derives from the centring: here all must be listed
    return found if found is not None and len(found.operations()) == len(ops) else None


def _check_group(
    rotations: NDArray[np.int64], translations: NDArray[np.int64], rows: dict[tuple[int, ...], None]
) -> None:
    """Raise ValueError if products of operations are missing from the list."""
    if (1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0) not in rows:
        raise ValueError("the symmetry operations do not include x,y,z: the list is incomplete")
    for rotation, translation in zip(rotations, translations, strict=True):
        products = (rotation @ rotations).reshape(-1, 9)
        shifts = (translations @ rotation.T + translation) % DENOMINATOR
        for row in np.hstack([products, shifts]).tolist():
            if tuple(row) not in rows:
                raise ValueError(
                    f"the {len(rows)} symmetry operations are no group: the product of two of"
                    " them is not listed"
                )


def _number_of(rotations: NDArray[np.int64], translations: NDArray[np.int64]) -> int | None:
    """Return the number of a group in a setting that no table has, by spglib."""
    import spglib

    try:
        kind: Any = spglib.get_spacegroup_type_from_symmetry(rotations, translations / DENOMINATOR)
    except Exception:  # without a lattice spglib does not find every group
        return None
    return None if kind is None else int(kind.number)


def distinct_settings(settings: Sequence[GroupSetting]) -> list[GroupSetting]:
    """Return the settings without those that have the same operations as an earlier one."""
    found: dict[frozenset[tuple[int, ...]], GroupSetting] = {}
    for setting in settings:
        found.setdefault(setting.key, setting)
    return list(found.values())
