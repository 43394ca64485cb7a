"""Evaluation: rates and other figures of a set of candidates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import Field
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.base import Batched, BatchedRows, Document, html_rows, utcnow
from crystalicl_jobflow.schemas.candidate import Candidate, CandidateCrystal, candidate_crystals


class Rate(Document):
    """A share with its denominator."""

    rate: float | None = Field(description="count / of; None where of is 0.")
    count: int
    of: int

    @classmethod
    def from_counts(cls, count: int, of: int) -> Rate:
        """Build a rate; None where `of` is 0."""
        return cls(rate=count / of if of else None, count=count, of=of)


class Evaluation(Document):
    """Rates over a set of candidates, with each candidate's results."""

    num_candidates: int
    rates: dict[str, Rate] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(
        default_factory=dict, description="Failure reason → number of candidates."
    )
    metrics: dict[str, float | None] = Field(
        default_factory=dict, description="Figures other than rates, e.g. a mean RMS."
    )
    results: list[dict[str, Any]] = Field(
        default_factory=list, description="One row per candidate: id, flags, reason."
    )
    tolerances: dict[str, float | str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=utcnow)

    def __repr__(self) -> str:
        width = max(map(len, self.rates), default=0)
        lines = [f"{type(self).__name__} of {self.num_candidates} candidates"]
        lines += [f"  {name.ljust(width)}  {_share(rate)}" for name, rate in self.rates.items()]
        if self.reasons:
            lines.append("  " + ", ".join(f"{n} × {name}" for name, n in self.reasons.items()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = ((name.replace("_", " "), _share(rate)) for name, rate in self.rates.items())
        return html_rows(f"{self.num_candidates} candidates", rows)


def _share(rate: Rate) -> str:
    if rate.rate is None:
        return "not judged"
    return f"{100 * rate.rate:.1f} % ({rate.count} of {rate.of})"


class EvaluateDoc(Evaluation):
    """What an evaluation job returns: an evaluation whose rows lie in the store 'data'."""

    results: BatchedRows = Field(
        default_factory=list,
        description="One row per candidate, see STRUCTURE_COLUMNS; in the store 'data'.",
    )

    crystals: Batched[CandidateCrystal] = Field(
        default_factory=list,
        description="Crystals of the candidates that passed every check; in the store 'data'.",
    )

    @property
    def structures(self) -> list[Structure]:
        """The crystals that passed every check, as generated: what any Maker takes by reference."""
        return [item.structure for item in self.crystals]

    @property
    def candidate_ids(self) -> list[str]:
        """Their candidates' ids."""
        return [item.candidate_id for item in self.crystals]

    @classmethod
    def from_evaluation(
        cls, evaluation: Evaluation, candidates: Iterable[Candidate] = ()
    ) -> EvaluateDoc:
        """Build the document from what the evaluation room returns, and from the candidates."""
        return cls(**dict(evaluation), crystals=candidate_crystals(candidates))
