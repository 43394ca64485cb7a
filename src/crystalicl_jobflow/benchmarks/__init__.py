"""Quality measured on data sets: plain functions, and Flows over them."""

from __future__ import annotations

from crystalicl_jobflow.benchmarks.conditional import conditional_benchmark
from crystalicl_jobflow.benchmarks.conditions import (
    CONDITION_FIELDS,
    condition_names,
    condition_of,
    draw_crystals,
)
from crystalicl_jobflow.benchmarks.prediction_suites import prediction_suite, xrd_suite
from crystalicl_jobflow.benchmarks.results import BenchmarkResult, prediction_rates
from crystalicl_jobflow.benchmarks.run_folder import RunFolder
from crystalicl_jobflow.benchmarks.runs import run_setting
from crystalicl_jobflow.benchmarks.settings import (
    DATA_SETS,
    DEFAULT_CONDITIONS,
    BenchmarkSetting,
    ModelChoice,
    data_set_name,
)
from crystalicl_jobflow.benchmarks.simulated_patterns import PatternSimulation, simulate_pattern
from crystalicl_jobflow.benchmarks.suites import (
    Suite,
    conditional_suite,
    cross_domain_suite,
    models_suite,
    shots_suite,
    strategies_suite,
    unconditional_suite,
)
from crystalicl_jobflow.benchmarks.tables import (
    benchmark_table,
    markdown,
    seed_figures,
    write_tables,
)

__all__ = [
    "CONDITION_FIELDS",
    "DATA_SETS",
    "DEFAULT_CONDITIONS",
    "BenchmarkResult",
    "BenchmarkSetting",
    "ModelChoice",
    "PatternSimulation",
    "RunFolder",
    "Suite",
    "benchmark_table",
    "condition_names",
    "condition_of",
    "conditional_benchmark",
    "conditional_suite",
    "cross_domain_suite",
    "data_set_name",
    "draw_crystals",
    "markdown",
    "models_suite",
    "prediction_rates",
    "prediction_suite",
    "run_setting",
    "seed_figures",
    "shots_suite",
    "simulate_pattern",
    "strategies_suite",
    "unconditional_suite",
    "write_tables",
    "xrd_suite",
]
