"""The job that chooses which candidates get a more expensive step."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jobflow import JobConfig, Maker, OnMissing

from crystalicl_jobflow.jobs._fields import check_fields
from crystalicl_jobflow.jobs._inputs import (
    as_candidates,
    as_crystals,
    as_pattern,
    as_relaxations,
    log_progress,
    without_secrets,
)
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.schemas import Evaluation
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.discovery import DiscoveryDoc, SelectDoc
from crystalicl_jobflow.utils.numbers import whole_number

if TYPE_CHECKING:
    from crystalicl_jobflow.selection import SelectionRules

logger = logging.getLogger(__name__)


@dataclass
class SelectMaker(Maker):
    """Choose the candidates for the next step: valid, unique and novel ones, the best first.

    Parameters
    ----------
    name
        Name of the job.
    number
        How many are chosen, at most; None for all that can be, 0 for none.
    ranking
        What decides who is first: one name or several, see
        :data:`crystalicl_jobflow.selection.ranking.RANKINGS`. By default what meets the
        condition, then what was drawn most often, then the most probable text; and where
        relaxations are given, the energy above the hull.
    energy
        Potential whose energies count in the ranking ``evidence``, e.g. 'chgnet'; None for none.
    energy_relaxed, energy_seconds
        What is relaxed before ('nothing', 'volume', 'all'), and the time for one condition in s.
    xrd, wavelength
        Measured powder pattern that the candidates are compared with before they are ranked, see
        :class:`~crystalicl_jobflow.jobs.ValidateMaker`; None: they keep what they have.
    valid, successful, unique, novel, max_energy_above_hull, per_condition
        See :class:`crystalicl_jobflow.selection.SelectionRules`.
    processes
        Processes for the comparisons.

    Raises
    ------
    ValueError
        If a ranking is not known or a number negative; one line.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import SelectMaker
    >>> job = SelectMaker(number=10, ranking=["success", "-log_prob"]).make([])
    >>> job.output.structures  # doctest: +ELLIPSIS
    OutputReference(..., .structures)
    """

    name: str = "select"
    number: int | None = None
    ranking: str | list[str] | None = None
    energy: str | None = None
    energy_relaxed: Literal["nothing", "volume", "all"] = "volume"
    energy_seconds: float | None = None
    valid: bool = True
    successful: bool = False
    unique: bool = True
    novel: bool | None = None
    max_energy_above_hull: float | None = None
    per_condition: int | None = None
    processes: int = 1
    xrd: Any = None
    wavelength: str | float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.processes = whole_number(self.processes, "processes")
        if self.ranking is not None and not isinstance(self.ranking, str):
            self.ranking = list(self.ranking)
        self.xrd = as_pattern(self.xrd, self.wavelength)  # the worker has no such file
        self.rules()  # a wrong option is refused before the job is sent

    def rules(self) -> SelectionRules:
        """Return the options as rules of a selection."""
        from crystalicl_jobflow.selection import SelectionRules

        return SelectionRules(
            number=self.number,
            ranking=self.ranking,
            valid=self.valid,
            successful=self.successful,
            unique=self.unique,
            novel=self.novel,
            max_energy_above_hull=self.max_energy_above_hull,
            per_condition=self.per_condition,
        )

    @without_secrets("known")
    @crystal_job(
        output_schema=SelectDoc,
        data=DATA,
        config=JobConfig(on_missing_references=OnMissing.NONE),
    )
    def make(self, candidates: Any, known: Any = None, relaxations: Any = None) -> SelectDoc:
        """Choose.

        Parameters
        ----------
        candidates
            A candidate or a list of them; None where the job that makes them failed.
        known
            Known crystals that novelty is against: structures or documents that hold one,
            or the name of a CSV or store that can be read where the job runs.
        relaxations
            Relaxations of the candidates, when those that were relaxed are chosen from; None
            among them for those that failed.

        Returns
        -------
        SelectDoc
            The chosen crystals, and what was decided about every candidate and why.
        """
        from crystalicl_jobflow.selection.select import has_pattern, select_candidates

        rules = self.rules()
        given = [] if candidates is None else as_candidates(candidates)
        if self.energy is not None:
            from crystalicl_jobflow.selection.evidence_energies import (
                EvidenceEnergies,
                add_energies,
            )

            options = EvidenceEnergies(
                self.energy, relaxed=self.energy_relaxed, seconds=self.energy_seconds
            )
            given = add_energies(
                given, options, progress=log_progress(logger, f"{self.name}: energies")
            )
        if self.xrd is not None:
            from crystalicl_jobflow.selection.pattern_fits import add_pattern_fits

            given = add_pattern_fits(given, self.xrd, processes=self.processes)
        relaxed = as_relaxations(relaxations)
        rows, chosen = select_candidates(
            given,
            rules,
            known=as_crystals(known),
            relaxations=relaxed,
            processes=self.processes,
            progress=log_progress(logger, f"{self.name}: known crystals"),
        )
        ranking = list(rules.rankings(relaxed=relaxed is not None, pattern=has_pattern(given)))
        return SelectDoc.from_rows(rows, chosen, ranking=ranking)


@crystal_job(
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
    from crystalicl_jobflow.selection.summary import summarize

    return summarize(
        [] if candidates is None else as_candidates(candidates),
        [SelectDoc.model_validate(item) for item in selections if item is not None],
        as_relaxations(relaxations) or [],
        rates={} if evaluation is None else Evaluation.model_validate(evaluation).rates,
    )
