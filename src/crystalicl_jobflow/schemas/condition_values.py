"""How the values of a condition's fields are read; what cannot be is a ValueError of one line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pymatgen.core import Composition, Element
from pymatgen.symmetry.groups import SpaceGroup

from crystalicl_jobflow.crystal import space_groups
from crystalicl_jobflow.crystal.wyckoff_letters import atoms_of, letters_text, read_letters
from crystalicl_jobflow.schemas.ranges import Range, range_text


def space_group_number(value: Any) -> int:
    """Read the number of a space group from a number or a symbol, of any setting."""
    if isinstance(value, bool):
        raise ValueError(f"space group {value!r} is neither a number nor a symbol")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text.lstrip("+-").isdigit():
        number = int(text)
        if not 1 <= number <= 230:
            raise ValueError(f"space group {number} does not exist: numbers go from 1 to 230")
        return number
    try:
        return space_groups.number(text)
    except ValueError:
        pass
    try:  # another setting of a group is the same group, where no coordinates are at stake
        return int(SpaceGroup(text).int_number)
    except (ValueError, KeyError):
        raise ValueError(f"space group {text!r} is not a known symbol") from None


def read_composition(formula: str) -> Composition:
    """Read a formula."""
    try:
        return Composition(formula)
    except (ValueError, KeyError) as error:
        raise ValueError(f"formula {formula!r} cannot be read: {error}") from None


def element_symbols(symbols: Any, what: str) -> set[str]:
    """Read the symbols of elements; `what` they are asked for as, in the error."""
    if not isinstance(symbols, Iterable):
        raise ValueError(f"{what}: {symbols!r} names no elements; write e.g. Li,O")
    names = [str(symbol).strip() for symbol in symbols]
    for name in names:
        if not Element.is_valid_symbol(name) or name in ("D", "T"):
            raise ValueError(f"{what}: {name!r} is not an element")
    if not names:
        raise ValueError(f"{what}: no element is named")
    return set(names)


def wyckoff_letters(
    value: Any, number: int | tuple[int, ...] | None, formula: str | None, sites: int | Range | None
) -> dict[str, tuple[str, ...]]:
    """Read Wyckoff letters, and hold them against the other fields of their condition.

    Parameters
    ----------
    value
        See `read_letters`.
    number, formula, sites
        Space group, reduced formula and atoms in the primitive cell that are asked for.
    """
    if not isinstance(number, int):
        raise ValueError("Wyckoff letters need the one space group whose letters they are")
    letters = read_letters(value, number)
    atoms = atoms_of(letters, number)
    what = f"Wyckoff letters {letters_text(letters)} of space group {number}"
    made = Composition(atoms).reduced_formula
    if formula is not None and made != formula:
        raise ValueError(f"{what} make {made}, not {formula}")
    count = sum(atoms.values())
    if sites is not None and not (
        sites.contains(count) if isinstance(sites, Range) else sites == count
    ):
        raise ValueError(f"{what} are {count} atoms in the primitive cell, not {range_text(sites)}")
    return letters


def fields_of_json(text: str) -> Any:
    """Read the fields of a condition from its JSON text."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ValueError(f"a condition's JSON cannot be read: {error}; got {text[:60]!r}") from None
    if not isinstance(fields, dict):
        raise ValueError(
            f'a condition in JSON is an object such as {{"formula": "NaCl"}}, got {text[:60]!r}'
        )
    return fields
