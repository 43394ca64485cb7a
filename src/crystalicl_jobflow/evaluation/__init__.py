"""Checks of generated crystals, success, matching, and rates with denominators."""

from __future__ import annotations

from crystalicl_jobflow.evaluation import thresholds
from crystalicl_jobflow.evaluation.bond_lengths import BondLengths, bond_lengths
from crystalicl_jobflow.evaluation.cif_validity import CifValidity, cif_validity
from crystalicl_jobflow.evaluation.composition import composition_valid
from crystalicl_jobflow.evaluation.coverage import (
    Coverage,
    StandardScaler,
    compare_coverage,
    coverage_cutoffs,
)
from crystalicl_jobflow.evaluation.discovery import (
    DISCOVERY_MEANINGS,
    Discovery,
    discover,
    is_metastable,
    is_stable,
    match_reference,
    unique_crystals,
)
from crystalicl_jobflow.evaluation.distances import DistanceReport, distance_report, min_distance
from crystalicl_jobflow.evaluation.distributions import (
    DISTRIBUTIONS,
    DistributionDistance,
    property_distributions,
    wasserstein,
)
from crystalicl_jobflow.evaluation.energies import (
    ConvexHull,
    EnergyModel,
    PropertyPredictor,
    assess_energies,
    load_energy_model,
    load_predictor,
    reference_hull,
)
from crystalicl_jobflow.evaluation.fingerprints import (
    CrystalFingerprints,
    composition_fingerprint,
    crystal_fingerprints,
)
from crystalicl_jobflow.evaluation.hashing import structure_hash
from crystalicl_jobflow.evaluation.intervals import rate_with_interval, wilson_interval
from crystalicl_jobflow.evaluation.matching import (
    MatchResult,
    match_many,
    match_structures,
    unique_groups,
)
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.evaluation.prediction import (
    PREDICTION_MEANINGS,
    SampleMatch,
    StructurePrediction,
    structure_prediction,
)
from crystalicl_jobflow.evaluation.ranking import RANKINGS
from crystalicl_jobflow.evaluation.rates import RATE_MEANINGS, evaluate, rate_meaning
from crystalicl_jobflow.evaluation.reading import candidate_id, read_text
from crystalicl_jobflow.evaluation.realism import (
    REALISM_MEANINGS,
    Realism,
    judge_realism,
    realism_rates,
)
from crystalicl_jobflow.evaluation.reward import (
    CrystextValidity,
    Reward,
    crystext_reward,
    crystext_validity,
    group_advantages,
)
from crystalicl_jobflow.evaluation.selection import best_relaxations, select_candidates
from crystalicl_jobflow.evaluation.success import asked_for, joint_success, judge
from crystalicl_jobflow.evaluation.suite import evaluate_all, evaluate_and_judge
from crystalicl_jobflow.evaluation.summary import CrystalSummary, crystal_summary, find_space_group
from crystalicl_jobflow.evaluation.table import (
    metrics_document,
    parquet_available,
    structures_table,
    write_evaluation,
)
from crystalicl_jobflow.evaluation.validate import (
    StructureReport,
    build_candidates,
    rejudge,
    validate_completion,
    validate_structure,
)

__all__ = [
    "DISCOVERY_MEANINGS",
    "DISTRIBUTIONS",
    "PREDICTION_MEANINGS",
    "RANKINGS",
    "RATE_MEANINGS",
    "REALISM_MEANINGS",
    "BondLengths",
    "CifValidity",
    "ConvexHull",
    "Coverage",
    "CrystalFingerprints",
    "CrystalSummary",
    "CrystextValidity",
    "Discovery",
    "DistanceReport",
    "DistributionDistance",
    "EnergyModel",
    "EvaluationOptions",
    "MatchResult",
    "PropertyPredictor",
    "Realism",
    "Reward",
    "SampleMatch",
    "StandardScaler",
    "StructurePrediction",
    "StructureReport",
    "asked_for",
    "assess_energies",
    "best_relaxations",
    "bond_lengths",
    "build_candidates",
    "candidate_id",
    "cif_validity",
    "compare_coverage",
    "composition_fingerprint",
    "composition_valid",
    "coverage_cutoffs",
    "crystal_fingerprints",
    "crystal_summary",
    "crystext_reward",
    "crystext_validity",
    "discover",
    "distance_report",
    "evaluate",
    "evaluate_all",
    "evaluate_and_judge",
    "find_space_group",
    "group_advantages",
    "is_metastable",
    "is_stable",
    "joint_success",
    "judge",
    "judge_realism",
    "load_energy_model",
    "load_predictor",
    "match_many",
    "match_reference",
    "match_structures",
    "metrics_document",
    "min_distance",
    "parquet_available",
    "property_distributions",
    "rate_meaning",
    "rate_with_interval",
    "read_text",
    "realism_rates",
    "reference_hull",
    "rejudge",
    "select_candidates",
    "structure_hash",
    "structure_prediction",
    "structures_table",
    "thresholds",
    "unique_crystals",
    "unique_groups",
    "validate_completion",
    "validate_structure",
    "wasserstein",
    "wilson_interval",
    "write_evaluation",
]
