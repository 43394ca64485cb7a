"""Predicted properties of candidates, and with them the success of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crystalicl_jobflow.evaluation.energies.base import model_versions
from crystalicl_jobflow.evaluation.energies.predictors import (
    PREDICTORS,
    PropertyPredictor,
    load_predictor,
    predict_properties,
    predictor_versions,
)
from crystalicl_jobflow.evaluation.success import describe_misses, joint_success, judge
from crystalicl_jobflow.evaluation.summary import CrystalSummary
from crystalicl_jobflow.schemas import Candidate, Condition, FailureReason


def predictors_for(
    conditions: Sequence[Condition], *, names: dict[str, str] | None = None
) -> list[PropertyPredictor]:
    """Load a predictor of each property that is asked for and that one can predict.

    Parameters
    ----------
    conditions
        What is asked for.
    names
        Property → name of its predictor, where it is not to be the default one.

    Raises
    ------
    ValueError
        If a named predictor does not exist; one line.
    """
    asked = dict.fromkeys(name for item in conditions for name in item.properties)
    chosen = names or {}
    return [
        load_predictor(name, chosen.get(name))
        for name in asked
        if name in PREDICTORS or name in chosen
    ]


def judge_properties(
    candidates: Sequence[Candidate], predictors: Sequence[PropertyPredictor]
) -> list[Candidate]:
    """Give candidates predicted properties, and judge anew what was asked of them.

    Parameters
    ----------
    candidates
        Validated candidates; those without a crystal come back as they are.
    predictors
        One per property. Name and version of each go into ``provenance.versions`` as
        ``predictor:<property>``, with the versions of their packages.

    Returns
    -------
    list of Candidate
        New documents, in order. Checks and symmetry are not made again.
    """
    if not predictors:
        return list(candidates)
    structures = [item.structure if item.parsed else None for item in candidates]
    predicted = predict_properties(structures, predictors)
    versions = {**predictor_versions(predictors), **model_versions(predictors)}
    return [
        with_properties(item, values, versions)
        for item, values in zip(candidates, predicted, strict=True)
    ]


def with_properties(
    candidate: Candidate, values: Mapping[str, float], versions: Mapping[str, str]
) -> Candidate:
    """Give one candidate property values, and judge anew what was asked of it.

    Parameters
    ----------
    candidate
        A validated candidate; one without a crystal comes back as it is.
    values
        Property → value.
    versions
        What the values come from, for ``provenance.versions``.
    """
    summary = _summary(candidate)
    if summary is None:
        return candidate
    changed = candidate.model_copy(deep=True)
    changed.properties.update(values)
    changed.provenance.versions.update(versions)
    success = judge(changed.condition, summary, properties=changed.properties)
    changed.success = success
    changed.joint_success = joint_success(success)
    # what is unphysical stays the first reason; only a missed condition comes and goes
    if changed.failure_reason == FailureReason.CONDITION_NOT_MET:
        changed.failure_reason = changed.failure_message = None
    if changed.failure_reason is None and changed.joint_success is False:
        misses = describe_misses(changed.condition, summary, success, properties=changed.properties)
        changed.failure_reason = FailureReason.CONDITION_NOT_MET
        changed.failure_message = f"{misses[:1].upper()}{misses[1:]}."
    return changed


def _summary(candidate: Candidate) -> CrystalSummary | None:
    """Return the facts that the candidate's document already holds."""
    if candidate.structure is None or candidate.formula is None or not candidate.parsed:
        return None
    return CrystalSummary(
        formula=candidate.formula,
        anonymous_formula=candidate.anonymous_formula or "",
        chemsys=candidate.chemsys or "",
        elements=candidate.elements,
        num_sites=candidate.num_sites or len(candidate.structure),
        density=candidate.density,
        volume=candidate.structure.volume,
        space_group=candidate.space_group,
        space_group_symbol=candidate.space_group_symbol,
    )
