"""Checks of generated crystals, success, matching, and rates with denominators."""

from __future__ import annotations

from crystalicl_jobflow.evaluation import thresholds
from crystalicl_jobflow.evaluation.composition import composition_valid
from crystalicl_jobflow.evaluation.distances import DistanceReport, distance_report, min_distance
from crystalicl_jobflow.evaluation.intervals import rate_with_interval, wilson_interval
from crystalicl_jobflow.evaluation.matching import (
    MatchResult,
    match_many,
    match_structures,
    unique_groups,
)
from crystalicl_jobflow.evaluation.prediction import (
    PREDICTION_MEANINGS,
    SampleMatch,
    StructurePrediction,
    structure_prediction,
)
from crystalicl_jobflow.evaluation.rates import RATE_MEANINGS, evaluate, rate_meaning
from crystalicl_jobflow.evaluation.reading import candidate_id, read_text
from crystalicl_jobflow.evaluation.success import asked_for, joint_success, judge
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
    "PREDICTION_MEANINGS",
    "RATE_MEANINGS",
    "CrystalSummary",
    "DistanceReport",
    "MatchResult",
    "SampleMatch",
    "StructurePrediction",
    "StructureReport",
    "asked_for",
    "build_candidates",
    "candidate_id",
    "composition_valid",
    "crystal_summary",
    "distance_report",
    "evaluate",
    "find_space_group",
    "joint_success",
    "judge",
    "match_many",
    "match_structures",
    "metrics_document",
    "min_distance",
    "parquet_available",
    "rate_meaning",
    "rate_with_interval",
    "read_text",
    "rejudge",
    "structure_prediction",
    "structures_table",
    "thresholds",
    "unique_groups",
    "validate_completion",
    "validate_structure",
    "wilson_interval",
    "write_evaluation",
]
