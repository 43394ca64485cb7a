"""Every metric that was asked for, over one set of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation import parts
from crystalicl_jobflow.evaluation.against import References
from crystalicl_jobflow.evaluation.parts import Part, StageProgress
from crystalicl_jobflow.evaluation.rates import evaluate
from crystalicl_jobflow.evaluation.validate import rejudge
from crystalicl_jobflow.schemas import Candidate, Evaluation

if TYPE_CHECKING:
    from crystalicl_jobflow.evaluation.energies import EnergyAssessment
    from crystalicl_jobflow.evaluation.energies.data_sets import CrystalData


@dataclass(frozen=True)
class EvaluationOptions:
    """What is computed beyond checks, success and matches. All that is long is off.

    Parameters
    ----------
    unique
        Whether candidates are compared with each other.
    reward
        Whether CrysText-RL's reward is computed.
    coverage
        Data set whose cut-offs of coverage are taken (``mp-20``, ``perov-5``,
        ``carbon-24``); None for no coverage.
    novelty
        Whether candidates are compared with the known crystals.
    energies
        Energy model by name, see
        :func:`~crystalicl_jobflow.evaluation.energies.load_energy_model`; None for none.
    relax
        Whether candidates are relaxed with it first.
    reference_energies
        Whether the reference crystals get energies of the same model, too: for the
        convex hull and for the distribution of formation energies.
    hull
        A hull that :meth:`~crystalicl_jobflow.evaluation.energies.ConvexHull.save` wrote,
        instead of one from the reference crystals.
    predict
        Property name → predictor (None for the default one), see
        :func:`~crystalicl_jobflow.evaluation.energies.load_predictor`.
    cache
        Where fingerprints are kept, see
        :func:`~crystalicl_jobflow.evaluation.crystal_fingerprints`.
    processes
        Processes to share the work.
    """

    unique: bool = True
    reward: bool = False
    coverage: str | None = None
    novelty: bool = False
    energies: str | None = None
    relax: bool = False
    reference_energies: bool = True
    hull: str | Path | None = None
    predict: Mapping[str, str | None] = field(default_factory=dict)
    cache: Any = None
    processes: int = 1

    def check(self, *, reference: bool, known: bool) -> None:
        """Refuse what cannot be computed.

        Raises
        ------
        ValueError
            If a metric needs known crystals and there are none, or is not known; one line.
        """
        from crystalicl_jobflow.evaluation.coverage import coverage_cutoffs

        if self.coverage is not None:
            coverage_cutoffs(self.coverage.replace("-", "_"))
            if not reference:
                raise ValueError("coverage needs a reference set")
        if self.novelty and not known:
            raise ValueError("novelty needs known crystals, or a reference set")
        if self.relax and self.energies is None:
            raise ValueError("a relaxation needs an energy model, for example chgnet")
        if self.hull is not None and self.energies is None:
            raise ValueError("a hull needs an energy model, for example chgnet")


def evaluate_all(
    candidates: Sequence[Candidate],
    options: EvaluationOptions | None = None,
    *,
    truths: References | None = None,
    reference: CrystalData | None = None,
    known: CrystalData | None = None,
    progress: StageProgress | None = None,
) -> Evaluation:
    """Compute every metric that was asked for.

    Parameters
    ----------
    candidates
        Validated candidates.
    options
        What is computed.
    truths
        True crystals of the candidates' conditions, see
        :data:`~crystalicl_jobflow.evaluation.against.References`.
    reference
        Reference set: coverage, distributions, polymorphs and the convex hull are against
        it.
    known
        Known crystals that novelty is against, the training set as a rule; the reference
        set by default.
    progress
        Called with (what, done, of).

    Returns
    -------
    Evaluation
        Rates, each with count and denominator; figures; one row per candidate. A candidate
        that fails anywhere stays in every denominator that it belongs to.

    Raises
    ------
    ValueError
        If something asked for needs what is not there; one line.
    ImportError
        If it needs a package that is missing, with what to install.
    """
    options = options or EvaluationOptions()
    known = known if known is not None else reference
    options.check(reference=reference is not None, known=known is not None)
    report = progress or _silent
    added: list[Part] = []
    judged, structures, energies = _with_properties(candidates, options, reference, added, report)
    evaluation = evaluate(
        judged,
        references=truths,
        unique=False,
        processes=options.processes,
        progress=lambda done, of: report("Matching", done, of),
    )
    added.append(parts.text_part(judged, progress=report))
    if options.unique or options.novelty or energies.hull is not None:
        part = parts.discovery_part(
            judged,
            structures,
            known=known if options.novelty else None,
            e_above_hull=energies.hull,
            processes=options.processes,
            progress=report,
        )
        added.append(part)
    if options.reward:
        added.append(parts.reward_part(judged, truths, progress=report))
    if reference is not None:
        added.append(parts.polymorph_part(judged, reference, processes=options.processes))
        part = parts.distribution_part(
            judged,
            reference,
            formation_energies=energies.formation,
            reference_energies=energies.reference,
        )
        added.append(part)
        if options.coverage is not None:
            part = parts.coverage_part(
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
    return evaluation


@dataclass(frozen=True)
class _Energies:
    """Energies by candidate, eV/atom: None throughout where none were asked for."""

    formation: list[float | None] | None = None
    hull: list[float | None] | None = None
    reference: list[float | None] | None = None


def _with_properties(
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    reference: CrystalData | None,
    added: list[Part],
    report: StageProgress,
) -> tuple[list[Candidate], list[Structure | None], _Energies]:
    """Compute energies and properties, and judge the candidates with them.

    Returns
    -------
    tuple
        The candidates; the crystals that discovery is about, relaxed ones where there are;
        the energies.
    """
    crystals = [candidate.structure for candidate in candidates]
    values: list[dict[str, float]] = [{} for _ in candidates]
    if options.predict:
        from crystalicl_jobflow.evaluation.energies import (
            load_predictor,
            predict_properties,
            predictor_versions,
        )

        predictors = [load_predictor(name, model) for name, model in options.predict.items()]
        report("Properties", 0, len(candidates))
        values = predict_properties(crystals, predictors)
        report("Properties", len(candidates), len(candidates))
        part = Part(tolerances=dict(predictor_versions(predictors)))
        part.columns = {at: dict(found) for at, found in enumerate(values)}
        if "formation_energy_per_atom" in options.predict:
            part.rates["negative_formation_energy"] = parts.negative_energies(
                [found.get("formation_energy_per_atom") for found in values]
            )
        added.append(part)
    energies = _Energies()
    if options.energies is not None:
        part, assessed, energies = _assess(candidates, options, reference, report)
        added.append(part)
        for at, item in enumerate(assessed):
            found = {
                "formation_energy_per_atom": item.formation_energy_per_atom,
                "e_above_hull": item.e_above_hull,
            }
            values[at].update({k: v for k, v in found.items() if v is not None})
        crystals = [
            own if item.structure is None else item.structure
            for own, item in zip(crystals, assessed, strict=True)
        ]
    judged = [
        rejudge(candidate, properties=found) if found else candidate
        for candidate, found in zip(candidates, values, strict=True)
    ]
    return judged, crystals, energies


def _assess(
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    reference: CrystalData | None,
    report: StageProgress,
) -> tuple[Part, list[EnergyAssessment], _Energies]:
    """Give candidates and, for hull and distribution, the reference crystals energies."""
    from crystalicl_jobflow.evaluation.energies import (
        ConvexHull,
        HullEntry,
        assess_energies,
        load_energy_model,
        load_references,
    )

    assert options.energies is not None
    model = load_energy_model(options.energies)
    elements = load_references(model)
    hull = None if options.hull is None else ConvexHull.load(options.hull)
    of_reference: list[float | None] | None = None
    if reference is not None and options.reference_energies:
        states = assess_energies(
            reference.structures,
            model=model,
            references=elements,
            progress=lambda done, of: report("Reference energies", done, of),
        )
        of_reference = [item.formation_energy_per_atom for item in states]
        if hull is None:
            entries = [
                HullEntry(name, structure.composition.element_composition, energy)
                for name, structure, energy in zip(
                    reference.ids, reference.structures, of_reference, strict=True
                )
                if energy is not None
            ]
            hull = ConvexHull(entries, scale=elements.label)
    assessed = assess_energies(
        [candidate.structure for candidate in candidates],
        model=model,
        references=elements,
        hull=hull,
        relax=options.relax,
        progress=lambda done, of: report("Energies", done, of),
    )
    part = parts.energy_part(candidates, assessed)
    part.tolerances["energies"] = f"{elements.label}{', relaxed' if options.relax else ''}"
    if hull is not None:
        part.tolerances["hull"] = f"{len(hull)} entries, {hull.scale}"
        # where nothing competes, whatever has a negative formation energy is "stable"
        part.metrics["without_competitors"] = float(
            sum(
                item.e_above_hull is not None and not hull.within(candidate.elements)
                for candidate, item in zip(candidates, assessed, strict=True)
            )
        )
    energies = _Energies(
        formation=[item.formation_energy_per_atom for item in assessed],
        hull=None
        if hull is None
        # an unconverged relaxation has energies, but they do not count
        else [item.e_above_hull if item.counts else None for item in assessed],
        reference=of_reference,
    )
    return part, assessed, energies


def _add(evaluation: Evaluation, part: Part) -> None:
    evaluation.rates.update(part.rates)
    evaluation.metrics.update(part.metrics)
    evaluation.tolerances.update(part.tolerances)
    for at, cells in part.columns.items():
        evaluation.results[at].update(cells)


def _silent(_what: str, _done: int, _of: int | None) -> None:
    """Report nothing."""
