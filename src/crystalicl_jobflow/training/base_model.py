"""The embedded base model: a small Llama, trained from random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.generation.model_places import MODEL_CONFIG, base_place, check_file
from crystalicl_jobflow.training.checkpoints import without_bars
from crystalicl_jobflow.training.data.batches import InstructionSource
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult, fit
from crystalicl_jobflow.training.tokenizer import MAX_POSITIONS, build_tokenizer, number_words

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class BaseSize:
    """Size and dropout of a base model.

    Parameters
    ----------
    hidden_size, num_layers, num_heads, intermediate_size
        Of the Llama architecture.
    dropout
        Dropout of the layers' outputs and the embeddings, in training only. Without it a model of
        this size memorises its few ten thousand crystals.
    """

    hidden_size: int = 192
    num_layers: int = 6
    num_heads: int = 6
    intermediate_size: int = 512
    dropout: float = 0.1


def build_base_model(
    tokenizer: Any, size: BaseSize | None = None, *, seed: int = 0
) -> LlamaForCausalLM:
    """Build a base model with random weights.

    Parameters
    ----------
    tokenizer
        Of `build_tokenizer`, or any other with begin, end and pad tokens.
    size
        Widths and depths.
    seed
        Seed of the weights.

    Returns
    -------
    transformers.LlamaForCausalLM
        In float32, with dropout added by hooks during training; saved, it is a plain Llama.
        Embeddings of similar numbers start close to each other.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = size or BaseSize()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_heads,
        intermediate_size=size.intermediate_size,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    _smooth_numbers(model, tokenizer, torch.Generator().manual_seed(seed))
    add_dropout(model, size.dropout)
    return model


def add_dropout(model: Any, rate: float) -> None:
    """Drop parts of the embeddings and of each layer's outputs while the model trains."""
    import torch

    def drop(module: Any, _inputs: Any, output: Any) -> Any:
        if not module.training or rate == 0:
            return output
        if isinstance(output, tuple):
            return (torch.nn.functional.dropout(output[0], rate), *output[1:])
        return torch.nn.functional.dropout(output, rate)

    model.model.embed_tokens.register_forward_hook(drop)
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(drop)
        layer.mlp.register_forward_hook(drop)


def train_base(
    instructions: InstructionSource,
    folder: str | Path,
    *,
    settings: LoopSettings | None = None,
    size: BaseSize | None = None,
    validation: Sequence[Instruction] = (),
    start: str | Path | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a base model.

    Parameters
    ----------
    instructions
        What it learns.
    folder
        Folder of checkpoints, log and model; an interrupted training there is continued.
    settings, size
        Training settings and model size.
    validation
        Instructions whose loss is logged.
    start
        Folder of a trained model, or of its training, to start from instead of random weights.
    progress
        Called with each line of the log.

    Returns
    -------
    TrainingResult
        The model itself is in ``folder / 'model'``, loadable with ``transformers``.
    """
    settings = settings or LoopSettings()
    size = size or BaseSize()
    if start is None:
        tokenizer: Any = build_tokenizer(instructions.text_format)
        model: Any = build_base_model(tokenizer, size, seed=settings.seed)
    else:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place = base_place(str(start))
        check_file(place, str(start), "model", MODEL_CONFIG)
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(place, trust_remote_code=False).float()
        add_dropout(model, size.dropout)
    return fit(
        model,
        tokenizer,
        instructions,
        settings,
        folder,
        validation=validation,
        save=lambda place: save_base(model, tokenizer, place / "model"),
        progress=progress,
    )


def save_base(
    model: Any,
    tokenizer: Any,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    copy_bias: float = 0.0,
) -> None:
    """Write a model as ``transformers`` reads it: configuration, safetensors, tokenizer.

    Parameters
    ----------
    model, tokenizer
        Model and tokenizer to be saved.
    folder
        Where.
    dtype
        Precision of the written weights; None for the model's own.
    copy_bias
        Copy bias (nats) with which the model is meant to be used, see
        `crystalicl_jobflow.schemas.SamplingParams`.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.9,
        top_p=0.9,
        **({"copy_bias": copy_bias} if copy_bias else {}),
    )
    if dtype is not None:
        from copy import deepcopy

        model = deepcopy(model).to(dtype)
    with without_bars():
        model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _smooth_numbers(model: Any, tokenizer: Any, generator: torch.Generator) -> None:
    """Initialise the embeddings of numbers as smooth random functions of their values.

    A length that occurs in only two of thousands of crystals then profits from its neighbours.
    Random Fourier features over several scales; coordinates are periodic.
    """
    import torch

    weight = model.get_input_embeddings().weight
    vocabulary = tokenizer.get_vocab()
    width = weight.shape[1]
    by_kind: dict[str, list[tuple[int, float]]] = {}
    for kind, word, value in number_words():
        if word in vocabulary:
            by_kind.setdefault(kind, []).append((vocabulary[word], value))
    spread = float(weight.detach().std())
    for kind, entries in by_kind.items():
        values = torch.tensor([value for _, value in entries])
        if kind == "coordinate":
            waves = torch.randint(0, 13, (width,), generator=generator).float()
        else:
            # logarithmic: wave lengths from ~0.3 to ~30 units of the value
            scale = 1.0 if kind == "length" else 10.0
            waves = 10 ** (torch.rand(width, generator=generator) * 2 - 1.5) / scale
        phases = torch.rand(width, generator=generator)
        features = torch.cos(2 * torch.pi * (values[:, None] * waves + phases)) * 2**0.5
        ids = torch.tensor([token for token, _ in entries])
        with torch.no_grad():
            weight[ids] = spread * (0.95 * features + 0.3 * weight[ids] / spread)
