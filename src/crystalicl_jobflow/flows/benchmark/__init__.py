"""Quality measured on data sets: plain functions, and Flows over them."""

from __future__ import annotations

from crystalicl_jobflow.flows.benchmark.asking import (
    CONDITION_FIELDS,
    condition_names,
    condition_of,
    draw_crystals,
)
from crystalicl_jobflow.flows.benchmark.conditional import (
    BenchmarkResult,
    conditional_benchmark,
    prediction_rates,
)
from crystalicl_jobflow.flows.benchmark.parts import RunFolder

__all__ = [
    "CONDITION_FIELDS",
    "BenchmarkResult",
    "RunFolder",
    "condition_names",
    "condition_of",
    "conditional_benchmark",
    "draw_crystals",
    "prediction_rates",
]
