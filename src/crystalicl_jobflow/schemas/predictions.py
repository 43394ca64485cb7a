"""What a language model says about a property of a given crystal."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from crystalicl_jobflow.schemas.base import Document
from crystalicl_jobflow.schemas.generation import ModelInfo, SamplingParams


class PropertyFailure(StrEnum):
    """Why there is no value."""

    NOT_READ = "not_read"
    NOT_ENCODABLE = "not_encodable"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"


class PropertyAnswer(Document):
    """One text that a model wrote for a property, and the number it says."""

    text: str
    value: float | None = Field(None, description="In the property's unit.")
    reason: PropertyFailure | None = Field(None, description="Why there is no value.")


class PropertyPrediction(Document):
    """The value that a model predicts for one crystal, with everything to predict it again."""

    crystal_id: str
    formula: str | None = Field(None, description="Reduced formula; None where not readable.")
    property_name: str
    unit: str
    value: float | None = Field(
        None, description="Median of the answers that are numbers; None where none is."
    )
    reason: PropertyFailure | None = Field(
        None, description="Why there is no value: that of the first answer."
    )
    message: str | None = Field(None, description="The reason in words.")
    answers: list[PropertyAnswer] = Field(default_factory=list)
    prompt: str = ""
    text_format: str = "sgs"
    template: str = "crystalicl"
    constraint: str | None = Field(
        None, description="Constraint under which the answers were written; None for none."
    )
    sampling: SamplingParams | None = None
    model: ModelInfo | None = None
    versions: dict[str, str] = Field(default_factory=dict)
