"""CrystaLLM's validity of a CIF text: whether it agrees with itself and with chemistry."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.crystal.space_groups import number as space_group_number
from crystalicl_jobflow.thresholds import SYMPREC
from crystalicl_jobflow.validation.bond_lengths import BondLengths, bond_lengths
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.summary import find_space_group


@dataclass(frozen=True)
class CifValidity:
    """CrystaLLM's checks of one CIF text.

    Parameters
    ----------
    parsed
        Whether the text is one crystal; nothing else holds where it is not.
    formula_consistent
        The reduced formulas of the data block's name, of ``_chemical_formula_sum`` and of
        ``_chemical_formula_structural`` are equal.
    multiplicity_consistent
        The declared multiplicities of the sites add up, by element, to
        ``_chemical_formula_sum``.
    space_group_consistent
        The group declared by its symbol is the one found.
    bonds
        The bond lengths, see :func:`~crystalicl_jobflow.validation.bond_lengths.bond_lengths`.
    problems
        Check → why it is not met, a sentence each.
    """

    parsed: bool
    formula_consistent: bool = False
    multiplicity_consistent: bool = False
    space_group_consistent: bool = False
    bonds: BondLengths = field(default_factory=lambda: BondLengths(None))
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def bond_length_score(self) -> float | None:
        """Share of reasonable bonds; None where there are none."""
        return self.bonds.score

    @property
    def bonds_reasonable(self) -> bool:
        """Whether every bond length is reasonable."""
        return self.bonds.reasonable

    @property
    def valid(self) -> bool:
        """Whether every check is met."""
        return (
            self.formula_consistent
            and self.multiplicity_consistent
            and self.space_group_consistent
            and self.bonds_reasonable
        )


def cif_validity(
    text: str, *, structure: Structure | None = None, symprec: float = SYMPREC
) -> CifValidity:
    """Check a CIF text as CrystaLLM does.

    Definition: CrystaLLM (Antunes et al., Nat. Commun. 2024), Methods and Supplementary
    Note 3. What a text does not state is not consistent, as there. Groups are compared by
    number, so that spellings of one symbol are equal.

    Parameters
    ----------
    text
        What a model wrote, words around the data block included.
    structure
        Its crystal, where it has been read already.
    symprec
        Symmetry tolerance in Å; CrystaLLM's is 0.1, too.

    Returns
    -------
    CifValidity
        For a text that is not a crystal, one with every check failed.
    """
    if structure is None:
        structure, _, failure = read_text(text, "cif")
        if structure is None:
            assert failure is not None
            return CifValidity(False, problems={"parsed": failure[1]})
    problems: dict[str, str] = {}
    name, block = _block(text)
    formula = _formula_consistent(name, block, problems)
    multiplicity = _multiplicity_consistent(block, problems)
    group = _space_group_consistent(block, structure, symprec, problems)
    bonds = bond_lengths(structure)
    if not bonds.reasonable:
        problems["bonds_reasonable"] = bonds.error or f"The worst bond is {bonds.worst}."
    return CifValidity(True, formula, multiplicity, group, bonds, problems)


def _block(text: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the fields of the text's one data block."""
    from pymatgen.io.cif import CifFile

    from crystalicl_jobflow.text.cif import data_block

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = CifFile.from_str(data_block(text)).data
    except Exception:  # the crystal was read, but pymatgen's parser gives no fields
        return "", {}
    return next(iter((name, block.data) for name, block in blocks.items()), ("", {}))


def _composition(text: object) -> Composition | None:
    try:
        composition = Composition(str(text).strip("'\" "))
    except ValueError:
        return None
    return composition if composition.elements else None


def _formula_consistent(name: str, block: Mapping[str, Any], problems: dict[str, str]) -> bool:
    stated = {
        "the name of the data block": name,
        "_chemical_formula_sum": block.get("_chemical_formula_sum"),
        "_chemical_formula_structural": block.get("_chemical_formula_structural"),
    }
    formulas: dict[str, str] = {}
    for what, text in stated.items():
        composition = _composition(text) if text else None
        if composition is None:
            problems["formula_consistent"] = f"There is no formula in {what}."
            return False
        formulas[what] = composition.reduced_formula
    if len(set(formulas.values())) > 1:
        clauses = ", ".join(f"{formula} in {what}" for what, formula in formulas.items())
        problems["formula_consistent"] = f"The formulas differ: {clauses}."
        return False
    return True


def _multiplicity_consistent(block: Mapping[str, Any], problems: dict[str, str]) -> bool:
    expected = _composition(block.get("_chemical_formula_sum") or "")
    symbols = block.get("_atom_site_type_symbol")
    declared = block.get("_atom_site_symmetry_multiplicity")
    if expected is None or not symbols or not declared or len(symbols) != len(declared):
        problems["multiplicity_consistent"] = (
            "The text states no formula sum, or no multiplicity of each site."
        )
        return False
    found: dict[str, int] = {}
    try:
        for symbol, multiplicity in zip(symbols, declared, strict=True):
            found[symbol] = found.get(symbol, 0) + int(multiplicity)
        actual = Composition(found)
    except ValueError:
        problems["multiplicity_consistent"] = "A multiplicity is no whole number of an element."
        return False
    if actual != expected:
        problems["multiplicity_consistent"] = (
            f"The sites add up to {actual.formula}, the formula sum is {expected.formula}."
        )
        return False
    return True


def _space_group_consistent(
    block: Mapping[str, Any], structure: Structure, symprec: float, problems: dict[str, str]
) -> bool:
    declared = next((block[key] for key in _GROUP_NAMES if block.get(key)), None)
    if declared is None:
        problems["space_group_consistent"] = "The text declares no space group."
        return False
    found, symbol, _ = find_space_group(structure, symprec=symprec)
    try:
        expected = space_group_number(str(declared).strip("'\" "))
    except ValueError:
        problems["space_group_consistent"] = f"{declared!r} is no space group."
        return False
    if found != expected:
        what = "none" if found is None else f"{symbol} ({found})"
        problems["space_group_consistent"] = f"Declared is {declared}, found is {what}."
        return False
    return True


_GROUP_NAMES = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
