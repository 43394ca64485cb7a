"""Validation: one text with its crystal, its checks and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from pydantic import AliasChoices, Field, model_validator
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.base import Batched, Crystal, Document, utcnow
from crystalicl_jobflow.schemas.condition import Condition
from crystalicl_jobflow.schemas.crystal_metadata import CrystalMetadata, with_todays_names
from crystalicl_jobflow.schemas.diffraction import PatternFit
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.schemas.generation import (
    ModelInfo,
    SamplingParams,
    SearchRecord,
    TreeSearch,
)
from crystalicl_jobflow.schemas.properties import ByProperty
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.schemas.retrieval import Strategy


class Provenance(Document):
    """Everything needed to draw one candidate again."""

    prompt: str
    demonstration_ids: list[str] = Field(default_factory=list)
    strategy: Strategy | None = None
    relaxed: list[str] = Field(default_factory=list)
    request_index: int = 0
    sample_index: int = 0
    attempts: int = 1
    rejected: dict[str, int] = Field(default_factory=dict)
    constraint: str | None = None
    finished: bool = True
    num_tokens: int = 0
    template_id: str | None = Field(
        None, description="Known crystal whose elements were replaced, where that was done."
    )
    template_rank: int | None = Field(
        None, description="The template's place among those of its condition, see Completion."
    )
    template_distance: float | None = Field(None, description="See Completion.")
    template_votes: int | None = Field(None, description="See Completion.")
    drawn_space_group: int | None = Field(
        None,
        description="Space group that was drawn for this text from the pool's distribution; the"
        " condition did not ask for it.",
    )
    drawn_share: float | None = Field(
        None, description="Probability of that group for the formula."
    )
    log_prob: float | None = Field(
        None, description="Logarithm of the text's probability under the model as it is."
    )
    draws: int = Field(0, description="Draws made in all, see Completion.")
    tokens_drawn: int = Field(0, description="Tokens of all draws, see Completion.")
    sampling: SamplingParams | None = None
    search: TreeSearch | None = Field(
        None, description="Settings of the search that wrote the text; None: drawn at random."
    )
    search_record: SearchRecord | None = Field(None, description="What the search found out of it.")
    edit: Edit | None = Field(
        None, description="The crystal that it was made from, and what was kept of it."
    )
    model: ModelInfo | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    tolerances: dict[str, float | str] = Field(
        default_factory=dict, description="Thresholds of the checks, with the set names used."
    )


class Checks(Document):
    """Checks of one crystal that need no energy; None where there is no crystal."""

    min_distance: float | None = Field(None, description="Shortest distance in Å.")
    volume: float | None = Field(None, description="Cell volume in Å³.")
    structure_valid: bool | None = Field(
        None, description="CDVAE: minimum distance ≥ 0.5 Å and volume ≥ 0.1 Å³."
    )
    structure_valid_radii: bool | None = Field(
        None, description="CrystalICL: no distance below half the sum of the atomic radii."
    )
    composition_valid: bool | None = Field(
        None, description="Charge-neutral under SMACT with the Pauling test."
    )
    symmetry_adherent: bool | None = Field(
        None, description="The group found is the one the text declares or the condition asks."
    )


class Candidate(CrystalMetadata):
    """One generated text with all that is known about it: the unit of storage."""

    candidate_id: str = Field(
        description="Hash of provenance and text: the same draw, the same id."
    )
    condition: Condition
    text: str
    text_format: str = "sgs"
    parsed: bool = False
    structure: Crystal | None = None
    declared_space_group: int | None = Field(None, description="Number written in the text.")
    properties: ByProperty[float] = Field(
        default_factory=dict, description="Predicted or computed values by name."
    )
    checks: Checks = Field(default_factory=Checks)
    success: ByProperty[bool | None] = Field(
        default_factory=dict,
        description="What was asked for → whether met; None where it could not be judged.",
    )
    joint_success: bool | None = Field(
        None, description="Everything asked for at once; None where a part was not judged."
    )
    xrd: PatternFit | None = Field(
        None, description="How well it explains a measured pattern, where one was given."
    )
    valid: bool = Field(
        False, description="Parsed, structurally valid (both rules) and of valid composition."
    )
    failure_reason: FailureReason | None = None
    failure_message: str | None = None
    provenance: Provenance
    created_at: datetime = Field(default_factory=utcnow)

    @model_validator(mode="before")
    @classmethod
    def _with_todays_names(cls, value: Any) -> Any:
        return with_todays_names(value)

    @property
    def space_group(self) -> int | None:
        """Number of the space group found."""
        return self.symmetry.number

    @property
    def space_group_symbol(self) -> str | None:
        """Short Hermann–Mauguin symbol of the space group found."""
        return self.symmetry.symbol


class CandidateCrystal(Document):
    """A crystal with the candidate that it belongs to: what the next step begins from."""

    candidate_id: str
    formula_pretty: str = Field("", validation_alias=AliasChoices("formula_pretty", "formula"))
    structure: Crystal


def candidate_crystals(candidates: Iterable[Candidate]) -> list[CandidateCrystal]:
    """Return the crystals of the candidates that passed every check, in their order."""
    return [
        CandidateCrystal(
            candidate_id=item.candidate_id,
            formula_pretty=item.formula_pretty or "",
            structure=item.structure,
        )
        for item in candidates
        if item.valid and item.structure is not None
    ]


class ValidateDoc(Document):
    """What a validation job returns."""

    candidates: Batched[Candidate] = Field(
        default_factory=list, description="One per text, in order; in the store 'data'."
    )
    num_candidates: int = 0
    num_parsed: int = 0
    num_valid: int = 0
    reasons: dict[str, int] = Field(
        default_factory=dict, description="Failure reason → number of candidates."
    )

    @property
    def valid_candidates(self) -> list[Candidate]:
        """The candidates that passed every check."""
        return [candidate for candidate in self.candidates if candidate.valid]

    @property
    def structures(self) -> list[Structure]:
        """Their crystals: what any Maker takes by reference."""
        return [item.structure for item in candidate_crystals(self.candidates)]

    @property
    def candidate_ids(self) -> list[str]:
        """The ids of the valid candidates, in the order of their crystals."""
        return [item.candidate_id for item in candidate_crystals(self.candidates)]

    @classmethod
    def from_candidates(cls, candidates: list[Candidate]) -> Self:
        """Build the document with its counts."""
        reasons: dict[str, int] = {}
        for candidate in candidates:
            if candidate.failure_reason is not None:
                name = candidate.failure_reason.value
                reasons[name] = reasons.get(name, 0) + 1
        return cls(
            candidates=candidates,
            num_candidates=len(candidates),
            num_parsed=sum(candidate.parsed for candidate in candidates),
            num_valid=sum(candidate.valid for candidate in candidates),
            reasons=dict(sorted(reasons.items())),
        )


class EditDoc(ValidateDoc):
    """What an editing job returns: a validation whose candidates have parents."""

    @property
    def parent_ids(self) -> list[str]:
        """The crystals that were edited, each once, in order."""
        edits = (candidate.provenance.edit for candidate in self.candidates)
        return list(dict.fromkeys(edit.parent_id for edit in edits if edit is not None))

    @property
    def new_candidates(self) -> list[Candidate]:
        """The valid candidates that are not their parents over again."""
        return [
            candidate
            for candidate in self.valid_candidates
            if candidate.provenance.edit is None or not candidate.provenance.edit.matches_parent
        ]
