"""Rates over sets of candidates, each with its denominator and interval."""

from __future__ import annotations

from crystalicl_jobflow.evaluation.intervals import (
    interval_text,
    rate_with_interval,
    share_text,
    value_text,
    wilson_interval,
)
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.evaluation.rates import (
    RATE_MEANINGS,
    evaluate,
    main_rates,
    rate_meaning,
    rate_title,
)
from crystalicl_jobflow.evaluation.realism import (
    REALISM_MEANINGS,
    Realism,
    judge_realism,
    realism_rates,
)
from crystalicl_jobflow.evaluation.structure_prediction import (
    PREDICTION_MEANINGS,
    SampleMatch,
    StructurePrediction,
    structure_prediction,
)
from crystalicl_jobflow.evaluation.suite import evaluate_all, evaluate_and_judge
from crystalicl_jobflow.evaluation.table import (
    metrics_document,
    parquet_available,
    structures_table,
    write_evaluation,
)
from crystalicl_jobflow.validation.reward import (
    CrystextValidity,
    Reward,
    crystext_reward,
    crystext_validity,
    group_advantages,
)

__all__ = [
    "PREDICTION_MEANINGS",
    "RATE_MEANINGS",
    "REALISM_MEANINGS",
    "CrystextValidity",
    "EvaluationOptions",
    "Realism",
    "Reward",
    "SampleMatch",
    "StructurePrediction",
    "crystext_reward",
    "crystext_validity",
    "evaluate",
    "evaluate_all",
    "evaluate_and_judge",
    "group_advantages",
    "interval_text",
    "judge_realism",
    "main_rates",
    "metrics_document",
    "parquet_available",
    "rate_meaning",
    "rate_title",
    "rate_with_interval",
    "realism_rates",
    "share_text",
    "structure_prediction",
    "structures_table",
    "value_text",
    "wilson_interval",
    "write_evaluation",
]
