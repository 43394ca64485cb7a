"""What people are shown of a candidate: its CIF file, the file's name, what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.thresholds import SYMPREC
from crystalicl_jobflow.utils.files import safe_name

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystalicl_jobflow.schemas import Candidate

SHOWN_DIGITS = 8
"""Digits of a candidate's id that file names and tables show."""


@dataclass(frozen=True)
class CrystalFile:
    """A crystal that gets a CIF file.

    Parameters
    ----------
    name
        The file's name: formula, group and start of the id.
    structure
        The crystal.
    symprec
        Tolerance in Å at which its symmetry is written.
    """

    name: str
    structure: Structure
    symprec: float

    @classmethod
    def of_candidate(cls, candidate: Candidate) -> CrystalFile | None:
        """Return the crystal that the text of a candidate describes; None without one."""
        if candidate.structure is None:
            return None
        return cls(
            cif_name(candidate.formula_pretty, candidate.space_group, candidate.candidate_id),
            candidate.structure,
            float(candidate.provenance.tolerances.get("symprec", SYMPREC)),
        )

    @classmethod
    def of_refined(cls, candidate: Candidate) -> CrystalFile | None:
        """Return the crystal with the cell that a pattern refined; None without one."""
        own, fit = cls.of_candidate(candidate), candidate.xrd
        refined = None if own is None or fit is None else fit.refined(own.structure)
        if own is None or refined is None:
            return None
        return cls(own.name.removesuffix(".cif") + "_refined.cif", refined, own.symprec)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> CrystalFile | None:
        """Return the crystal of a stored candidate, the relaxed one if there is one."""
        from crystalicl_jobflow.candidates.metadata_fields import as_structure

        if document.get("structure") is None:
            return None
        symmetry = document.get("symmetry") or {}
        return cls(
            cif_name(
                document.get("formula_pretty"), symmetry.get("number"), document["candidate_id"]
            ),
            as_structure(document["structure"]),
            float(symmetry.get("symprec") or SYMPREC),
        )

    def text(self) -> str:
        """Return the symmetrised CIF text; all atoms without symmetry where none is found."""
        from pymatgen.io.cif import CifWriter

        try:
            return str(CifWriter(self.structure, symprec=self.symprec))
        except Exception:  # spglib finds no group where atoms coincide
            return str(CifWriter(self.structure))


def cif_name(formula: str | None, group: int | None, candidate_id: str) -> str:
    """Return the file name of a crystal: formula, group, start of its id."""
    return safe_name(f"{formula}_{group or 0}_{candidate_id[:SHOWN_DIGITS]}") + ".cif"


def outcome(
    *,
    valid: bool,
    reason: str | None,
    as_asked: bool | None,
    stable: bool | None = None,
) -> str:
    """Return what became of a candidate that was checked, in a few words.

    Parameters
    ----------
    valid, reason
        Whether it passed the checks, and the code of the first that it failed.
    as_asked
        Whether it is what was asked for; None where that was not judged.
    stable
        Whether it lies on the convex hull or below.
    """
    if not valid:
        return "not valid" if reason is None else reason.replace("_", " ")
    words = ["valid"]
    if as_asked is not None:
        words.append("as asked" if as_asked else "differs")
    if stable:
        words.append("stable")
    return ", ".join(words)
