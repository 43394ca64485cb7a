"""GRPO on files of crystals: read, load, train, write the card; used by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crystalicl_jobflow.generation.adapter_base import record_base
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.training.base_model import save_base
from crystalicl_jobflow.training.checkpoints import CHECKPOINT, read_log, without_bars
from crystalicl_jobflow.training.grpo.crystal_prompts import Prompts
from crystalicl_jobflow.training.grpo.curves import REWARD_CURVE
from crystalicl_jobflow.training.grpo.rewards import RewardFunction
from crystalicl_jobflow.training.grpo.settings import GRPOSettings
from crystalicl_jobflow.training.grpo.tuning import (
    GRPO_ARGUMENTS,
    GRPOResult,
    tune_with_rewards,
)
from crystalicl_jobflow.training.lora import LoraSettings, add_adapter, load_base
from crystalicl_jobflow.training.model_card import save_card, training_command
from crystalicl_jobflow.training.provenance import record_data
from crystalicl_jobflow.training.recipes import Split

MEASURED_CRYSTALS = 200
"""Maximum number of held-out crystals for which the match rate is measured."""


@dataclass(frozen=True)
class Start:
    """What GRPO starts from.

    Parameters
    ----------
    base_model
        Name on the Hugging Face hub, folder, or 'embedded'.
    adapter
        Folder of an adapter that is tuned further; None for a new one.
    whole
        Whether all weights of the model are tuned instead of an adapter; for small models.
    lora
        The new adapter, and precision and device of the model.
    """

    base_model: str
    adapter: str | None = None
    whole: bool = False
    lora: LoraSettings = field(default_factory=LoraSettings)

    def __post_init__(self) -> None:
        if self.whole and self.adapter is not None:
            raise ValueError("tune an adapter or the whole model, not both")


def load_start(start: Start) -> tuple[Any, Any]:
    """Load the model that is tuned, and its tokenizer.

    Raises
    ------
    ValueError
        If model or adapter cannot be loaded.
    """
    model, tokenizer = load_base(start.base_model, start.lora)
    if start.whole:
        return model, tokenizer
    if start.adapter is None:
        return add_adapter(model, start.lora), tokenizer
    from peft import PeftModel

    try:
        model = PeftModel.from_pretrained(model, start.adapter, is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"adapter {start.adapter} cannot be loaded: {error}") from error
    return model, tokenizer


def grpo_recipe(
    split: Split,
    start: Start,
    folder: str | Path,
    *,
    reward: RewardFunction,
    reward_name: str,
    settings: GRPOSettings | None = None,
    text_format: str = "sgs",
    progress: Callable[[dict[str, float]], None] | None = None,
) -> GRPOResult:
    """Tune a model by GRPO on crystals, and write its card.

    Parameters
    ----------
    split
        Of `load_split`: the training crystals are asked for and demonstrated, the held-out ones
        measured.
    start
        Model and adapter.
    folder
        Folder of the training; adapter or model are saved in ``adapter`` or ``model`` there. Run
        again, an interrupted training continues.
    reward, reward_name
        Of a text, and its name for the record.
    settings
        How it runs.
    text_format
        Format of the texts.
    progress
        Called with each line of the log.

    Returns
    -------
    GRPOResult

    Raises
    ------
    ValueError
        If model or adapter cannot be loaded, there is no crystal to ask for, or the folder holds
        another training.
    """
    folder = Path(folder)
    settings = settings or GRPOSettings()
    record = {
        "base_model": start.base_model,
        "adapter": start.adapter,
        "whole": start.whole,
        "lora": asdict(start.lora),
        "reward": reward_name,
        "text_format": text_format,
    }
    _check_folder(folder, record)
    record_data(folder, split.data)
    model, tokenizer = load_start(start)
    pool = DemonstrationIndex.from_documents(
        crystal.demonstration.model_dump() for crystal in split.training
    )

    def save(place: Path) -> None:
        if start.whole:
            save_base(model, tokenizer, place / "model")
            return
        name = EMBEDDED_MODEL if start.base_model == EMBEDDED_MODEL else None
        if name is not None:
            model.peft_config["default"].base_model_name_or_path = name
        with without_bars():
            model.save_pretrained(place / "adapter", safe_serialization=True)
        record_base(place / "adapter", start.base_model, name=name, model=model)

    held_out = split.validation[:MEASURED_CRYSTALS]
    result = tune_with_rewards(
        model,
        tokenizer,
        Prompts(split.training, pool, settings, text_format=text_format),
        folder,
        reward=reward,
        settings=settings,
        held_out=Prompts(held_out, pool, settings, text_format=text_format) if held_out else None,
        save=save,
        progress=progress,
        record=record,
    )
    save_card(folder, grpo_card(folder, result))
    return result


def grpo_card(folder: str | Path, result: GRPOResult) -> str:
    """Write the card of a GRPO training, with figures before and after.

    Parameters
    ----------
    folder
        Of the training.
    result
        Of it.

    Returns
    -------
    str
        Markdown.
    """
    folder = Path(folder)
    arguments = json.loads((folder / GRPO_ARGUMENTS).read_text(encoding="utf-8"))
    lines = [line for line in read_log(folder) if "reward" in line]
    tuned = "All weights" if arguments["whole"] else "A LoRA adapter"
    parts = [
        f"# {folder.absolute().name}",
        f"{tuned} of `{arguments['base_model']}`, tuned by GRPO (DeepSeekMath; CrysText-RL) with"
        f" the reward `{arguments['reward']}` of its own {arguments['text_format'].upper()} texts.",
        "\n".join(
            ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _rows(arguments))]
        ),
        f"Mean reward of the first and the last ten steps: {_mean(lines[:10])} and"
        f" {_mean(lines[-10:])}, after {result.state.step} steps.",
    ]
    if result.after:
        before, after = result.before["match"], result.after["match"]
        parts.append(
            f"Match rate of single draws at T = 0.3 on {result.after['crystals']:.0f} crystals of"
            f" held-out formulas: {100 * before:.1f} % before, {100 * after:.1f} % after."
        )
    if (folder / REWARD_CURVE).is_file():
        parts.append(f"![Rewards over the steps]({REWARD_CURVE})")
    command = training_command(folder)
    if command:
        parts.append(f"To train it again:\n\n```\n{command}\n```")
    return "\n\n".join(parts) + "\n"


def _rows(arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    names = {
        "group_size": "texts per prompt",
        "prompts": "prompts in a step",
        "shots": "demonstrations",
        "strategy": "strategy",
        "temperature": "temperature",
        "constrained": "constrained",
        "learning_rate": "peak learning rate (AdamW)",
        "kl_weight": "weight of the divergence",
        "seed": "seed",
    }
    return [(words, arguments[name]) for name, words in names.items()]


def _mean(lines: list[dict[str, float]]) -> str:
    if not lines:
        return "-"
    return f"{sum(line['reward'] for line in lines) / len(lines):.3f}"


def _check_folder(folder: Path, record: dict[str, Any]) -> None:
    """Raise an error if the folder holds another training."""
    path = folder / GRPO_ARGUMENTS
    if not (path.is_file() and (folder / CHECKPOINT).is_file()):
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for name in ("base_model", "adapter", "whole", "reward", "text_format"):
        if before.get(name) != record[name]:
            raise ValueError(
                f"{folder} holds a training with {name} {before.get(name)}, not {record[name]}:"
                " name another folder"
            )
