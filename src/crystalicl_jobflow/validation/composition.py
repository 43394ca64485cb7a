"""Charge neutrality of a composition under SMACT, by CDVAE's rule."""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from crystalicl_jobflow.crystal.formula import whole_composition
from crystalicl_jobflow.thresholds import MAX_OXIDATION_COMBINATIONS, OXIDATION_STATES_SET

OXIDATION_SETS = {
    "smact14": "oxidation_states_smact14",
    "icsd16": "oxidation_states_icsd16",
    "icsd24": "oxidation_states_icsd24",
    "pymatgen_sp": "oxidation_states_sp",
    "wiki": "oxidation_states_wiki",
}
"""SMACT's lists of oxidation states by name → the attribute of its elements."""


def composition_valid(
    composition: Composition | str, *, oxidation_states_set: str = OXIDATION_STATES_SET
) -> bool:
    """Tell whether a composition can be charge-neutral (CDVAE's ``smact_validity``).

    Valid are single elements, alloys of SMACT's metals only, and compositions for which
    some choice of one oxidation state per element is neutral while every anion is more
    electronegative (Pauling) than every cation. An element without an electronegativity
    (He, Ne, Ar, Pm, Rn, Lr) passes that comparison, as in CDVAE's code.

    The rule is written out here, on SMACT's data, because SMACT 4's own
    ``smact_validity`` rejects elements without an electronegativity and truncates
    fractional amounts; on all other compositions the two agree.

    Parameters
    ----------
    composition
        Any composition; only the reduced ratios count. Fractional amounts (mixed
        occupancy) are taken as ratios with denominators up to 100.
    oxidation_states_set
        SMACT's name of the list of oxidation states: ``smact14``, ``icsd16``,
        ``icsd24``, ``pymatgen_sp`` or ``wiki``.

    Raises
    ------
    ValueError
        If the set is not known.
    """
    if isinstance(composition, str):
        composition = Composition(composition)
    counts = whole_composition(composition).get_el_amt_dict()
    return _valid(
        tuple(sorted((symbol, round(count)) for symbol, count in counts.items())),
        oxidation_states_set,
    )


@lru_cache(maxsize=100_000)
def _valid(counts: tuple[tuple[str, int], ...], oxidation_states_set: str) -> bool:
    if len(counts) == 1:
        return True
    if all(symbol in _metals() for symbol, _ in counts):
        return True
    ions = [_ions(symbol, oxidation_states_set) for symbol, _ in counts]
    states = [np.array(oxidation, dtype=np.int32) for oxidation, _ in ions]
    size = math.prod(len(choices) for choices in states)
    if size == 0 or size > MAX_OXIDATION_COMBINATIONS:
        return False
    # every total charge at once: one axis per element
    charge = np.zeros((), dtype=np.int32)
    for (_, count), choices in zip(counts, states, strict=True):
        charge = np.add.outer(charge, count * choices)
    neutral = np.nonzero(charge == 0)
    if not len(neutral[0]):
        return False
    chosen = np.stack([s[i] for s, i in zip(states, neutral, strict=True)], axis=1)
    return _pauling(chosen, np.array([negativity for _, negativity in ions], dtype=float))


def _pauling(chosen: NDArray[np.int32], negativity: NDArray[np.float64]) -> bool:
    """Tell whether some row has all its cations below all its anions.

    Parameters
    ----------
    chosen
        Oxidation states, shape (choices, elements).
    negativity
        Pauling electronegativities, shape (elements,); NaN where unknown.
    """
    known = np.isfinite(negativity)
    highest_cation = np.where((chosen > 0) & known, negativity, -np.inf).max(axis=1)
    lowest_anion = np.where((chosen < 0) & known, negativity, np.inf).min(axis=1)
    return bool(np.any(highest_cation < lowest_anion))


def unknown_negativity(composition: Composition) -> list[str]:
    """Return the elements of a composition that have no Pauling electronegativity in SMACT."""
    symbols = sorted({element.symbol for element in composition.elements})
    return [symbol for symbol in symbols if math.isnan(_ions(symbol, OXIDATION_STATES_SET)[1])]


@lru_cache(maxsize=1)
def _metals() -> frozenset[str]:
    import smact

    return frozenset(smact.metals)


@cache
def _ions(symbol: str, oxidation_states_set: str) -> tuple[tuple[int, ...], float]:
    """Return the oxidation states and the electronegativity (NaN if unknown) of an element."""
    import smact

    if oxidation_states_set not in OXIDATION_SETS:
        known = ", ".join(OXIDATION_SETS)
        raise ValueError(f"oxidation-state set {oxidation_states_set!r} is not one of {known}")
    try:
        element = smact.Element(symbol)
    except (KeyError, NameError):
        return (), math.nan  # beyond lawrencium SMACT knows nothing: no neutral choice
    states = getattr(element, OXIDATION_SETS[oxidation_states_set]) or ()
    negativity = element.pauling_eneg
    return tuple(int(state) for state in states), math.nan if negativity is None else negativity
