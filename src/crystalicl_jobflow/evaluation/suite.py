"""All metrics of the options, over one set of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystalicl_jobflow.comparison.matching import MatchResult
from crystalicl_jobflow.evaluation import metrics, text_parts
from crystalicl_jobflow.evaluation.counting import check_rules, counting_part
from crystalicl_jobflow.evaluation.energy_stage import properties_stage
from crystalicl_jobflow.evaluation.match_rates import References, aligned
from crystalicl_jobflow.evaluation.metrics import Part
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.evaluation.rates import evaluate
from crystalicl_jobflow.schemas import Candidate, Evaluation
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation


def evaluate_all(
    candidates: Sequence[Candidate],
    options: EvaluationOptions | None = None,
    *,
    truths: References | None = None,
    matches: Sequence[MatchResult | None] | None = None,
    reference: CrystalData | None = None,
    known: CrystalData | None = None,
    relaxations: Sequence[CandidateRelaxation] | None = None,
    progress: StageProgress | None = None,
) -> Evaluation:
    """Compute all metrics of the options.

    Parameters
    ----------
    candidates, options, truths, matches, reference, known, relaxations, progress
        See :func:`evaluate_and_judge`.
    """
    evaluation, _ = evaluate_and_judge(
        candidates,
        options,
        truths=truths,
        matches=matches,
        reference=reference,
        known=known,
        relaxations=relaxations,
        progress=progress,
    )
    return evaluation


def evaluate_and_judge(
    candidates: Sequence[Candidate],
    options: EvaluationOptions | None = None,
    *,
    truths: References | None = None,
    matches: Sequence[MatchResult | None] | None = None,
    reference: CrystalData | None = None,
    known: CrystalData | None = None,
    relaxations: Sequence[CandidateRelaxation] | None = None,
    progress: StageProgress | None = None,
) -> tuple[Evaluation, list[Candidate]]:
    """Compute all metrics of the options, and judge the candidates with it.

    Parameters
    ----------
    candidates
        Validated candidates.
    options
        What is computed.
    truths
        True crystals of the candidates' conditions, see
        :data:`~crystalicl_jobflow.evaluation.match_rates.References`.
    matches
        Comparisons with the true crystals where they were made before, one per candidate.
    reference
        Reference set: coverage, distributions, polymorphs and the convex hull are against
        it.
    known
        Known crystals that novelty is against, the training set as a rule; the reference
        set by default.
    relaxations
        What relaxations made elsewhere have given, failed ones included: energies and
        relaxed crystals are theirs then. A candidate without one counts as not relaxed.
    progress
        Called with (what, done, of).

    Returns
    -------
    evaluation, candidates
        Rates, each with count and denominator, figures, and one row per candidate: one that
        fails anywhere stays in every denominator that it belongs to. The candidates, with
        the properties that were computed and what was asked judged by them.

    Raises
    ------
    ValueError
        If a metric lacks what it needs; one line.
    ImportError
        If it needs a package that is missing, with what to install.
    """
    options = options or EvaluationOptions()
    known = known if known is not None else reference
    options.check(reference=reference is not None, known=known is not None)
    check_rules(options.also, truths=truths is not None, reference=reference is not None)
    report = progress or _silent
    added: list[Part] = []
    judged, structures, energies = properties_stage(
        candidates,
        options,
        reference=reference,
        known=known,
        relaxations=relaxations,
        added=added,
        progress=report,
    )
    evaluation = evaluate(
        judged,
        references=truths,
        matches=matches,
        unique=False,
        metre=reference is None,  # the reference set has its own part below
        processes=options.processes,
        progress=lambda done, of: report("Matching", done, of),
    )
    added.append(text_parts.text_part(judged, processes=options.processes, progress=report))
    if options.unique or options.novelty or energies.hull is not None:
        part = metrics.discovery_part(
            judged,
            structures,
            known=known if options.novelty else None,
            energy_above_hull=energies.hull,
            processes=options.processes,
            progress=report,
        )
        added.append(part)
    if options.reward:
        added.append(
            text_parts.reward_part(judged, truths, processes=options.processes, progress=report)
        )
    if reference is not None:
        added.append(metrics.polymorph_part(judged, reference, processes=options.processes))
        part = metrics.distribution_part(
            judged,
            reference,
            formation_energies=energies.formation,
            reference_energies=energies.reference,
        )
        added.append(part)
        if options.coverage is not None:
            part = metrics.coverage_part(
                judged,
                reference,
                dataset=options.coverage,
                cache=options.cache,
                processes=options.processes,
                progress=report,
            )
            added.append(part)
    for part in added:
        _add(evaluation, part)
    if options.also:
        part = counting_part(
            judged,
            options.also,
            evaluation.results,
            truths=None if truths is None else aligned(judged, truths),
            reference=None if reference is None else reference.structures,
            processes=options.processes,
        )
        _add(evaluation, part)
    return evaluation, judged


def _add(evaluation: Evaluation, part: Part) -> None:
    evaluation.rates.update(part.rates)
    evaluation.metrics.update(part.metrics)
    evaluation.tolerances.update(part.tolerances)
    evaluation.versions.update(part.versions)
    for at, cells in part.columns.items():
        evaluation.results[at].update(cells)


def _silent(_what: str, _done: int, _of: int | None) -> None:
    """Report nothing."""
