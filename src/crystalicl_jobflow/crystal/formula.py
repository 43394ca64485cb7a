"""Formulas: reduced and in whole numbers, whatever the cell; their elements in order."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from fractions import Fraction
from functools import cache, lru_cache
from math import gcd, lcm
from typing import TYPE_CHECKING

from pymatgen.core import Composition, Element

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Structure

MAX_DENOMINATOR = 100
"""Largest denominator of the fractions by which occupancies are approximated: files give two
decimals, or thirds and sixths with three or four."""


def crystal_composition(structure: Structure) -> Composition:
    """Return the composition of a crystal in the smallest whole numbers.

    The occupancy of each site is converted to a fraction, and the fractions are added up exactly:
    unlike sums over a cell, occupancies are the same in every cell of the crystal. pymatgen's own
    reduced formula keeps fractional amounts.

    Parameters
    ----------
    structure
        Crystal, ordered or not, with or without oxidation states.

    Returns
    -------
    Composition
        Reduced; its ``reduced_formula``, ``anonymized_formula`` and ``chemical_system`` are
        those of the crystal. Empty for a crystal without atoms.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> primitive = Structure(
    ...     Lattice.cubic(3.9), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> crystal_composition(primitive).reduced_formula
    'KNaCl2'
    """
    counts = Counter(
        (species.symbol, occupancy)
        for site in structure
        for species, occupancy in site.species.items()
    )
    amounts: dict[str, Fraction] = {}
    for (symbol, occupancy), count in counts.items():
        amounts[symbol] = amounts.get(symbol, Fraction(0)) + count * _fraction(occupancy)
    return whole_numbers(amounts)


def whole_composition(composition: Composition) -> Composition:
    """Return a composition in the smallest whole numbers.

    Parameters
    ----------
    composition
        Any composition. For crystals use `crystal_composition`, which does not depend on the cell.

    Returns
    -------
    Composition
        Reduced; amounts that are not whole are taken as the nearest fractions with
        denominators up to `MAX_DENOMINATOR`.
    """
    amounts = composition.get_el_amt_dict()
    return whole_numbers({symbol: _fraction(amount) for symbol, amount in amounts.items()})


@lru_cache(maxsize=4096)
def _fraction(amount: float) -> Fraction:
    return Fraction(float(amount)).limit_denominator(MAX_DENOMINATOR)


def whole_numbers(amounts: Mapping[str, Fraction | int]) -> Composition:
    """Return amounts by element in the smallest whole numbers, as a composition."""
    amounts = {symbol: amount for symbol, amount in amounts.items() if amount}
    if not amounts:
        return Composition({})
    scale = lcm(*(amount.denominator for amount in amounts.values()))
    counts = {symbol: int(amount * scale) for symbol, amount in amounts.items()}
    divisor = gcd(*counts.values())
    return Composition({symbol: count // divisor for symbol, count in counts.items()})


@cache
def element_rank(symbol: str) -> tuple[float, str]:
    """Return the sort key of an element: electronegativity (noble gases last), then symbol."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        electronegativity = float(Element(symbol).X)
    return (99.0 if math.isnan(electronegativity) else electronegativity, symbol)


def letters_as_elements(anonymous: str) -> str:
    """Replace A, B, C, … by elements, so that a formula parser reads the amounts."""
    return "".join(
        Element.from_Z(ord(char) - ord("A") + 1).symbol if "A" <= char <= "Z" else char
        for char in anonymous
    )
