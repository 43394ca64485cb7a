"""Documents of the benchmarks: what one part of a run gave."""

from __future__ import annotations

from pydantic import Field

from crystalicl_jobflow.schemas.documents import Candidate, Document
from crystalicl_jobflow.schemas.jobs import Batched


class Comparison(Document):
    """A generated crystal beside the true one."""

    matched: bool
    rms: float | None = Field(
        None, description="RMS displacement over (volume per atom)^(1/3); None without a match."
    )
    max_distance: float | None = Field(
        None, description="Largest displacement, normalised likewise; None without a match."
    )
    reduced: bool = Field(
        False, description="Whether the matcher's reduction to primitive cells found the match."
    )


class SamplePart(Document):
    """Some conditions of a benchmark: their texts, read, checked and compared."""

    candidates: Batched[Candidate] = Field(
        default_factory=list, description="By condition and sample; in the store 'data'."
    )
    comparisons: list[Comparison | None] = Field(
        default_factory=list, description="One per candidate; None where there is no true crystal."
    )
    impossible: dict[int, str] = Field(
        default_factory=dict,
        description="Place of a condition that no text can meet → why; it was written freely.",
    )
    seconds: dict[str, float] = Field(
        default_factory=dict, description="Wall time of generate, check and match, in s."
    )
