"""Species as written in texts: ``Mg``, or ``Cu0.75 Au0.25`` where a site is shared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure

from crystalicl_jobflow.crystal.bounds import cell_fault, number_fault
from crystalicl_jobflow.crystal.formula import element_rank
from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.errors import TextError

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d+)?")
#: Occupancies are written with at most this many decimals.
OCCUPANCY_DECIMALS = 4
_SUM_TOLERANCE = 1e-3


@lru_cache(maxsize=65536)
def species_rank(species: str) -> tuple[object, ...]:
    """Return the sort key of a species text: by its elements, then by the text."""
    elements = tuple(element_rank(m[1]) for m in _TOKEN.finditer(species))
    return (elements[0], len(elements), elements, species)


@lru_cache(maxsize=65536)
def read_species(text: str) -> tuple[str, Composition]:
    """Read one species text and return it in canonical form with its composition.

    Raises
    ------
    ValueError
        Where it names no element, names one twice, or the occupancies exceed 1.
    """
    amounts: dict[str, float] = {}
    for token in text.split():
        match = _TOKEN.fullmatch(token)
        if match is None or not Element.is_valid_symbol(match[1]):
            raise ValueError(f"{token!r} is not an element")
        if match[1] in amounts:
            raise ValueError(f"{match[1]} is named twice")
        if number_fault(match[2] or "") is not None:
            raise ValueError(f"the occupancy of {match[1]} has too many digits")
        amounts[match[1]] = 1.0 if match[2] is None else float(match[2])
    if not amounts:
        raise ValueError("no element")
    total = sum(amounts.values())
    # an occupancy that would be written as 0 is not allowed
    if total > 1 + _SUM_TOLERANCE or round(min(amounts.values()), OCCUPANCY_DECIMALS) <= 0:
        raise ValueError(f"the occupancies of {text!r} add up to {total:g}")
    if total > 1:  # by rounding
        amounts = {element: amount / total for element, amount in amounts.items()}
    return format_species(amounts), Composition(amounts)


def format_species(amounts: dict[str, float]) -> str:
    """Write element amounts of one site; a full single element is its bare symbol."""
    order = sorted(amounts, key=element_rank)
    if len(order) == 1 and abs(amounts[order[0]] - 1) < 10**-OCCUPANCY_DECIMALS:
        return order[0]
    return " ".join(f"{e}{round(amounts[e], OCCUPANCY_DECIMALS):g}" for e in order)


def _shared_site(amounts: Iterable[tuple[Any, float]]) -> str:
    """Return the species text of a site from its species and occupancies."""
    elements: dict[str, float] = {}
    for specie, amount in amounts:
        elements[specie.symbol] = elements.get(specie.symbol, 0.0) + amount
    return format_species(elements)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a structure holds, checked: all numbers are within bounds.

    Attributes
    ----------
    names
        Species text of every site.
    lattice
        Rows are lattice vectors in Å, shape (3, 3).
    frac_coords
        Shape (n, 3).
    is_ordered
        Whether each site is fully occupied by one species.
    """

    names: list[str]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    is_ordered: bool


def read_contents(structure: Structure | OrderedCrystal) -> Contents:
    """Return the species texts, cell and coordinates of a crystal.

    Raises
    ------
    TextError
        ``NOT_ENCODABLE`` where there are no sites, one holds no element, or a number of the
        structure is out of bounds.
    """
    lattice = np.asarray(structure.lattice.matrix, dtype=float)
    frac_coords = np.asarray(structure.frac_coords, dtype=float)
    if not len(frac_coords):
        raise TextError(FailureReason.NOT_ENCODABLE, "the structure has no atoms")
    fault = cell_fault(lattice, frac_coords)
    if fault is not None:
        raise TextError(FailureReason.NOT_ENCODABLE, fault)
    is_ordered = True
    if isinstance(structure, OrderedCrystal):
        names = structure.symbols
    else:
        names, is_ordered = _names(structure)
    if not all(names):
        raise TextError(FailureReason.NOT_ENCODABLE, "a site of the structure has no species")
    try:
        for name in set(names):
            read_species(name)
    except ValueError as error:
        raise TextError(FailureReason.NOT_ENCODABLE, f"a site's species: {error}") from None
    return Contents(names, lattice, frac_coords, is_ordered)


def _names(structure: Structure) -> tuple[list[str], bool]:
    """Return the species text of every site, and whether all are of one full species each."""
    names: list[str] = []
    is_ordered = True
    for site in structure:
        amounts = site.species.items()
        if len(amounts) == 1:  # most sites
            ((specie, amount),) = amounts
            if amount == 1:
                names.append(specie.symbol)
                continue
        is_ordered = False
        names.append(_shared_site(amounts))
    return names, is_ordered


def species_names(structure: Structure) -> list[str]:
    """Return the species text of every site; raises errors as `read_contents` does."""
    return read_contents(structure).names
