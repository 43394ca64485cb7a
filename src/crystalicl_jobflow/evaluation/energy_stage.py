"""The part of an evaluation that asks models: energies, hull, predicted properties."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation import metrics
from crystalicl_jobflow.evaluation.metrics import Part
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.energies import (
        ConvexHull,
        ElementalReferences,
        EnergyAssessment,
        EnergyFailure,
        EnergyModel,
    )
    from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation

NOT_RELAXED = "not relaxed"
"""Why a candidate that no relaxation was tried of has no energy above the hull."""

FAILED_ALONE = "its relaxation failed, and no other crystal of its elements was judged"
"""The same of a failed relaxation, where it is not known whether anything competes."""


@dataclass(frozen=True)
class SetEnergies:
    """Energies in eV/atom, None throughout where none were computed.

    Parameters
    ----------
    formation
        Formation energy of each candidate.
    hull
        Energy above the hull of each candidate; infinite for one whose energy failed, which
        is not stable; None where nothing could be judged: no crystal, no relaxation, no
        competing phase.
    reference
        Formation energy of each reference crystal, by the same model.
    """

    formation: list[float | None] | None = None
    hull: list[float | None] | None = None
    reference: list[float | None] | None = None


def properties_stage(
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    *,
    reference: CrystalData | None,
    known: CrystalData | None,
    relaxations: Sequence[CandidateRelaxation] | None,
    added: list[Part],
    progress: StageProgress,
) -> tuple[list[Candidate], list[Structure | None], SetEnergies]:
    """Compute the energies and properties of the options, and judge the candidates with them.

    Parameters
    ----------
    candidates
        Validated candidates.
    options
        What to compute.
    reference
        Reference set.
    known
        Known crystals, which say whether a failed relaxation made elsewhere had competitors.
    relaxations
        Relaxations made elsewhere; energies are theirs where they are given.
    added
        Parts are put here.
    progress
        Called with (what, done, of).

    Returns
    -------
    tuple
        The candidates, new documents where they got values; the crystals that discovery is
        about, relaxed ones where there are; the energies.

    Raises
    ------
    ValueError
        If energies are asked of a model where relaxations are given.
    """
    if relaxations is not None and options.energies is not None:
        raise ValueError("energies come from relaxations or from a model, not from both")
    crystals = [candidate.structure for candidate in candidates]
    # None: asked for, and there is none, so that no other model's value stands for it
    values: list[dict[str, float | None]] = [{} for _ in candidates]
    versions: dict[str, str] = {}
    if options.predict:
        part, predicted = _predict(crystals, options, progress)
        values = [{name: found.get(name) for name in options.predict} for found in predicted]
        named = {k: str(v) for k, v in part.tolerances.items() if k.startswith("predictor:")}
        versions.update(named)
        versions.update(part.versions)
        added.append(part)
    energies = SetEnergies()
    if relaxations is not None or options.energies is not None:
        if relaxations is not None:
            part, assessed, energies = _made_elsewhere(candidates, relaxations, known)
        else:
            part, assessed, energies = _assess(candidates, options, reference, progress)
        versions["energies"] = str(part.tolerances["energies"])
        versions.update(part.versions)
        added.append(part)
        for at, item in enumerate(assessed):
            found = {"formation_energy_per_atom": item.formation_energy_per_atom}
            if energies.hull is not None:
                # an unconverged relaxation has one, but it decides nothing
                found["energy_above_hull"] = item.energy_above_hull if item.counts else None
            values[at] = {**found, **{k: v for k, v in values[at].items() if found.get(k) is None}}
        crystals = [
            own if item.structure is None else item.structure
            for own, item in zip(crystals, assessed, strict=True)
        ]
    if not versions:
        return list(candidates), crystals, energies
    from crystalicl_jobflow.validation.success import with_properties

    judged = [
        with_properties(candidate, found, versions)
        for candidate, found in zip(candidates, values, strict=True)
    ]
    return judged, crystals, energies


def _predict(
    crystals: Sequence[Structure | None], options: EvaluationOptions, progress: StageProgress
) -> tuple[Part, list[dict[str, float]]]:
    from crystalicl_jobflow.energies import (
        load_predictor,
        model_versions,
        predictor_versions,
        property_answers,
    )

    predictors = [load_predictor(name, model) for name, model in options.predict.items()]
    progress("Properties", 0, len(crystals))
    answers = property_answers(crystals, predictors)
    values = [
        {name: answer.value for name, answer in found.items() if answer.value is not None}
        for found in answers
    ]
    progress("Properties", len(crystals), len(crystals))
    part = Part(
        tolerances=dict(predictor_versions(predictors)), versions=model_versions(predictors)
    )
    part.columns = {at: dict(found) for at, found in enumerate(values)}
    for name in options.predict:
        # a text that was no crystal has its reason already
        reasons = Counter(
            found[name].reason
            for found, crystal in zip(answers, crystals, strict=True)
            if crystal is not None and found[name].value is None
        )
        if reasons:
            part.tolerances[f"not_predicted:{name}"] = "; ".join(
                f"{count}: {reason}" for reason, count in sorted(reasons.items())
            )
    if "formation_energy_per_atom" in options.predict:
        part.rates["negative_formation_energy"] = metrics.negative_energies(
            [found.get("formation_energy_per_atom") for found in values]
        )
    return part, values


def _made_elsewhere(
    candidates: Sequence[Candidate],
    relaxations: Sequence[CandidateRelaxation],
    known: CrystalData | None,
) -> tuple[Part, list[EnergyAssessment], SetEnergies]:
    """Read energies from relaxations; of several of one candidate the best one counts."""
    from crystalicl_jobflow.energies import EnergyAssessment, EnergyFailure
    from crystalicl_jobflow.energies.relaxations import best_relaxations

    best = best_relaxations(relaxations)
    assessed = []
    for candidate in candidates:
        item = best.get(candidate.candidate_id)
        if item is None:
            assessed.append(
                EnergyAssessment(
                    structure=None,
                    energy_per_atom=None,
                    formation_energy_per_atom=None,
                    energy_above_hull=None,
                    relaxed=True,
                    converged=None,
                    failure=EnergyFailure.MODEL_FAILED,
                    message="There is no relaxation of it.",
                    no_hull_reason=None if candidate.structure is None else NOT_RELAXED,
                )
            )
            continue
        failed = item.failure_reason is not None or item.converged is False
        assessed.append(
            EnergyAssessment(
                structure=item.structure,
                energy_per_atom=item.energy_per_atom,
                formation_energy_per_atom=item.formation_energy_per_atom,
                energy_above_hull=item.energy_above_hull,
                relaxed=True,
                converged=not failed,
                steps=item.steps or 0,
                failure=_failure(item.failure_reason) if failed else None,
                message=item.failure_message,
                no_hull_reason=item.no_hull_reason,
            )
        )
    assessed = _failed_without_competitors(candidates, assessed, known)
    part = metrics.energy_part(candidates, assessed)
    methods = sorted({item.method for item in best.values() if item.method})
    relaxed = "relaxed" if any(item.converged for item in assessed) else "none relaxed"
    part.tolerances["energies"] = f"{', '.join(methods) or 'relaxations given'}, {relaxed}"
    energies = SetEnergies(
        formation=[item.formation_energy_per_atom for item in assessed],
        hull=_verdicts(candidates, assessed, part),
    )
    return part, assessed, energies


def _failed_without_competitors(
    candidates: Sequence[Candidate],
    assessed: Sequence[EnergyAssessment],
    known: CrystalData | None,
) -> list[EnergyAssessment]:
    """Say of failed relaxations that left nothing whether they could have been judged.

    A crystal of their elements that was judged shows that there are competing phases, and so
    do the known crystals.
    """
    from crystalicl_jobflow.energies.hull import NO_KNOWN_CRYSTALS, why_no_verdict

    systems = set() if known is None else {_symbols(item) for item in known.structures}
    judged = {
        frozenset(candidate.elements)
        for candidate, item in zip(candidates, assessed, strict=True)
        if item.energy_above_hull is not None
    }
    found = []
    for candidate, item in zip(candidates, assessed, strict=True):
        elements = frozenset(candidate.elements)
        if (
            item.energy_above_hull is None
            and item.no_hull_reason is None
            and candidate.structure is not None
            and elements not in judged
        ):
            reason: str | None = FAILED_ALONE if judged else NO_KNOWN_CRYSTALS
            if known is not None:
                reason = why_no_verdict(elements, systems)
            item = replace(item, no_hull_reason=reason)
        found.append(item)
    return found


def _verdicts(
    candidates: Sequence[Candidate], assessed: Sequence[EnergyAssessment], part: Part
) -> list[float | None]:
    """Return the energies above the hull that decide, and count what could not be judged."""
    found: list[float | None] = []
    reasons: Counter[str] = Counter()
    for candidate, item in zip(candidates, assessed, strict=True):
        if candidate.structure is None:
            found.append(None)
        elif item.no_hull_reason is not None:
            found.append(None)
            if item.no_hull_reason != NOT_RELAXED:
                reasons[item.no_hull_reason] += 1
        else:
            found.append(item.energy_above_hull if item.counts else math.inf)
    part.metrics["judged_by_hull"] = float(sum(item is not None for item in found))
    if reasons:
        part.metrics["without_competitors"] = float(reasons.total())
        part.tolerances["not_judged_by_hull"] = "; ".join(
            f"{count}: {reason}" for reason, count in sorted(reasons.items())
        )
    return found


def _failure(code: str | None) -> EnergyFailure:
    from crystalicl_jobflow.energies import EnergyFailure

    if code == "failed":
        return EnergyFailure.MODEL_FAILED
    try:
        return EnergyFailure(str(code))
    except ValueError:  # another program's reason
        return EnergyFailure.NOT_CONVERGED


def _assess(
    candidates: Sequence[Candidate],
    options: EvaluationOptions,
    reference: CrystalData | None,
    progress: StageProgress,
) -> tuple[Part, list[EnergyAssessment], SetEnergies]:
    """Give candidates their energies, against the hull where there is one."""
    from crystalicl_jobflow.energies import (
        assess_energies,
        load_energy_model,
        load_references,
        model_versions,
    )
    from crystalicl_jobflow.energies.kept import KeptEnergies

    assert options.energies is not None
    model = load_energy_model(options.energies)
    if options.energies_cache is not None:
        model = KeptEnergies(model, options.energies_cache)
    elements = load_references(model)
    systems = list({frozenset(c.elements) for c in candidates if c.structure is not None})
    hull, of_reference = _hull(options, reference, systems, model, elements, progress)
    assessed = assess_energies(
        [candidate.structure for candidate in candidates],
        model=model,
        references=elements,
        hull=hull,
        relax=options.relax,
        progress=lambda done, of: progress("Energies", done, of),
    )
    part = metrics.energy_part(candidates, assessed)
    part.tolerances["energies"] = f"{elements.label}, {'' if options.relax else 'not '}relaxed"
    part.versions = model_versions([model])
    if hull is not None:
        part.tolerances["hull"] = f"{len(hull)} entries, {hull.scale}"
    energies = SetEnergies(
        formation=[item.formation_energy_per_atom for item in assessed],
        hull=None if hull is None else _verdicts(candidates, assessed, part),
        reference=of_reference,
    )
    return part, assessed, energies


def _hull(
    options: EvaluationOptions,
    reference: CrystalData | None,
    systems: list[frozenset[str]],
    model: EnergyModel,
    elements: ElementalReferences,
    progress: StageProgress,
) -> tuple[ConvexHull | None, list[float | None] | None]:
    """Return the hull, and the formation energies of the reference set where they are wanted."""
    from crystalicl_jobflow.energies import ConvexHull, HullEntry, assess_energies
    from crystalicl_jobflow.energies.hull import reference_hull

    hull: ConvexHull | None = None
    if options.hull is not None:
        hull = reference_hull(
            options.hull,
            model=model,
            references=elements,
            chemical_systems=systems,
            progress=lambda done, of: progress("Energies of the hull", done, of),
        )
    if reference is None or not (options.reference_energies or hull is None):
        return hull, None
    wanted = [
        place
        for place, structure in enumerate(reference.structures)
        if options.reference_energies or any(_symbols(structure) <= system for system in systems)
    ]
    assessed = assess_energies(
        [reference.structures[place] for place in wanted],
        model=model,
        references=elements,
        progress=lambda done, of: progress("Reference energies", done, of),
    )
    found = [item.formation_energy_per_atom for item in assessed]
    if hull is None:
        entries = [
            HullEntry(
                reference.ids[place],
                reference.structures[place].composition.element_composition,
                energy,
            )
            for place, energy in zip(wanted, found, strict=True)
            if energy is not None
        ]
        hull = ConvexHull(entries, scale=elements.label)
    return hull, found if options.reference_energies else None


def _symbols(structure: Structure) -> frozenset[str]:
    return frozenset(el.symbol for el in structure.composition.element_composition.elements)
