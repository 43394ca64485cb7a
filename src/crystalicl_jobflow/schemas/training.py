"""The documents of training: instructions, and what a training gave."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from crystalicl_jobflow.schemas.base import Batched, Document, utcnow


class InstructionRecord(Document):
    """One line of an instruction file: a prompt and what a model is to answer."""

    prompt: str = Field(description="Up to and with '### Response:'.")
    completion: str = Field(description="What follows, from its first character on.")
    kind: str = Field("zero-shot", description="E.g. 'zero-shot', 'few-shot C', 'property'.")
    crystal_id: str = Field("", description="The crystal it is about.")
    formula: str = Field("", description="Its reduced formula; what validation is split by.")
    demonstration_ids: list[str] = Field(
        default_factory=list, description="The crystals that are shown."
    )
    examples: list[tuple[int, int]] = Field(
        default_factory=list, description="Where in the prompt their texts stand (start, end)."
    )


class DataRecord(Document):
    """A file or store that was learned from."""

    name: str
    sha256: str = Field(description="Of the file; of a store, of its crystals' ids and texts.")
    size: int = Field(description="In bytes.")
    source: str = ""
    licence: str = ""
    guarded: bool = Field(False, description="A file to test on, that was kept out.")
    taken_out: int = Field(0, description="Crystals kept out, which files to test on hold.")


class InstructionsDoc(Document):
    """What a job that makes an instruction set returns."""

    instructions: Batched[InstructionRecord] = Field(
        default_factory=list, description="In the order of the file; in the store 'data'."
    )
    num_instructions: int = 0
    num_crystals: int = 0
    num_skipped: int = Field(0, description="Rows of the sources that could not be read.")
    kinds: dict[str, int] = Field(default_factory=dict, description="Kind → instructions.")
    info: dict[str, Any] = Field(default_factory=dict, description="How the set was made.")
    data: list[DataRecord] = Field(default_factory=list, description="Where crystals came from.")


class TrainDoc(Document):
    """What a training job returns; the weights stay in its folder."""

    method: Literal["lora", "base"]
    base_model: str | None = Field(None, description="Model that got the adapter.")
    folder: str = Field(description="Absolute path on the worker: log, checkpoint, card.")
    model: str = Field(description="Folder of the adapter or model in it.")
    host: str = Field("", description="Worker that trained.")
    finished: bool = True
    stopped_early: bool = Field(False, description="Whether the patience ran out.")
    resumed: bool = Field(False, description="Whether an interrupted training went on.")
    num_instructions: int = Field(0, description="Of the first epoch.")
    num_validation: int = 0
    num_left_out: int = Field(0, description="Instructions of all epochs that were too long.")
    steps: int = 0
    epochs: int = Field(0, description="Whole ones.")
    tokens: int = 0
    learned_tokens: int = 0
    seconds: float = 0.0
    loss: float | None = Field(None, description="Training loss at the end, nats per token.")
    validation_loss: float | None = Field(None, description="The last one, nats per token.")
    best_validation_loss: float | None = None
    best_step: int | None = None
    history: list[dict[str, float]] = Field(
        default_factory=list, description="Lines of the log with a validation loss."
    )
    data: list[DataRecord] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    adapter_settings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    loss_curve: str | None = Field(None, description="Path of the picture on the worker.")
    card: str = Field("", description="The model card, Markdown.")
    last_updated: datetime = Field(default_factory=utcnow)


class GRPODoc(Document):
    """What a GRPO job returns; the weights stay in its folder."""

    base_model: str = Field(description="Model that was tuned, or the base of the adapter.")
    adapter: str | None = Field(None, description="Adapter that it started from.")
    reward: str = Field(description="Name of the reward.")
    folder: str = Field(description="Absolute path on the worker: log, checkpoint, card.")
    model: str = Field(description="Folder of the adapter or model in it.")
    host: str = Field("", description="Worker that trained.")
    steps: int = 0
    tokens: int = Field(0, description="Tokens written.")
    seconds: float = 0.0
    before: dict[str, float] = Field(
        default_factory=dict,
        description="Measured on held-out crystals before: 'match', the share of single draws"
        " that are the known crystal, and 'crystals', their number.",
    )
    after: dict[str, float] = Field(default_factory=dict, description="The same after.")
    rewards: list[float] = Field(default_factory=list, description="Mean reward of each step.")
    settings: dict[str, Any] = Field(default_factory=dict)
    data: list[DataRecord] = Field(default_factory=list)
    reward_curve: str | None = Field(None, description="Path of the picture on the worker.")
    card: str = Field("", description="The model card, Markdown.")
    last_updated: datetime = Field(default_factory=utcnow)


class CardDoc(Document):
    """What the job that completes a card with measured figures returns."""

    card: str = Field(description="Markdown.")
    path: str | None = Field(None, description="Where it was written; None where out of reach.")
    rates: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Label → rates that it shows."
    )
