"""LoRA and QLoRA tuning of any causal language model on instructions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from crystalicl_jobflow.generation.adapter_base import record_base
from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.model_places import base_place, is_gguf
from crystalicl_jobflow.generation.transformers_engine.pretrained import load_base_model
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.training.checkpoints import CHECKPOINT, without_bars
from crystalicl_jobflow.training.data.batches import InstructionSource
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult, fit
from crystalicl_jobflow.training.model_card import LORA_ARGUMENTS
from crystalicl_jobflow.utils.files import write_json
from crystalicl_jobflow.utils.messages import first_line


@dataclass(frozen=True)
class LoraSettings:
    """The adapter; defaults are the CrystalICL paper's.

    Parameters
    ----------
    rank, alpha, dropout
        Of the adapter.
    target_modules
        Names of the layers that get one; None for all linear layers except the output.
    quantization
        '4bit' (QLoRA: NF4 with double quantisation, Dettmers et al. 2023) or '8bit' for
        the base model, on a GPU with bitsandbytes; None for none.
    dtype
        Precision of the base model: 'float32', 'bfloat16', 'float16', or 'auto' for
        float32 on a CPU and what the model was saved in on a GPU.
    device
        Torch device, or 'auto' for the GPU if there is one.
    gradient_checkpointing
        Compute activations twice to save memory.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    target_modules: tuple[str, ...] | None = None
    quantization: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.target_modules is not None:  # a list where a database kept it
            object.__setattr__(self, "target_modules", tuple(self.target_modules))


PAPER_LOOP = LoopSettings(
    learning_rate=5e-4,
    optimizer="adamw",
    schedule="cosine",
    warmup_steps=20,
    weight_decay=0.0,
    epochs=10,
    tokens_per_batch=3072,
    max_tokens=1024,
    learn_examples=False,
)
"""The paper's rate, schedule and epochs; only responses are learned."""


def load_base(base_model: str | Path, settings: LoraSettings) -> tuple[Any, Any]:
    """Load a base model and its tokenizer for tuning.

    Parameters
    ----------
    base_model
        Name on the Hugging Face hub, folder, GGUF file, or 'embedded' for the model in this
        package.
    settings
        Precision, quantisation, device.

    Returns
    -------
    model, tokenizer
        The tokenizer has a pad token: its own, or else its end token.

    Raises
    ------
    ValueError
        If the model cannot be loaded or quantised as asked; the message is one line.
    """
    options = check_lora(settings)
    device = _device(settings)
    place = base_place(str(base_model))
    try:
        tokenizer, model = load_base_model(place, str(base_model), None, options)
    except GenerationError as error:
        raise ValueError(first_line(error)) from error
    if settings.quantization is None:
        model.to(device)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _device(settings: LoraSettings) -> str:
    import torch

    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_lora(settings: LoraSettings) -> dict[str, Any]:
    """Check settings before data or a model are read.

    Returns
    -------
    dict
        Precision, quantisation and device, as arguments of ``from_pretrained``.

    Raises
    ------
    ValueError
        If there is no such precision, device or quantisation, or no GPU for it.
    ImportError
        If bitsandbytes is missing for a quantisation.
    """
    import torch

    device = _device(settings)
    try:
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError
    except RuntimeError:
        raise ValueError(f"there is no device {device}") from None
    options: dict[str, Any] = {}
    if settings.quantization is not None:
        options["quantization_config"] = quantization_config(settings.quantization, device)
        options["device_map"] = {"": device}
    if settings.dtype != "auto":
        options["dtype"] = getattr(torch, settings.dtype, None)
        if not isinstance(options["dtype"], torch.dtype):
            raise ValueError(f"dtype {settings.dtype!r} is not known")
    else:
        options["dtype"] = torch.float32 if device == "cpu" else "auto"
    return options


def quantization_config(quantization: str, device: str) -> Any:
    """Return the quantisation of QLoRA.

    Raises
    ------
    ValueError
        If it is not known, or there is no GPU for it.
    ImportError
        If bitsandbytes is missing.
    """
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if quantization not in ("4bit", "8bit"):
        raise ValueError(f"quantization {quantization!r} is not one of 4bit, 8bit")
    if not device.startswith("cuda"):
        raise ValueError(f"quantization {quantization} needs a GPU, not {device}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ImportError(
            "quantization needs bitsandbytes: pip install 'crystalicl-jobflow[quantization]'"
        )
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def add_adapter(model: Any, settings: LoraSettings) -> Any:
    """Put a new LoRA adapter on a model and freeze the rest.

    Returns
    -------
    peft.PeftModel
    """
    from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training

    if settings.quantization is not None:
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=settings.gradient_checkpointing
        )
    elif settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=(
            "all-linear" if settings.target_modules is None else list(settings.target_modules)
        ),
    )
    return get_peft_model(model, config)


def train_lora(
    base_model: str | Path,
    instructions: InstructionSource,
    folder: str | Path,
    *,
    lora: LoraSettings | None = None,
    settings: LoopSettings = PAPER_LOOP,
    validation: Sequence[Instruction] = (),
    base_name: str | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Tune an adapter.

    Parameters
    ----------
    base_model
        As in `load_base`.
    instructions
        What it learns.
    folder
        Folder of checkpoints and log; the adapter is in ``folder / 'adapter'``, with a hash of
        its base model's weights beside it (``base_model.json``).
    lora, settings
        The adapter, and the training.
    validation
        Instructions whose loss is logged.
    base_name
        Name of the base model that the adapter's configuration states; None for
        ``base_model``.
    progress
        Called with each line of the log.

    Raises
    ------
    ValueError
        If the model cannot be loaded.
    """
    import torch

    lora = lora or LoraSettings()
    if lora.quantization is not None and settings.optimizer == "adamw":
        # as in QLoRA's paper: the optimiser's state can leave the GPU at memory peaks
        settings = replace(settings, optimizer="paged_adamw")
    torch.manual_seed(settings.seed)
    model, tokenizer = load_base(base_model, lora)
    model = add_adapter(model, lora)
    if str(base_model) == EMBEDDED_MODEL:
        base_name = EMBEDDED_MODEL
    elif base_name is None and is_gguf(base_model):
        base_name = str(base_model)  # transformers knows its folder only
    if base_name is not None:
        model.peft_config["default"].base_model_name_or_path = base_name
    folder = Path(folder)
    _record_adapter(folder, {"base_model": str(base_name or base_model), **asdict(lora)})

    def save(place: Path) -> None:
        with without_bars():
            model.save_pretrained(place / "adapter", safe_serialization=True)
        record_base(place / "adapter", base_model, name=base_name, model=model)

    return fit(
        model,
        tokenizer,
        instructions,
        settings,
        folder,
        validation=validation,
        save=save,
        progress=progress,
    )


def _record_adapter(folder: Path, arguments: dict[str, Any]) -> None:
    """Record what is tuned; raise an error if the folder holds another training."""
    path = folder / LORA_ARGUMENTS
    if path.is_file() and (folder / CHECKPOINT).is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in ("base_model", "rank", "alpha"):
            if before.get(name, arguments[name]) != arguments[name]:
                raise ValueError(
                    f"{folder} holds a training with {name} {before[name]}, not"
                    f" {arguments[name]}: name another folder"
                )
    write_json(path, arguments)
