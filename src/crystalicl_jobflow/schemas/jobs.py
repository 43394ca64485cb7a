"""The documents that the Jobs return: what is large lies in batches, apart from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, SerializationInfo
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.documents import (
    Candidate,
    Document,
    Evaluation,
    Generation,
    ModelInfo,
    Retrieval,
)

BATCH_SIZE = 100
"""Documents in one blob of the additional store. A candidate of 240 atoms takes 85 kB, so
a hundred stay below MongoDB's 16 MB; a thousand blobs of one candidate each would take the
file-based stores minutes, whose upserts are quadratic."""

ROWS_SIZE = 2000
"""Rows of a table in one blob: a row has some 2 kB."""

BATCH = "batch"
"""Key under which a batch lies in a job's output, and which goes to the store ``data``."""

DATA = [BATCH]
"""The ``data=`` argument of the job decorator: what goes into the additional store."""

ItemT = TypeVar("ItemT")


def _to_batches(items: list[Any], info: SerializationInfo) -> list[dict[str, Any]]:
    dumped = [item.model_dump(mode=info.mode) for item in items]
    return [
        {BATCH: dumped[start : start + BATCH_SIZE]} for start in range(0, len(dumped), BATCH_SIZE)
    ]


def _rows_to_batches(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    starts = range(0, len(rows), ROWS_SIZE)
    return [{BATCH: rows[start : start + ROWS_SIZE]} for start in starts]


def from_batches(value: Any) -> Any:
    """Return a list that is stored in batches as the list that it is; anything else as given."""
    if not isinstance(value, list | tuple) or not any(map(_is_batch, value)):
        return value
    return [item for part in value for item in (part[BATCH] if _is_batch(part) else [part])]


def _is_batch(item: Any) -> bool:
    return isinstance(item, Mapping) and set(item) == {BATCH}


Batched = Annotated[
    list[ItemT],
    BeforeValidator(from_batches),
    PlainSerializer(_to_batches),
]
"""A list that is stored in batches, ``[{"batch": [...]}, ...]``, and read as a plain list."""


BatchedRows = Annotated[
    list[dict[str, Any]],
    BeforeValidator(from_batches),
    PlainSerializer(_rows_to_batches),
]
"""Rows of a table, stored in batches of :data:`ROWS_SIZE`, and read as a plain list."""


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


class GenerateDoc(Document):
    """What a generation job returns."""

    generations: Batched[Generation] = Field(
        default_factory=list, description="One per condition, in order; in the store 'data'."
    )
    num_conditions: int = 0
    num_samples: int = Field(0, description="Texts asked for.")
    num_completions: int = Field(0, description="Texts written.")
    num_tokens: int = 0
    num_draws: int = Field(0, description="Draws made, also those thrown away or less probable.")
    num_tokens_drawn: int = Field(0, description="Tokens of all draws.")
    seconds: float | None = Field(None, description="Time spent writing, over all shards, in s.")
    model: ModelInfo | None = None
    num_shards: int = Field(1, description="Jobs among which the samples were divided.")
    missing_shards: list[int] = Field(
        default_factory=list, description="Shards whose job failed, counted from 1."
    )
    num_resumed: int = Field(
        0, description="Samples that launches of the job wrote before they were killed."
    )

    @property
    def num_missing(self) -> int:
        """Texts asked for that no job wrote."""
        return self.num_samples - self.num_completions

    @classmethod
    def from_generations(
        cls,
        generations: list[Generation],
        *,
        num_samples: int,
        num_shards: int = 1,
        missing_shards: list[int] | None = None,
        seconds: float | None = None,
        num_resumed: int = 0,
    ) -> GenerateDoc:
        """Build the document with its counts."""
        completions = [item for generation in generations for item in generation.completions]
        return cls(
            generations=generations,
            num_conditions=len(generations),
            num_samples=num_samples,
            num_completions=len(completions),
            num_tokens=sum(item.num_tokens for item in completions),
            num_draws=sum(item.draws or item.attempts for item in completions),
            num_tokens_drawn=sum(item.tokens_drawn or item.num_tokens for item in completions),
            seconds=seconds,
            model=generations[0].model if generations else None,
            num_shards=num_shards,
            missing_shards=missing_shards or [],
            num_resumed=num_resumed,
        )


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
    def valid_structures(self) -> list[Structure]:
        """Their crystals: what a relaxation Maker takes by reference."""
        return [item.structure for item in self.valid_candidates if item.structure is not None]

    @classmethod
    def from_candidates(cls, candidates: list[Candidate]) -> ValidateDoc:
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


class EvaluateDoc(Evaluation):
    """What an evaluation job returns: an evaluation whose rows lie in the store 'data'."""

    results: BatchedRows = Field(
        default_factory=list,
        description="One row per candidate, see STRUCTURE_COLUMNS; in the store 'data'.",
    )

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation) -> EvaluateDoc:
        """Build the document from what the evaluation room returns."""
        return cls(**dict(evaluation))
