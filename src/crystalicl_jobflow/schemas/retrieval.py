"""Retrieval: demonstrations of the pool, and those chosen for a condition."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from crystalicl_jobflow.schemas.base import Batched, Crystal, Document, utcnow
from crystalicl_jobflow.schemas.condition import Condition
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.schemas.properties import ByProperty

Strategy = Literal["C", "F", "CF", "R", "CR", "FR", "CFR", "CE"]
"""How demonstrations are chosen: by condition, by structure, by both, at random; a
trailing R shuffles the order (CrystalICL, section 3.2 and table 4)."""


class Demonstration(Document):
    """A known crystal of the pool, as prompts and the index need it."""

    demonstration_id: str = Field(description="Key of the document, unique in the pool.")
    source: str = Field(description="Where the crystal comes from, e.g. 'prototypes'.")
    formula: str = Field(description="Reduced formula.")
    anonymous_formula: str = Field(description="Anonymised formula, e.g. ABC3.")
    chemsys: str = Field(description="Chemical system, e.g. Ca-O-Ti.")
    elements: tuple[str, ...] = Field(description="Elements, sorted.")
    num_sites: int = Field(description="Atoms in the primitive cell.")
    space_group: int = Field(description="Space-group number at the pool's symprec.")
    properties: ByProperty[float] = Field(
        default_factory=dict, description="Known property values by name."
    )
    text: str = Field(description="The crystal's SGS text, without '### '.")
    structure: Crystal | None = Field(None, description="The crystal; absent in a prompt.")
    structure_hash: str = Field("", description="Hash of the source's record, for increments.")
    remarks: list[str] = Field(
        default_factory=list,
        description="What was mended or is missing in the source's crystal, one line each.",
    )
    fingerprint: list[float] | None = Field(
        None, description="CrystalNN 'ops' fingerprint averaged over sites; None if put off."
    )
    fingerprint_error: str | None = Field(
        None, description="Why there is no fingerprint, where one was tried."
    )
    symprec: float = Field(0.1, description="Symmetry tolerance in Å of text and group.")
    source_updated: datetime | None = Field(
        None, description="When the source last changed its record, where it says so."
    )
    last_updated: datetime = Field(default_factory=utcnow)


class GroupChoice(Document):
    """One of the space groups to draw from, with what a prompt for it shows."""

    space_group: int
    share: float = Field(description="Its probability for the formula, learned from the pool.")
    demonstrations: list[Demonstration] = Field(default_factory=list)
    num_matching: int = Field(0, description="Demonstrations that met all, the group included.")
    relaxed: list[str] = Field(default_factory=list, description="As in Retrieval.")
    templates: list[Demonstration] = Field(default_factory=list, description="As in Retrieval.")


class Retrieval(Document):
    """The demonstrations chosen for one condition, and how."""

    condition: Condition
    strategy: Strategy
    shots: int = Field(ge=0, le=5, description="Demonstrations asked for.")
    seed: int
    demonstrations: list[Demonstration] = Field(default_factory=list)
    num_matching: int = Field(0, description="Demonstrations that met all that was asked.")
    relaxed: list[str] = Field(
        default_factory=list, description="What was given up to find enough, in order."
    )
    templates: list[Demonstration] = Field(
        default_factory=list,
        description="Known crystals that meet the condition's stoichiometry and everything else"
        " asked for, most similar elements first: what substitution takes; no prompt shows them.",
    )
    groups: list[GroupChoice] = Field(
        default_factory=list,
        description="Where a formula is asked for without a space group: the groups to draw texts"
        " from, most probable first.",
    )
    pool_size: int = Field(0, description="Demonstrations in the pool.")
    pool: str = Field("", description="The pool's store, in words.")
    edit: Edit | None = Field(
        None, description="What is kept of a crystal that is edited; None: texts are free."
    )

    def in_group(self, choice: GroupChoice) -> Retrieval:
        """Return the retrieval for one of the groups, its condition with that group."""
        return self.model_copy(
            update={
                "condition": self.condition.model_copy(update={"space_group": choice.space_group}),
                "demonstrations": choice.demonstrations,
                "num_matching": choice.num_matching,
                "relaxed": choice.relaxed,
                "templates": choice.templates,
                "groups": [],
            }
        )


class RetrieveDoc(Document):
    """What a retrieval job returns."""

    retrievals: Batched[Retrieval] = Field(
        default_factory=list, description="One per condition, in order; in the store 'data'."
    )
    num_conditions: int = 0
    num_relaxed: int = Field(
        0, description="Conditions of which a part was given up to find enough demonstrations."
    )
    num_short: int = Field(0, description="Conditions with fewer demonstrations than asked for.")
    pool: str = Field("", description="The pool's store, in words.")
    pool_size: int = 0

    @classmethod
    def from_retrievals(cls, retrievals: list[Retrieval]) -> RetrieveDoc:
        """Build the document with its counts."""
        return cls(
            retrievals=retrievals,
            num_conditions=len(retrievals),
            num_relaxed=sum(bool(item.relaxed) for item in retrievals),
            num_short=sum(len(item.demonstrations) < item.shots for item in retrievals),
            pool=retrievals[0].pool if retrievals else "",
            pool_size=retrievals[0].pool_size if retrievals else 0,
        )
