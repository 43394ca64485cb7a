"""The documents of a discovery: which candidates go on, and what was found."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.base import Batched, BatchedRows, Crystal, Document
from crystalicl_jobflow.schemas.candidate import CandidateCrystal
from crystalicl_jobflow.schemas.evaluation import Rate


class SelectionReason(StrEnum):
    """Why a candidate does not go on."""

    NOT_VALID = "not_valid"
    CONDITION_NOT_MET = "condition_not_met"
    NO_RELAXATION = "no_relaxation"
    RELAXATION_FAILED = "relaxation_failed"
    NOT_JUDGED = "not_judged"
    ABOVE_LIMIT = "above_limit"
    DUPLICATE = "duplicate"
    KNOWN = "known"
    BEYOND_BUDGET = "beyond_budget"


class SelectionRow(Document):
    """What a selection decided about one candidate."""

    candidate_id: str
    selected: bool = False
    rank: int | None = Field(
        None, description="Place among those that could go on, from 1; None for the others."
    )
    reason: SelectionReason | None = Field(None, description="Why it does not go on.")
    message: str | None = None
    duplicate_of: str | None = Field(
        None, description="The candidate of the same crystal that is ranked before it."
    )
    known_as: str | None = Field(None, description="Id of the known crystal that it is.")
    times_drawn: int | None = Field(None, description="Candidates that are this crystal.")
    scores: dict[str, float | None] = Field(
        default_factory=dict, description="What it was ranked by."
    )


class ChosenCrystal(CandidateCrystal):
    """A selected candidate, with the crystal that the next step begins from."""

    rank: int


class SelectDoc(Document):
    """What a selection job returns."""

    chosen: Batched[ChosenCrystal] = Field(
        default_factory=list, description="In the order of their rank; in the store 'data'."
    )
    rows: BatchedRows = Field(
        default_factory=list,
        description="One SelectionRow per candidate, in their order; in the store 'data'.",
    )
    num_candidates: int = 0
    num_eligible: int = Field(0, description="Candidates that could go on, were there no budget.")
    num_selected: int = 0
    reasons: dict[str, int] = Field(
        default_factory=dict, description="Reason → number of candidates that do not go on."
    )
    ranking: list[str] = Field(default_factory=list, description="What decides, in this order.")

    @property
    def structures(self) -> list[Structure]:
        """The crystals, best first: what any Maker takes by reference."""
        return [item.structure for item in self.chosen]

    @property
    def candidate_ids(self) -> list[str]:
        """Their candidates' ids."""
        return [item.candidate_id for item in self.chosen]

    @classmethod
    def from_rows(
        cls, rows: list[SelectionRow], chosen: list[ChosenCrystal], *, ranking: list[str]
    ) -> SelectDoc:
        """Build the document with its counts."""
        reasons: dict[str, int] = {}
        for row in rows:
            if row.reason is not None:
                reasons[row.reason.value] = reasons.get(row.reason.value, 0) + 1
        return cls(
            chosen=sorted(chosen, key=lambda item: item.rank),
            rows=[row.model_dump(mode="json") for row in rows],
            num_candidates=len(rows),
            num_eligible=sum(row.rank is not None for row in rows),
            num_selected=len(chosen),
            reasons=dict(sorted(reasons.items())),
            ranking=ranking,
        )


class FoundCrystal(CandidateCrystal):
    """One relaxed candidate, with what decides whether it is a discovery."""

    structure: Crystal = Field(description="The relaxed crystal.")
    energy_per_atom: float | None = Field(None, description="eV/atom, on the method's scale.")
    formation_energy_per_atom: float | None = Field(None, description="eV/atom")
    energy_above_hull: float | None = Field(None, description="eV/atom; negative below the hull.")
    no_hull_reason: str | None = Field(
        None, description="Why there is no energy above the hull, e.g. no competing phase."
    )
    level: str = Field("forcefield", description="forcefield or dft")
    method: str = ""


class DiscoveryDoc(Document):
    """What a discovery ends with: how many are left after each step, and the crystals."""

    found: Batched[FoundCrystal] = Field(
        default_factory=list,
        description="Relaxed crystals, those of the highest level first, by energy above the"
        " hull; in the store 'data'.",
    )
    counts: dict[str, int | None] = Field(
        default_factory=dict,
        description="Step → number of candidates that passed it; None for 'stable' and 'metastable'"
        " where not one could be judged.",
    )
    not_judged: dict[str, int] = Field(
        default_factory=dict,
        description="Why there is no energy above the hull → number of relaxed crystals.",
    )
    rates: dict[str, Rate] = Field(default_factory=dict, description="Of the evaluation.")
    selections: list[dict[str, Any]] = Field(
        default_factory=list, description="Counts and reasons of each selection."
    )

    @property
    def count_rows(self) -> list[tuple[str, str]]:
        """Steps and numbers as people read them: 'not judged' where nothing could be judged."""
        rows = [
            (step.replace("_", " "), "not judged" if count is None else str(count))
            for step, count in self.counts.items()
        ]
        return rows + [(f"not judged: {reason}", str(n)) for reason, n in self.not_judged.items()]

    @property
    def structures(self) -> list[Structure]:
        """The relaxed crystals, best first: what any Maker takes by reference."""
        return [item.structure for item in self.found]

    @property
    def candidate_ids(self) -> list[str]:
        """Their candidates' ids."""
        return [item.candidate_id for item in self.found]
