"""Match rates apart: by number of elements, and by what the pool has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    in_pool: Mapping[int, bool] | None = None,
    places: Sequence[int] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return the match rates of parts of the conditions.

    Parameters
    ----------
    candidates, comparisons, n, places
        As in `prediction_rates`.
    with_template
        Conditions for which the pool has a crystal of their stoichiometry and group.
    in_pool
        Condition → whether the pool has a crystal of the true one's formula and group, which
        was never shown but may have been in the model's training.

    Returns
    -------
    dict
        ``elements=2`` and so on, ``template=yes``, ``template=no``, ``in_pool=yes``,
        ``in_pool=no`` → the rows of `prediction_rates` for 1, 20 and n samples. Conditions
        without a formula count for their template alone.
    """
    names = [_names(item, with_template, in_pool or {}) for item in candidates]
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


def _names(
    candidate: Candidate, with_template: Collection[int], in_pool: Mapping[int, bool]
) -> list[str]:
    place = candidate.provenance.request_index
    names = [f"template={'yes' if place in with_template else 'no'}"]
    if place in in_pool:
        names.append(f"in_pool={'yes' if in_pool[place] else 'no'}")
    composition = candidate.condition.composition
    if composition is not None:
        names.append(f"elements={len(composition.elements)}")
    return names
