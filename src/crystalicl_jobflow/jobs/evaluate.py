"""The job that computes rates over candidates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobflow import Maker
from pymatgen.core import Structure

from crystalicl_jobflow.jobs._fields import check_fields
from crystalicl_jobflow.jobs._inputs import (
    as_candidates,
    as_crystals,
    as_relaxations,
    log_stages,
    without_secrets,
)
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.evaluation import EvaluateDoc
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.redaction import refuse_secrets

logger = logging.getLogger(__name__)

_ID_LENGTH = 24  # a candidate id of digits only is no place


@dataclass
class EvaluateMaker(Maker):
    """Compute rates with their denominators, and each candidate's results.

    What is computed beyond checks, success and matches is off, but for ``unique``; see
    :class:`crystalicl_jobflow.evaluation.EvaluationOptions`.

    Parameters
    ----------
    name
        Name of the job.
    unique
        Whether candidates are compared with each other.
    novelty
        Whether they are compared with the known crystals.
    coverage
        Data set whose cut-offs of coverage are taken, e.g. ``mp-20``.
    energies
        Energy model, e.g. ``chgnet``.
    relax
        Whether candidates are relaxed with it first.
    energies_cache
        File (``.sqlite``) or store where energies and relaxations are kept as they are found, so
        that a job that was killed goes on; None for none.
    hull
        Source of the convex hull, instead of the reference set; read where the job runs.
    reference_energies
        Whether all crystals of the reference set get energies, for their distribution.
    predict
        Property name to predictor, None for the default one.
    reward
        Whether CrysText-RL's reward is computed.
    cache
        Path or store where fingerprints are kept.
    processes
        Processes for comparisons and fingerprints.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import EvaluateMaker
    >>> job = EvaluateMaker().make([])
    >>> job.output.rates["joint"]  # doctest: +ELLIPSIS
    OutputReference(..., .rates, ['joint'])
    >>> job.output.rate
    Traceback (most recent call last):
    ...
    AttributeError: EvaluateDoc does not have attribute 'rate'.
    """

    name: str = "evaluate"
    unique: bool = True
    novelty: bool = False
    coverage: str | None = None
    energies: str | None = None
    relax: bool = False
    energies_cache: str | None = None
    hull: str | None = None
    reference_energies: bool = True
    predict: dict[str, str | None] = field(default_factory=dict)
    reward: bool = False
    cache: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        self.processes = whole_number(self.processes, "processes")
        for place in (self.hull, self.cache, self.energies_cache):
            refuse_secrets(place, "the store")

    @without_secrets("references", "reference_set", "known")
    @crystal_job(output_schema=EvaluateDoc, data=DATA)
    def make(
        self,
        candidates: Any,
        references: Any = None,
        reference_set: Any = None,
        known: Any = None,
        relaxations: Any = None,
    ) -> EvaluateDoc:
        """Evaluate the candidates.

        Parameters
        ----------
        candidates
            A candidate or a list of them.
        references
            The true crystals: a list with one (or None) per condition, in the order of the
            conditions, or a mapping by candidate id or by place of the condition. None for
            no comparison.
        reference_set
            Known crystals as a set, which coverage, distributions, polymorphs and the
            convex hull are against: structures or documents that hold one, or the name of
            a CSV or store that can be read where the job runs.
        known
            Crystals that novelty is against, likewise; the reference set by default.
        relaxations
            Relaxations of the candidates from another job, whose energies and crystals are
            taken then: a RelaxDoc or CandidateRelaxation documents; None among them for
            relaxations that failed.

        Returns
        -------
        EvaluateDoc
            Rates, reasons and figures; the rows of ``results``, and the crystals that passed
            every check (``structures``), lie in the store 'data'.
        """
        from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all

        judged = as_candidates(candidates)
        evaluation = evaluate_all(
            judged,
            EvaluationOptions(
                unique=self.unique,
                novelty=self.novelty,
                coverage=self.coverage,
                energies=self.energies,
                relax=self.relax,
                energies_cache=self.energies_cache,
                hull=self.hull,
                reference_energies=self.reference_energies,
                predict=self.predict,
                reward=self.reward,
                cache=self.cache,
                processes=self.processes,
            ),
            truths=_by_candidate(references),
            reference=as_crystals(reference_set),
            known=as_crystals(known),
            relaxations=as_relaxations(relaxations),
            progress=log_stages(logger),
        )
        return EvaluateDoc.from_evaluation(evaluation, judged)


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
