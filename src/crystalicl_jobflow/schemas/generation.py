"""Generation: how texts are drawn, from which model, and the texts written for a prompt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from crystalicl_jobflow.schemas.base import Batched, Document
from crystalicl_jobflow.schemas.condition import Condition
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.schemas.retrieval import Strategy
from crystalicl_jobflow.utils.redaction import redact

BaseCheck = Literal["weights", "name", "unknown", "differs"]
"""How an adapter's base model compares with the one loaded: the same weights, the same name,
nothing to compare, or another one."""


class SamplingParams(Document):
    """How texts are drawn from a language model."""

    temperature: float = Field(0.9, gt=0)
    top_p: float = Field(0.9, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    max_new_tokens: int = Field(768, ge=1)
    seed: int = 0
    max_redraws: int = Field(
        5, ge=0, description="How often one sample that is no crystal is drawn again."
    )
    best_of: int = Field(
        1,
        ge=1,
        description="Texts drawn for each sample, of which the most probable is kept; all of"
        " them cost.",
    )
    copy_bias: float | None = Field(
        None,
        ge=0,
        description="Nats added to the scores of tokens that copy a demonstration at the same"
        " place, in constrained texts, before the temperature; 0 for the model alone, None for"
        " the model's own (`ModelInfo.copy_bias`).",
    )


class TreeSearch(Document):
    """Settings of a search for texts with a high reward: CrystaLLM's Monte Carlo tree search."""

    simulations: int = Field(100, ge=1, description="Texts written for each condition.")
    exploration: float = Field(
        1.0, ge=0, description="c of PUCT; larger ones try more, smaller ones keep to the best."
    )
    width: int = Field(5, ge=1, description="Most ways in which a beginning goes on.")
    parallel: int = Field(
        4, ge=1, description="Texts of one condition written at once; more are faster and less led."
    )
    reward_scale: float = Field(
        2.0, gt=0, description="λ: how much the reward changes around the mean energy."
    )
    backup: Literal["mean", "max"] = Field(
        "mean", description="Value of a beginning: mean or largest reward of its texts."
    )
    energy: str | None = Field(
        None,
        description="Potential whose energy per atom is to be low, e.g. 'chgnet'; None: the"
        " text's probability under the model is to be high.",
    )
    relaxed: Literal["nothing", "volume", "all"] = Field(
        "nothing", description="What is relaxed before the energy counts."
    )


class SearchRecord(Document):
    """What a search found out about one of its texts."""

    reward: float = Field(description="From -1 (no crystal) over 0.5 (mean energy) to 1.")
    energy_per_atom: float | None = Field(
        None,
        description="Formation energy in eV by the potential of the search, or its energy where an"
        " element has no reference; None where there is none.",
    )
    energy_model: str | None = Field(
        None, description="The potential with its version and the references."
    )
    tokens_given: int = Field(0, description="Tokens at the beginning that the tree chose.")


class ModelInfo(Document):
    """Which model wrote a text."""

    engine: str = Field(description="Text generator, e.g. 'transformers'.")
    base_model: str
    base_revision: str | None = Field(None, description="Hub revision or hash of the files.")
    adapter: str | None = None
    adapter_revision: str | None = None
    adapter_base: str | None = Field(
        None, description="Base model that the adapter was made for, as it says itself."
    )
    adapter_base_check: BaseCheck | None = Field(
        None,
        description="How that compares with the base model used: the same weights, the same name,"
        " nothing to compare; 'differs': another one, taken because the user allowed it.",
    )
    device: str = "cpu"
    dtype: str = "float32"
    quantization: str | None = None
    copy_bias: float = Field(
        0.0, ge=0, description="Copy bias with which the model is meant to be used."
    )

    @field_validator("base_model", "adapter", "adapter_base", "device")
    @classmethod
    def _hide_secrets(cls, value: str | None) -> str | None:
        """Hide secrets: a model may be the address of a server, and this document is stored."""
        return None if value is None else redact(value)


class DrawnGroup(Document):
    """A space group that was drawn for a text, though its condition asks for none."""

    space_group: int
    share: float = Field(description="Its probability for the formula, learned from the pool.")
    prompt: str = Field(description="The prompt of this text, which states the group.")
    strategy: Strategy | None = None
    demonstration_ids: list[str] = Field(default_factory=list)
    relaxed: list[str] = Field(default_factory=list)


