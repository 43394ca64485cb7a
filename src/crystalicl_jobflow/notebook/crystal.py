"""One generated crystal as a person holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.notebook import html
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.validation.distances import min_distance

if TYPE_CHECKING:
    from ase import Atoms

    from crystalicl_jobflow.energies.energy_model import Relaxation

COLUMNS = (
    "formula",
    "group",
    "sites",
    "density",
    "shortest_contact",
    "times_drawn",
    "outcome",
)
"""Columns of the tables: numbers of sites in the cell, g/cm³, Å."""


@dataclass(frozen=True, repr=False)
class GeneratedCrystal:
    """One crystal that was generated.

    Parameters
    ----------
    candidate
        The best of the draws that gave it, with text, checks and provenance.
    times_drawn
        How many draws gave this crystal.
    relaxation
        Of `Crystals.relax`; None where there was none.
    """

    candidate: Candidate
    times_drawn: int = 1
    relaxation: Relaxation | None = None

    @property
    def structure(self) -> Structure:
        """The crystal; the relaxed one where its relaxation converged."""
        relaxed = self.relaxation
        if relaxed is not None and relaxed.converged and relaxed.structure is not None:
            return relaxed.structure
        assert self.candidate.structure is not None
        return self.candidate.structure

    @property
    def similarity(self) -> float | None:
        """Similarity to the measured pattern with the refined cell, 0 to 1; None without one."""
        return None if self.candidate.xrd is None else self.candidate.xrd.similarity

    @property
    def refined(self) -> Structure | None:
        """The generated crystal with the cell refined to the measured pattern; None without one."""
        fit, generated = self.candidate.xrd, self.candidate.structure
        return None if fit is None or generated is None else fit.refined(generated)

    @property
    def atoms(self) -> Atoms:
        """The crystal for ASE."""
        from pymatgen.io.ase import AseAtomsAdaptor

        return AseAtomsAdaptor.get_atoms(self.structure)

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.candidate.formula_pretty or ""

    @property
    def space_group(self) -> int | None:
        """Number of the space group found in the generated crystal."""
        return self.candidate.space_group

    @property
    def valid(self) -> bool:
        """Whether it passed every check."""
        return self.candidate.valid

    @property
    def energy_per_atom(self) -> float | None:
        """Energy after relaxation in eV/atom; None where it was not relaxed."""
        return None if self.relaxation is None else self.relaxation.energy_per_atom

    @property
    def log_prob(self) -> float | None:
        """Logarithm of its text's probability under the model; None where nobody tells."""
        return self.candidate.provenance.log_prob

    @property
    def edit(self) -> Edit | None:
        """What it was made of: its parent and what was kept; None where it was not edited."""
        return self.candidate.provenance.edit

    @property
    def outcome(self) -> str:
        """What the checks say, in words."""
        reason = self.candidate.failure_reason
        if reason is not None:
            return str(reason.value).replace("_", " ")
        return "as asked" if self.candidate.joint_success else "valid"

    def row(self) -> dict[str, Any]:
        """Return the crystal's row of a table, see `COLUMNS`."""
        symbol = self.candidate.space_group_symbol or "?"
        row = {
            "formula": self.formula,
            "group": f"{symbol} ({self.space_group})" if self.space_group else symbol,
            "sites": len(self.structure),
            "density": round(float(self.structure.density), 3),
            "shortest_contact": self.candidate.checks.min_distance,
            "times_drawn": self.times_drawn,
            "outcome": self.outcome,
        }
        if self.edit is not None:
            row |= html.edit_cells(self.edit)
            row["log_prob"] = self.log_prob
        if self.candidate.xrd is not None:
            row["similarity"] = self.similarity
            row["volume_ratio"] = self.candidate.xrd.volume_ratio
        if self.relaxation is not None:
            row["shortest_contact"] = round(min_distance(self.structure), 4)
            row["energy_per_atom"] = self.energy_per_atom
            row["relaxed"] = "yes" if self.relaxation.converged else self.relaxation.message or "no"
        return row

    def show(self) -> html.View:
        """Show the crystal: turning in three dimensions in a notebook, as text elsewhere."""
        return html.View(self.structure, self._title)

    @property
    def _title(self) -> str:
        group = f", space group {self.space_group}" if self.space_group else ""
        return f"{self.formula}{group}"

    def __repr__(self) -> str:
        return f"GeneratedCrystal({self._title}, drawn {self.times_drawn} ×, {self.outcome})"

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()
