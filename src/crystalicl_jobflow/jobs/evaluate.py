"""The job that computes rates over candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobflow import Maker, job
from pymatgen.core import Structure

from crystalicl_jobflow.jobs._inputs import as_candidates
from crystalicl_jobflow.schemas import Evaluation

_ID_LENGTH = 24  # a candidate id of digits only is no place


@dataclass
class EvaluateMaker(Maker):
    """Compute rates with their denominators, and each candidate's results.

    Parameters
    ----------
    name
        Name of the job.
    processes
        Processes for the comparisons of crystals.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import EvaluateMaker
    >>> job = EvaluateMaker().make([])
    >>> job.output.rates["joint"]  # doctest: +ELLIPSIS
    OutputReference(..., .rates, ['joint'])
    >>> job.output.rate
    Traceback (most recent call last):
    ...
    AttributeError: Evaluation does not have attribute 'rate'.
    """

    name: str = "evaluate"
    processes: int = 1

    @job(output_schema=Evaluation, data=["results"])
    def make(self, candidates: Any, references: Any = None) -> Evaluation:
        """Evaluate the candidates.

        Parameters
        ----------
        candidates
            A candidate or a list of them.
        references
            The true crystals: a list with one (or None) per condition, in the order of the
            conditions, or a mapping by candidate id or by place of the condition. None for
            no comparison.

        Returns
        -------
        Evaluation
            Rates, reasons and figures; the rows of ``results`` lie in the store 'data'.
        """
        from crystalicl_jobflow.evaluation import evaluate

        return evaluate(
            as_candidates(candidates),
            references=_by_candidate(references),
            processes=self.processes,
        )


def _by_candidate(references: Any) -> dict[str | int, Structure] | None:
    """Return references by id or place; job documents have turned places into text."""
    if references is None:
        return None
    if isinstance(references, Mapping):
        pairs = [(name, item) for name, item in references.items() if not str(name).startswith("@")]
    else:
        pairs = list(enumerate(references))
    return {
        int(name) if str(name).isdigit() and len(str(name)) < _ID_LENGTH else name: item
        for name, item in pairs
        if item is not None
    }
