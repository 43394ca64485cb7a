"""Match rates apart: by number of elements, and by whether the pool has a template."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from crystalicl_jobflow.benchmarks.results import prediction_rates
from crystalicl_jobflow.evaluation.structure_prediction import SAMPLES
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.benchmark import Comparison


def split_rates(
    candidates: Sequence[Candidate],
    comparisons: Sequence[Comparison | None],
    n: int,
    *,
    with_template: Collection[int],
    places: Sequence[int] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return the match rates of parts of the conditions.

    Parameters
    ----------
    candidates, comparisons, n, places
        As in `prediction_rates`.
    with_template
        Conditions for which the pool has a crystal of their stoichiometry and group.

    Returns
    -------
    dict
        ``elements=2`` and so on, ``template=yes``, ``template=no`` → the rows of
        `prediction_rates` for 1, 20 and n samples. Conditions without a formula count for their
        template alone.
    """
    names = [_names(item, with_template) for item in candidates]
    found = {}
    for name in sorted({name for one in names for name in one}):
        kept = [place for place, one in enumerate(names) if name in one]
        rows = prediction_rates(
            [candidates[place] for place in kept],
            [comparisons[place] for place in kept],
            n,
            places=None if places is None else [places[place] for place in kept],
        )
        found[name] = [row for row in rows if row["n"] in (*SAMPLES, n)]
    return found


def _names(candidate: Candidate, with_template: Collection[int]) -> list[str]:
    known = candidate.provenance.request_index in with_template
    names = [f"template={'yes' if known else 'no'}"]
    composition = candidate.condition.composition
    if composition is not None:
        names.append(f"elements={len(composition.elements)}")
    return names