class Completion(Document):
    """One text that a model wrote for a prompt."""

    request_index: int = Field(description="Which prompt of the batch, from 0.")
    sample_index: int = Field(description="Which sample of that prompt, from 0.")
    text: str
    finished: bool = Field(description="Whether the model ended the text by itself.")
    num_tokens: int
    attempts: int = Field(1, description="Draws made, the one kept included.")
    rejected: dict[str, int] = Field(
        default_factory=dict, description="Reason code to number of draws rejected for it."
    )
    constraint: str | None = Field(
        None, description="Constraint under which the text was written, in words; None for none."
    )
    log_prob: float | None = Field(
        None,
        description="Natural logarithm of the text's probability, its end included, under the"
        " model as it is: at temperature 1, without nucleus and constraint. Of a text of element"
        " substitution, under the language model that draws beside it. None where nobody tells.",
    )
    template_id: str | None = Field(
        None, description="Known crystal whose elements were replaced, where that was done."
    )
    template_rank: int | None = Field(
        None, description="Its place among the different crystals that substitution gives, from 0."
    )
    template_distance: float | None = Field(
        None, description="Sum of the differences of Mendeleev numbers of the replaced elements."
    )
    template_votes: int | None = Field(
        None, description="Substitutions looked at that give this crystal."
    )
    model: ModelInfo | None = Field(
        None, description="What wrote this text, where several did; None: the generation's model."
    )
    drawn: DrawnGroup | None = Field(
        None,
        description="Space group that was drawn for this text, with its prompt; None: the"
        " generation's prompt.",
    )
    error: str | None = Field(
        None,
        description="Why there is no text, where a model server gave none or the prompt left no"
        " room for one; one line.",
    )
    flaw: FailureReason | None = Field(
        None, description="Why the text would have been drawn again, had draws been left."
    )
    search: SearchRecord | None = Field(
        None, description="Reward of the text, where a search wrote it."
    )
    draws: int = Field(
        0, description="Draws made in all, those of less probable texts included; 0: not counted."
    )
    tokens_drawn: int = Field(
        0, description="Tokens of all draws, also of those thrown away; 0: not counted."
    )


class Generation(Document):
    """The texts written for one retrieval (one condition)."""

    condition: Condition
    prompt: str = Field(
        description="States the condition; texts for a drawn space group have their own."
    )
    text_format: str = "sgs"
    strategy: Strategy | None = None
    demonstration_ids: list[str] = Field(default_factory=list)
    relaxed: list[str] = Field(default_factory=list)
    completions: list[Completion] = Field(default_factory=list)
    sampling: SamplingParams
    search: TreeSearch | None = Field(
        None, description="Settings of the search that wrote the texts; None: drawn at random."
    )
    edit: Edit | None = Field(None, description="What was kept of a crystal that was edited.")
    model: ModelInfo
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = Field(None, description="Wall time of the whole batch, in s.")


class GenerateDoc(Document):
    """What a generation job returns."""

    generations: Batched[Generation] = Field(
        default_factory=list, description="One per condition, in order; in the store 'data'."
    )
    num_conditions: int = 0
    num_samples: int = Field(0, description="Texts asked for.")
    num_completions: int = Field(0, description="Texts written.")
    num_tokens: int = 0
    num_draws: int = Field(0, description="Draws made, also those thrown away or less probable.")
    num_tokens_drawn: int = Field(0, description="Tokens of all draws.")
    seconds: float | None = Field(None, description="Time spent writing, over all shards, in s.")
    model: ModelInfo | None = None
    num_shards: int = Field(1, description="Jobs among which the samples were divided.")
    missing_shards: list[int] = Field(
        default_factory=list, description="Shards whose job failed, counted from 1."
    )
    num_resumed: int = Field(
        0, description="Samples that launches of the job wrote before they were killed."
    )

    @property
    def num_missing(self) -> int:
        """Texts asked for that no job wrote."""
        return self.num_samples - self.num_completions

    @classmethod
    def from_generations(
        cls,
        generations: list[Generation],
        *,
        num_samples: int,
        num_shards: int = 1,
        missing_shards: list[int] | None = None,
        seconds: float | None = None,
        num_resumed: int = 0,
    ) -> GenerateDoc:
        """Build the document with its counts."""
        completions = [item for generation in generations for item in generation.completions]
        return cls(
            generations=generations,
            num_conditions=len(generations),
            num_samples=num_samples,
            num_completions=len(completions),
            num_tokens=sum(item.num_tokens for item in completions),
            num_draws=sum(item.draws or item.attempts for item in completions),
            num_tokens_drawn=sum(item.tokens_drawn or item.num_tokens for item in completions),
            seconds=seconds,
            model=generations[0].model if generations else None,
            num_shards=num_shards,
            missing_shards=missing_shards or [],
            num_resumed=num_resumed,
        )
