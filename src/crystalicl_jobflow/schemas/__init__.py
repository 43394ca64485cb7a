"""The documents that travel between the steps and are stored; the condition asked for."""

from __future__ import annotations

from crystalicl_jobflow.schemas.condition import Condition, ConditionError, Range
from crystalicl_jobflow.schemas.documents import (
    Candidate,
    Checks,
    Completion,
    Demonstration,
    Evaluation,
    Generation,
    ModelInfo,
    Provenance,
    Rate,
    Retrieval,
    SamplingParams,
    Strategy,
    utcnow,
)
from crystalicl_jobflow.schemas.properties import (
    PROPERTIES,
    PropertySpec,
    find_property,
    register_property,
)
from crystalicl_jobflow.schemas.reasons import FailureReason

__all__ = [
    "PROPERTIES",
    "Candidate",
    "Checks",
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
    "Strategy",
    "find_property",
    "register_property",
    "utcnow",
]
