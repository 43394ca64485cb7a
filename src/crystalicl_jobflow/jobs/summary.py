"""The job that a discovery ends with: how many are left after each step, and the crystals."""

from __future__ import annotations

from typing import Any

from jobflow import JobConfig, OnMissing, job

from crystalicl_jobflow.jobs._inputs import as_candidates, as_relaxations
from crystalicl_jobflow.schemas import Evaluation
from crystalicl_jobflow.schemas.discovery import DiscoveryDoc, SelectDoc
from crystalicl_jobflow.schemas.jobs import DATA


@job(
    name="summary",
    output_schema=DiscoveryDoc,
    data=DATA,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def summarize_discovery(
    candidates: Any,
    selections: list[Any],
    relaxations: list[Any],
    evaluation: Any = None,
) -> DiscoveryDoc:
    """Count what passed each step, and put the relaxed crystals in order.

    Parameters
    ----------
    candidates
        All candidates.
    selections
        Outputs of the selections, in order; None for one that failed.
    relaxations
        Outputs of the relaxations, in order; None for one that failed.
    evaluation
        The evaluation; None for none.

    Returns
    -------
    DiscoveryDoc
        The counts, the rates, the crystals.
    """
    from crystalicl_jobflow.evaluation.selection import summarize

    return summarize(
        [] if candidates is None else as_candidates(candidates),
        [SelectDoc.model_validate(item) for item in selections if item is not None],
        as_relaxations(relaxations) or [],
        rates={} if evaluation is None else Evaluation.model_validate(evaluation).rates,
    )
