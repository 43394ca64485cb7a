"""Predicted properties of candidates, and whether they meet the conditions."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.energies.energy_model import model_versions
from crystalicl_jobflow.energies.predictors import (
    PREDICTORS,
    PropertyPredictor,
    load_predictor,
    predict_properties,
    predictor_versions,
)
from crystalicl_jobflow.schemas import Candidate, Condition
from crystalicl_jobflow.validation.success import (
    with_properties,
)


def predictors_for(
    conditions: Sequence[Condition], *, names: dict[str, str] | None = None
) -> list[PropertyPredictor]:
    """Load a predictor of each property of the conditions, where there is one.

    Parameters
    ----------
    conditions
        The conditions.
    names
        Property → name of its predictor, where it is not to be the default one.

    Raises
    ------
    ValueError
        If a named predictor does not exist; one line.
    """
    properties = dict.fromkeys(name for item in conditions for name in item.properties)
    chosen = names or {}
    return [
        load_predictor(name, chosen.get(name))
        for name in properties
        if name in PREDICTORS or name in chosen
    ]


def judge_properties(
    candidates: Sequence[Candidate], predictors: Sequence[PropertyPredictor]
) -> list[Candidate]:
    """Give candidates predicted properties, and judge their conditions anew.

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
    unknown = dict.fromkeys((item.property_name for item in predictors), None)
    return [
        with_properties(item, {**unknown, **values}, versions)
        for item, values in zip(candidates, predicted, strict=True)
    ]
