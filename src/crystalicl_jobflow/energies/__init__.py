"""Energies of crystals: named potentials, formation energies, convex hulls, predictors.

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

from crystalicl_jobflow.energies.answers import Answer, answers_of
from crystalicl_jobflow.energies.assess import EnergyAssessment, assess_energies
from crystalicl_jobflow.energies.calculation_kinds import CalculationKind, calculation_kind
from crystalicl_jobflow.energies.corrections import (
    CorrectedPredictor,
    Correction,
    fit_correction,
)
from crystalicl_jobflow.energies.energy_model import (
    Energy,
    EnergyFailure,
    EnergyModel,
    Relaxation,
    model_versions,
)
from crystalicl_jobflow.energies.hull import ConvexHull, HullEntry, reference_hull
from crystalicl_jobflow.energies.judging import judge_properties, predictors_for
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.energies.prediction_errors import PredictionErrors, prediction_errors
from crystalicl_jobflow.energies.predictors import (
    PREDICTORS,
    Boosting,
    PropertyPredictor,
    fit_trees,
    load_predictor,
    predict_properties,
    predictor_versions,
    property_answers,
)
from crystalicl_jobflow.energies.references import (
    ElementalReferences,
    fit_references,
    load_references,
    own_references,
    pbe_references,
)
from crystalicl_jobflow.energies.relaxation_outputs import (
    read_relaxation,
    read_relaxation_chain,
    same_cell,
)
from crystalicl_jobflow.energies.relaxations import (
    best_relaxations,
    hull_energies,
    judge_relaxation,
)

__all__ = [
    "PREDICTORS",
    "Answer",
    "Boosting",
    "CalculationKind",
    "ConvexHull",
    "CorrectedPredictor",
    "Correction",
    "ElementalReferences",
    "Energy",
    "EnergyAssessment",
    "EnergyFailure",
    "EnergyModel",
    "HullEntry",
    "PredictionErrors",
    "PropertyPredictor",
    "Relaxation",
    "answers_of",
    "assess_energies",
    "best_relaxations",
    "calculation_kind",
    "fit_correction",
    "fit_references",
    "fit_trees",
    "hull_energies",
    "judge_properties",
    "judge_relaxation",
    "load_energy_model",
    "load_predictor",
    "load_references",
    "model_versions",
    "own_references",
    "pbe_references",
    "predict_properties",
    "prediction_errors",
    "predictor_versions",
    "predictors_for",
    "property_answers",
    "read_relaxation",
    "read_relaxation_chain",
    "reference_hull",
    "same_cell",
]
