"""The documents that travel between the steps and are stored; the condition asked for."""

from __future__ import annotations

from crystalicl_jobflow.schemas.base import utcnow
from crystalicl_jobflow.schemas.candidate import Candidate, Checks, Provenance
from crystalicl_jobflow.schemas.condition import Condition, ConditionError
from crystalicl_jobflow.schemas.evaluation import Evaluation, Rate
from crystalicl_jobflow.schemas.generation import (
    Completion,
    Generation,
    ModelInfo,
    SamplingParams,
    SearchRecord,
    TreeSearch,
)
from crystalicl_jobflow.schemas.properties import (
    PROPERTIES,
    PropertySpec,
    find_property,
    register_property,
)
from crystalicl_jobflow.schemas.ranges import Range
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.schemas.retrieval import Demonstration, Retrieval, Strategy
from crystalicl_jobflow.schemas.structure_table import (
    CANDIDATES_FILE,
    METRICS_FILE,
    STRUCTURE_COLUMNS,
    STRUCTURES_CSV,
    STRUCTURES_PARQUET,
    Column,
    structure_columns,
)

__all__ = [
    "CANDIDATES_FILE",
    "METRICS_FILE",
    "PROPERTIES",
    "STRUCTURES_CSV",
    "STRUCTURES_PARQUET",
    "STRUCTURE_COLUMNS",
    "Candidate",
    "Checks",
    "Column",
    "Completion",
    "Condition",
    "ConditionError",
    "Demonstration",
    "Evaluation",
    "FailureReason",
    "Generation",
    "ModelInfo",
    "PropertySpec",
    "Provenance",
    "Range",
    "Rate",
    "Retrieval",
    "SamplingParams",
    "SearchRecord",
    "Strategy",
    "TreeSearch",
    "find_property",
    "register_property",
    "structure_columns",
    "utcnow",
]
