"""The documents that travel from step to step and are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator
from pymatgen.core import Structure

from crystalicl_jobflow.redaction import redact
from crystalicl_jobflow.schemas.condition import Condition
from crystalicl_jobflow.schemas.reasons import FailureReason

Strategy = Literal["C", "F", "CF", "R", "CR", "FR", "CFR", "CE"]
"""How demonstrations are chosen: by condition, by structure, by both, at random; a
trailing R shuffles the order (CrystalICL, section 3.2 and table 4)."""


Crystal = Annotated[Structure, PlainSerializer(lambda crystal: crystal.as_dict(), when_used="json")]
"""A pymatgen structure; its dictionary in JSON, from which it is read again."""


def utcnow() -> datetime:
    """Return the current time in UTC, without sub-millisecond digits (BSON keeps none)."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Document(BaseModel):
    """Base of all documents: unknown fields are refused, so that a typo is seen."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


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
    properties: dict[str, float] = Field(
        default_factory=dict, description="Known property values by name."
    )
    text: str = Field(description="The crystal's SGS text, without '### '.")
    structure: Crystal | None = Field(None, description="The crystal; absent in a prompt.")
    structure_hash: str = Field("", description="Hash of the source's record, for increments.")
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
    pool_size: int = Field(0, description="Demonstrations in the pool.")
    pool: str = Field("", description="The pool's store, in words.")


class SamplingParams(Document):
    """How texts are drawn from a language model."""

    temperature: float = Field(0.9, gt=0)
    top_p: float = Field(0.9, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    max_new_tokens: int = Field(768, ge=1)
    seed: int = 0
    max_redraws: int = Field(
        5, ge=0, description="How often one sample that is no crystal is drawn again."
    )
    best_of: int = Field(
        1,
        ge=1,
        description="Texts drawn for each sample, of which the most probable is kept; all of"
        " them cost.",
    )
    copy_bias: float = Field(
        0.0,
        ge=0,
        description="Nats by which constrained texts are drawn towards what the demonstrations"
        " hold at the same place, before the temperature; 0 for the model alone.",
    )


class ModelInfo(Document):
    """Which model wrote a text."""

    engine: str = Field(description="Text generator, e.g. 'transformers'.")
    base_model: str
    base_revision: str | None = Field(None, description="Hub revision or hash of the files.")
    adapter: str | None = None
    adapter_revision: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    quantization: str | None = None

    @field_validator("base_model", "adapter", "device")
    @classmethod
    def _hide_secrets(cls, value: str | None) -> str | None:
        """Hide secrets: a model may be the address of a server, and this document is stored."""
        return None if value is None else redact(value)


class Completion(Document):
    """One text that a model wrote for a prompt."""

    request_index: int = Field(description="Which prompt of the batch, from 0.")
    sample_index: int = Field(description="Which sample of that prompt, from 0.")
    text: str
    finished: bool = Field(description="Whether the model ended the text by itself.")
    num_tokens: int
    attempts: int = Field(1, description="Draws made, the one kept included.")
    rejected: dict[str, int] = Field(
        default_factory=dict, description="Reason code to number of draws rejected for it."
    )
    constraint: str | None = Field(
        None, description="Constraint under which the text was written, in words; None for none."
    )
    log_prob: float | None = Field(
        None,
        description="Natural logarithm of the text's probability, its end included, under the"
        " model as it is: at temperature 1, without nucleus and constraint. None where the engine"
        " does not tell.",
    )
    error: str | None = Field(
        None, description="Why there is no text, where a model server gave none; one line."
    )
    flaw: FailureReason | None = Field(
        None, description="Why the text would have been drawn again, had draws been left."
    )
    draws: int = Field(
        0, description="Draws made in all, those of less probable texts included; 0: not counted."
    )
    tokens_drawn: int = Field(
        0, description="Tokens of all draws, also of those thrown away; 0: not counted."
    )


class Generation(Document):
    """The texts written for one retrieval (one condition)."""

    condition: Condition
    prompt: str
    text_format: str = "sgs"
    strategy: Strategy | None = None
    demonstration_ids: list[str] = Field(default_factory=list)
    relaxed: list[str] = Field(default_factory=list)
    completions: list[Completion] = Field(default_factory=list)
    sampling: SamplingParams
    model: ModelInfo
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = Field(None, description="Wall time of the whole batch, in s.")


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
    log_prob: float | None = Field(
        None, description="Logarithm of the text's probability under the model as it is."
    )
    draws: int = Field(0, description="Draws made in all, see Completion.")
    tokens_drawn: int = Field(0, description="Tokens of all draws, see Completion.")
    sampling: SamplingParams | None = None
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


class Candidate(Document):
    """One generated text with all that is known about it: the unit of storage."""

    candidate_id: str = Field(
        description="Hash of provenance and text: the same draw, the same id."
    )
    condition: Condition
    text: str
    text_format: str = "sgs"
    parsed: bool = False
    structure: Crystal | None = None
    formula: str | None = None
    anonymous_formula: str | None = None
    chemsys: str | None = None
    elements: tuple[str, ...] = ()
    num_sites: int | None = Field(None, description="Atoms in the primitive cell.")
    density: float | None = Field(None, description="g/cm³")
    declared_space_group: int | None = Field(None, description="Number written in the text.")
    space_group: int | None = Field(None, description="Number found at symprec 0.1.")
    space_group_symbol: str | None = None
    properties: dict[str, float] = Field(
        default_factory=dict, description="Predicted or computed values by name."
    )
    checks: Checks = Field(default_factory=Checks)
    success: dict[str, bool | None] = Field(
        default_factory=dict,
        description="What was asked for → whether met; None where it could not be judged.",
    )
    joint_success: bool | None = Field(
        None, description="Everything asked for at once; None where a part was not judged."
    )
    valid: bool = Field(
        False, description="Parsed, structurally valid (both rules) and of valid composition."
    )
    failure_reason: FailureReason | None = None
    failure_message: str | None = None
    provenance: Provenance
    created_at: datetime = Field(default_factory=utcnow)


class Rate(Document):
    """A share with its denominator."""

    rate: float | None = Field(description="count / of; None where of is 0.")
    count: int
    of: int

    @classmethod
    def from_counts(cls, count: int, of: int) -> Rate:
        """Build a rate; of 0 gives no rate."""
        return cls(rate=count / of if of else None, count=count, of=of)


class Evaluation(Document):
    """Rates over a set of candidates, with each candidate's results."""

    num_candidates: int
    rates: dict[str, Rate] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(
        default_factory=dict, description="Failure reason → number of candidates."
    )
    metrics: dict[str, float | None] = Field(
        default_factory=dict, description="Figures that are no rates, e.g. a mean RMS."
    )
    results: list[dict[str, Any]] = Field(
        default_factory=list, description="One row per candidate: id, flags, reason."
    )
    tolerances: dict[str, float | str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=utcnow)
