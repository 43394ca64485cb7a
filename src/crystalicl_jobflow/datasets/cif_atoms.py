"""The atoms that a CIF lists: elements, coordinates and occupancies, none of them guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

from pymatgen.core import Element

from crystalicl_jobflow.datasets.cif_block import CifBlock, is_null, read_number
from crystalicl_jobflow.thresholds import MAX_COORDINATE, MAX_SITES, OCCUPANCY_TOLERANCE

ISOTOPES = {"D": "H", "T": "H"}
"""Deuterium and tritium are read as the hydrogen that they are."""

_AXES = "xyz"
_TYPE = re.compile(r"(?:\d{1,3})?([A-Za-z]{1,2})(?:\d*[+-]\d*|0)?")
_LABEL = re.compile(r"([A-Za-z]+)")


@dataclass(frozen=True)
class ListedAtom:
    """A row of the atom loop.

    Attributes
    ----------
    label
        As the file has it.
    element
        Symbol; D and T are H.
    coords
        Fractional coordinates as written.
    decimals
        Decimals that the file's coordinates have, of the column with most of them.
    occupancy
        From above 0 to `OCCUPANCY_TOLERANCE`.
    multiplicity
        Where the file states it.
    """

    label: str
    element: str
    coords: tuple[float, float, float]
    decimals: int
    occupancy: float = 1.0
    multiplicity: int | None = None


@dataclass(frozen=True)
class AtomList:
    """All atoms listed, and what has to be remarked of them."""

    atoms: tuple[ListedAtom, ...]
    remarks: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def element_of(text: str) -> str | None:
    """Return the element of a type symbol such as ``Fe3+``, ``CL`` or ``D``; None if none."""
    match = _TYPE.fullmatch(text.strip())
    if match is None:
        return None
    for name in (match[1], match[1].capitalize()):
        if name in ISOTOPES:
            return ISOTOPES[name]
        if Element.is_valid_symbol(name):
            return name
    return None


@lru_cache(maxsize=4096)
def elements_of_label(label: str) -> tuple[str, ...]:
    """Return the elements that a site's label may mean, none for ``Wat`` or ``X1``.

    A label has no type symbol beside it. ``Ca1`` is calcium; ``CA1`` may be calcium or
    carbon, and ``OH`` oxygen, which only a stated formula can tell.
    """
    match = _LABEL.match(label)
    if match is None:
        return ()
    letters = match[1]
    if letters in ISOTOPES:
        return (ISOTOPES[letters],)
    if Element.is_valid_symbol(letters):
        return (letters,)
    if len(letters) != 2 or not letters.isupper():
        return ()
    names = (letters.capitalize(), letters[0])
    return tuple(ISOTOPES.get(name, name) for name in names if Element.is_valid_symbol(name))


def read_atoms(block: CifBlock, formula: dict[str, float] | None) -> AtomList:
    """Read the atom loop of a data block.

    Parameters
    ----------
    block
        Of a CIF.
    formula
        Stated amounts by element, which tell what a label such as ``CA1`` means.

    Raises
    ------
    ValueError
        Where a site is of no element, has no coordinates or an impossible occupancy; one line.
    """
    columns = [block.column(f"_atom_site_fract_{axis}") for axis in _AXES]
    if not all(columns) and block.column("_atom_site_cartn_x"):
        raise ValueError("the CIF gives Cartesian coordinates only; _atom_site_fract_x is needed")
    for axis, column in zip(_AXES, columns, strict=True):
        if not column:
            raise ValueError(f"the CIF has no _atom_site_fract_{axis}")
    if len(columns[0]) > 10 * MAX_SITES:
        raise ValueError(f"the CIF lists {len(columns[0])} atoms, more than {10 * MAX_SITES}")
    decimals = max(map(_decimals, (value for column in columns for value in column)), default=0)
    remarks: list[str] = []
    atoms: list[ListedAtom] = []
    for label, element, *coords, occupancy, multiplicity in _rows(block, columns, formula):
        unlocated = [is_null(value) for value in coords]
        if any(unlocated):
            if element != "H":
                raise ValueError(f"site {label} has no coordinates")
            remarks.append(f"hydrogen {label} has no coordinates and is left out")
            continue
        point = [read_number(value, f"coordinate of site {label}") for value in coords]
        if max(map(abs, point)) > MAX_COORDINATE:
            raise ValueError(
                f"coordinate {max(point, key=abs):g} of site {label} is out of bounds: it must lie"
                f" within {MAX_COORDINATE:g} of 0"
            )
        atoms.append(
            ListedAtom(
                label,
                element,
                (point[0], point[1], point[2]),
                decimals,
                _occupancy(occupancy, label),
                int(multiplicity) if multiplicity.isdecimal() and len(multiplicity) < 5 else None,
            )
        )
    if not atoms:
        raise ValueError("the CIF holds no atoms")
    return AtomList(tuple(atoms), tuple(remarks))


def _rows(
    block: CifBlock, columns: list[list[str]], formula: dict[str, float] | None
) -> Iterator[list[str]]:
    """Yield label, element, coordinates, occupancy and multiplicity of each site, as texts."""
    types = block.column("_atom_site_type_symbol")
    labels = block.column("_atom_site_label") or types
    if not labels:
        raise ValueError("the CIF names no elements: it has neither site labels nor type symbols")
    flags = block.column("_atom_site_calc_flag")
    multiplicities = block.column(
        "_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity"
    )
    occupancies = block.column("_atom_site_occupancy")
    for x, y, z, label, kind, flag, occupancy, multiplicity in zip_longest(
        *columns, labels, types, flags, occupancies, multiplicities, fillvalue=""
    ):
        if flag.lower() == "dum":  # a dummy: a centroid, or a place without an atom
            continue
        name = label if not is_null(label) else kind
        element = _element(name, kind, formula)
        yield [name, element, x, y, z, occupancy, multiplicity]


def _element(label: str, kind: str, formula: dict[str, float] | None) -> str:
    if not is_null(kind):
        found = element_of(kind)
        if found is None:
            raise ValueError(f"the species {kind} of site {label} is no element")
        return found
    names = elements_of_label(label)
    if _is_exact(label):
        return names[0]
    stated = [name for name in names if formula is not None and name in formula]
    if len(stated) == 1:
        return stated[0]
    if len(names) > 1:
        raise ValueError(
            f"the species {label} may be {' or '.join(names)}: the CIF has no type symbols"
        )
    letters = _LABEL.match(label)
    raise ValueError(f"the species {letters[0] if letters else label} is no element")


def _is_exact(label: str) -> bool:
    letters = _LABEL.match(label)
    return letters is not None and (
        letters[1] in ISOTOPES or bool(Element.is_valid_symbol(letters[1]))
    )


def _occupancy(text: str, label: str) -> float:
    if is_null(text):
        return 1.0
    value = read_number(text, f"occupancy of site {label}")
    if not 0 < value <= OCCUPANCY_TOLERANCE:
        raise ValueError(f"occupancy {value:g} of site {label}: it must lie above 0 and up to 1")
    return value


def _decimals(text: str) -> int:
    digits = text.partition("(")[0].lower().partition("e")[0]
    return len(digits.partition(".")[2])
