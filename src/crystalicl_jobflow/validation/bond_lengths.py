"""Whether a crystal's bonds are as long as bonds of their elements are (CrystaLLM)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element, Structure

from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.thresholds import (
    BOND_LENGTH_SCORE,
    BOND_TOLERANCE,
    HYDROGEN_BOND_FACTOR,
    IONIC_ELECTRONEGATIVITY,
)
from crystalicl_jobflow.validation.summary import equivalent_sites

if TYPE_CHECKING:
    from pymatgen.analysis.local_env import CrystalNN


@dataclass(frozen=True)
class BondLengths:
    """How reasonable a crystal's bond lengths are.

    Parameters
    ----------
    score
        Share of the bonds that are; None where no bond was found or looked for.
    num_bonds
        Bonds found, each counted from either end.
    worst
        The bond furthest from its expected length, in words; None without bonds.
    error
        Why the bonds could not be found; None where they could.
    """

    score: float | None
    num_bonds: int = 0
    worst: str | None = None
    error: str | None = None

    @property
    def reasonable(self) -> bool:
        """Whether every bond is; not so where none was found."""
        return self.score is not None and self.score >= BOND_LENGTH_SCORE


def bond_lengths(structure: Structure) -> BondLengths:
    """Compare each bond with the length expected of its elements.

    Bonds are those of pymatgen's ``CrystalNN``. Expected is the sum of an average cationic
    and an average anionic radius where the electronegativities differ by 1.7 or more, and of
    two atomic radii otherwise; reasonable is a length within 32 % of it, with hydrogen one
    below 2.5 times it. Definition: CrystaLLM (Antunes et al. 2024), Supplementary Note 3 and
    ``bond_length_reasonableness_score``.

    Three things differ from that function. Bonds of an atom to its own periodic images
    count, so that the answer does not depend on the cell chosen (the primitive cell of
    copper has no others). One site of each orbit is looked at, and counts as often as the
    orbit has sites. An ionic radius that is not known is replaced by the atomic one, an
    atomic one as :func:`crystalicl_jobflow.crystal.radii.atomic_radius` does.

    Parameters
    ----------
    structure
        An ordered crystal. A disordered one has no score.
    """
    if not structure.is_ordered:
        return BondLengths(None, error="a site of mixed occupancy has no bond lengths")
    reasonable = total = 0
    worst: tuple[float, str] | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for index, weight in equivalent_sites(structure).items():
                for neighbour in _neighbours().get_nn_info(structure, index):
                    first, second = structure[index], neighbour["site"]
                    length = float(np.linalg.norm(first.coords - second.coords))
                    ratio, fits = _judge(first.specie.symbol, second.specie.symbol, length)
                    reasonable += weight * fits
                    total += weight
                    off = abs(math.log(ratio)) if ratio > 0 else math.inf
                    if worst is None or off > worst[0]:
                        pair = f"{first.specie.symbol}-{second.specie.symbol}"
                        worst = off, f"{pair} of {length:.2f} Å, {ratio:.2f} times what is expected"
    except Exception as error:  # CrystalNN raises errors of many kinds for strange cells
        reason = (str(error).splitlines() or [""])[0]
        return BondLengths(None, error=f"no bonds: {type(error).__name__}: {reason}")
    if not total:
        return BondLengths(None, error="no bond was found")
    assert worst is not None
    return BondLengths(reasonable / total, total, worst[1])


def expected_bond_length(first: str, second: str) -> float:
    """Return the length expected of a bond between two elements, in Å."""
    one, other = _electronegativity(first), _electronegativity(second)
    if abs(one - other) >= IONIC_ELECTRONEGATIVITY:  # false of NaN: noble gases have none
        cation, anion = (first, second) if one < other else (second, first)
        return _ionic_radius(cation, True) + _ionic_radius(anion, False)
    return atomic_radius(first) + atomic_radius(second)


def _judge(first: str, second: str, length: float) -> tuple[float, bool]:
    """Return the length over the expected one, and whether that is reasonable."""
    expected = expected_bond_length(first, second)
    ratio = length / expected if expected > 0 else math.inf
    if "H" in (first, second):
        return ratio, ratio < HYDROGEN_BOND_FACTOR
    return ratio, 1 - BOND_TOLERANCE < ratio < 1 + BOND_TOLERANCE


@cache
def _electronegativity(symbol: str) -> float:
    with warnings.catch_warnings():  # pymatgen warns for the elements without one
        warnings.simplefilter("ignore")
        return float(Element(symbol).X)


@cache
def _ionic_radius(symbol: str, cation: bool) -> float:
    element = Element(symbol)
    radius = float(element.average_cationic_radius if cation else element.average_anionic_radius)
    return radius if radius > 0 else atomic_radius(symbol)


@lru_cache(maxsize=1)
def _neighbours() -> CrystalNN:
    from pymatgen.analysis.local_env import CrystalNN

    return CrystalNN()
