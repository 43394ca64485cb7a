"""How many crystals of a run the convex hull could judge, and why not the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from crystalicl_jobflow.report.run import Run

NOT_JUDGED = "not judged"

STABILITY = frozenset({"stable", "metastable", "sun", "metastable_sun"})
"""Rates over the crystals that could be judged."""


@dataclass(frozen=True)
class Stability:
    """How many crystals the convex hull could judge.

    Parameters
    ----------
    judged
        Crystals with a verdict.
    crystals
        All crystals among the candidates.
    reasons
        Why there is none → number of crystals, the most frequent first.
    relaxed
        Whether energies are those of relaxed crystals.
    """

    judged: int
    crystals: int
    reasons: tuple[tuple[str, int], ...]
    relaxed: bool


def stability(run: Run) -> Stability | None:
    """Return how many crystals could be judged; None where no energies were compared."""
    if "stable" not in run.rates:
        return None
    reasons = Counter(
        str(row["no_hull_reason"])
        for row, candidate in zip(run.columns, run.candidates, strict=True)
        if candidate.structure is not None and row.get("no_hull_reason")
    )
    judged = sum(row.get("stable") is not None for row in run.columns)
    return Stability(
        judged=judged or run.rates["stable"].of,  # the table of structures may be missing
        crystals=sum(candidate.structure is not None for candidate in run.candidates),
        reasons=tuple(reasons.most_common()),
        relaxed=any(row.get("relaxed") is not None for row in run.columns),
    )
