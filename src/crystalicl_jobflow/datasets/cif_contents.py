"""What a CIF states about its contents, and whether a reading of it agrees."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pymatgen.core import Composition, Element

from crystalicl_jobflow.datasets.cif_atoms import ISOTOPES, ListedAtom
from crystalicl_jobflow.datasets.cif_block import CifBlock, read_number
from crystalicl_jobflow.datasets.cif_placement import Placed

_TOKEN = re.compile(r"\s*([A-Z][a-z]?)\s*(\d+\.?\d*|\.\d+)?\s*")

DISORDER_TOLERANCE = 0.03
"""Relative difference of an element's amount up to which a disordered crystal's contents are
as stated: refined occupancies and formulas are rounded apart. A choice of this package."""

_ROUNDING = 0.02
"""Atoms per stated formula; what two decimals may be off, and a little more."""


@dataclass(frozen=True)
class Stated:
    """What a file states about the contents of its cell.

    Attributes
    ----------
    formula
        ``_chemical_formula_sum`` as amounts by element; None where there is none.
    text
        The same as written.
    z
        ``_cell_formula_units_Z``.
    remarks
        What could not be understood.
    """

    formula: Mapping[str, float] | None = None
    text: str = ""
    z: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether contents are as stated.

    Attributes
    ----------
    problem
        Where they are not; None where nothing contradicts.
    agrees
        How many statements agree: formula, Z, multiplicities.
    remarks
        What is stated and missing, and was let pass.
    """

    problem: str | None = None
    agrees: int = 0
    remarks: list[str] = field(default_factory=list)


@lru_cache(maxsize=8192)
def read_formula(text: str) -> tuple[tuple[str, float], ...] | None:
    """Return the amounts of a formula such as ``Ce2 H1.8 O0.2``; None where it is no such."""
    amounts: dict[str, float] = {}
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        name = ISOTOPES.get(match[1], match[1])
        if not Element.is_valid_symbol(name) or len(match[2] or "") > 12:
            return None
        amounts[name] = amounts.get(name, 0.0) + float(match[2] or 1)
        place = match.end()
    amounts = {name: amount for name, amount in amounts.items() if amount > 0}
    return tuple(amounts.items()) or None


def read_stated(block: CifBlock) -> Stated:
    """Return what a data block states about its contents."""
    text = block.text("_chemical_formula_sum") or ""
    formula = read_formula(text) if text else None
    remarks: tuple[str, ...] = ()
    if text and formula is None:
        remarks = (f"the stated formula {text[:60]!r} is not understood: contents not checked",)
    z = block.text("_cell_formula_units_z")
    number = None
    if z is not None:
        number = read_number(z, "_cell_formula_units_Z")
        if number < 0:
            raise ValueError(f"_cell_formula_units_Z of {number:g}: it must be above 0")
    return Stated(None if formula is None else dict(formula), text, number, remarks)


def judge(placed: Placed, stated: Stated, atoms: tuple[ListedAtom, ...]) -> Verdict:
    """Compare a reading's contents with what the file states.

    Parameters
    ----------
    placed
        The cell's contents.
    stated
        What the file states.
    atoms
        The listed atoms, whose stated multiplicities count where no formula is stated.
    """
    if placed.problem is not None:
        return Verdict(placed.problem)
    multiplicities = _multiplicities_agree(placed, atoms)
    if stated.formula is None:
        if multiplicities is False:
            return Verdict("the stated multiplicities of the sites are others")
        return Verdict(agrees=int(multiplicities is True))
    problem, remark = compare_formula(placed.contents(), stated, disordered=_disordered(placed))
    if problem is not None:
        return Verdict(problem)
    agrees = 1 + int(stated.z is not None) + int(multiplicities is True)
    return Verdict(None, agrees, [remark] if remark else [])


def _disordered(placed: Placed) -> bool:
    return any(list(site.species.values()) != [1.0] for site in placed.sites)


def compare_formula(
    found: Mapping[str, float], stated: Stated, *, disordered: bool = False
) -> tuple[str | None, str | None]:
    """Compare the atoms of a cell with the stated formula and Z.

    Parameters
    ----------
    found
        Element → atoms in the cell.
    stated
        With a formula.
    disordered
        Whether sites are shared or partly empty: amounts are then compared less strictly.

    Returns
    -------
    problem, remark
        What contradicts; what is missing and may be (hydrogen), each None or one line.
    """
    formula = dict(stated.formula or {})
    others = {name: amount for name, amount in formula.items() if name != "H"}
    heavy = {name: amount for name, amount in found.items() if name != "H"}
    if not others:  # hydrogen only
        others, heavy = formula, dict(found)
    total, atoms = sum(others.values()), sum(heavy.values())
    ratio = atoms / total
    unlike = set(others) != set(heavy)
    if unlike or any(
        not _near(heavy[name] / ratio, amount, disordered) for name, amount in others.items()
    ):
        return f"{_holds(found)}, the stated formula is {stated.text!r}", None
    if stated.z is not None and not _near_z(ratio, formula, stated.z, disordered):
        return (
            f"{_holds(found)}, the stated formula is {stated.text!r} with Z = {stated.z:g}",
            None,
        )
    wanted, hydrogen = formula.get("H", 0.0) * ratio, found.get("H", 0.0)
    if "H" in others or _near(hydrogen / ratio, wanted / ratio, disordered):
        return None, None
    if hydrogen > wanted:
        return f"{_holds(found)}, the stated formula is {stated.text!r}", None
    missing = wanted - hydrogen
    return None, f"{missing:g} H of the cell's {wanted:g} are stated and not located"


def _near(found: float, stated: float, disordered: bool) -> bool:
    share = DISORDER_TOLERANCE * stated if disordered else 0.0
    return abs(found - stated) <= max(_ROUNDING, share)


def _near_z(ratio: float, formula: Mapping[str, float], z: float, disordered: bool) -> bool:
    """Tell whether the cell holds Z stated formulas.

    pymatgen writes the whole cell's formula, and of how many reduced formulas it consists;
    these are O2, Cl2 or Li2O2 to it, and half of one is none.
    """
    tolerance = (DISORDER_TOLERANCE if disordered else 1e-3) * max(z, 1)
    if abs(ratio - z) <= tolerance:
        return True
    if abs(ratio - 1) >= _ROUNDING:
        return False
    whole = [round(amount) for amount in formula.values()]
    exact = all(abs(n - amount) < 1e-6 for n, amount in zip(whole, formula.values(), strict=True))
    if exact and abs(math.gcd(*whole) - z) <= tolerance:
        return True
    factor = Composition(formula).get_reduced_formula_and_factor()[1]
    return any(abs(unit - z) <= tolerance for unit in (factor, float(int(factor))))


def _holds(found: Mapping[str, float]) -> str:
    return "the cell holds " + " ".join(f"{name}{amount:.4g}" for name, amount in found.items())


def _multiplicities_agree(placed: Placed, atoms: tuple[ListedAtom, ...]) -> bool | None:
    """Tell whether stated multiplicities are those found; None where none are stated."""
    given = [atom.multiplicity for atom in atoms]
    if not given or any(value is None for value in given):
        return None
    return given == placed.multiplicities
