"""The loop that trains base models and adapters alike: resumable, in bounded time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.training.batches import IGNORED, EncodedRow, InstructionBatches, collate

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
ARGUMENTS = "training_args.json"


@dataclass(frozen=True)
class LoopSettings:
    """How a training runs.

    Parameters
    ----------
    learning_rate
        Peak learning rate.
    optimizer
        'adamw' or 'muon'.
    schedule
        'cosine' to nothing, or 'stable': constant, and linear to nothing over the last
        ``decay_share``.
    warmup_steps
        Steps of linear warm-up.
    decay_share
        Of the whole training, for 'stable'.
    weight_decay, max_grad_norm
        Regularisation.
    epochs
        Passes over the instruction set.
    time_limit
        Seconds of training, at most; None for no limit. With a limit the schedule follows
        the clock where that is ahead of the epochs, so that it always ends annealed.
    tokens_per_batch, max_tokens
        Tokens in a batch, padding included, and in a row.
    learn_examples
        Whether crystals shown in prompts are learned too.
    checkpoint_every
        Seconds between checkpoints.
    log_every
        Steps between lines of the log.
    seed
        Seed of weights, dropout and instructions.
    threads
        Torch threads; None leaves torch's own choice.
    """

    learning_rate: float = 2e-3
    optimizer: str = "muon"
    schedule: str = "stable"
    warmup_steps: int = 40
    decay_share: float = 0.3
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    epochs: int = 8
    time_limit: float | None = None
    tokens_per_batch: int = 4096
    max_tokens: int = 512
    learn_examples: bool = True
    checkpoint_every: float = 240.0
    log_every: int = 20
    seed: int = 0
    threads: int | None = None


@dataclass
class TrainingState:
    """How far a training has come; everything needed to go on from there."""

    step: int = 0
    epoch: int = 0
    chunk: int = 0
    batch: int = 0
    tokens: int = 0
    learned_tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave."""

    state: TrainingState
    finished: bool
    folder: Path


def learning_rate_factor(progress: float, step: int, settings: LoopSettings) -> float:
    """Return the share of the peak learning rate.

    Parameters
    ----------
    progress
        Share of the training that is done, 0 to 1.
    step
        Steps done, for the warm-up.
    settings
        Schedule.
    """
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    progress = min(1.0, max(0.0, progress))
    if settings.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * progress))
    left = (1.0 - progress) / max(1e-9, settings.decay_share)
    return warm * min(1.0, left)


def response_loss(model: Any, token_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats per token) of the learned tokens.

    Parameters
    ----------
    model
        A causal language model of ``transformers``, with or without a peft adapter.
    token_ids, labels
        Shape (rows, longest), as `collate` gives them.
    """
    import torch

    # hidden states first, logits only where something is learned: the vocabulary is the
    # widest layer, and prompts need none of it
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = causal.base_model
    hidden = body(input_ids=token_ids, use_cache=False).last_hidden_state
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = causal.get_output_embeddings()(hidden[:, :-1][learned])
    return torch.nn.functional.cross_entropy(logits.float(), targets[learned])


def evaluate_loss(model: Any, batches: Sequence[list[EncodedRow]], pad_id: int) -> float:
    """Return the mean loss per learned token, in nats, without dropout."""
    import torch

    training = model.training
    model.eval()
    total, count = 0.0, 0
    device = next(model.parameters()).device
    with torch.no_grad():
        for rows in batches:
            token_ids, labels = (item.to(device) for item in collate(rows, pad_id))
            number = int((labels[:, 1:] != IGNORED).sum())
            if number:
                total += float(response_loss(model, token_ids, labels)) * number
                count += number
    model.train(training)
    return total / max(1, count)


def train(
    model: Any,
    batches: InstructionBatches,
    settings: LoopSettings,
    folder: str | Path,
    *,
    validation: Sequence[list[EncodedRow]] = (),
    save: Callable[[Path], None] | None = None,
    resume: bool = True,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a model's trainable parameters.

    Parameters
    ----------
    model
        A causal language model of ``transformers``; a peft model trains its adapter only.
    batches
        What is learned.
    settings
        How.
    folder
        Where checkpoint, log and arguments go.
    validation
        Batches whose loss is logged at every checkpoint.
    save
        Called with the folder at every checkpoint, to write a loadable model.
    resume
        Whether to go on from a checkpoint in the folder. Without a time limit, a resumed
        training is step by step the one that was not interrupted.
    progress
        Called with each line of the log.

    Returns
    -------
    TrainingResult
        ``finished`` tells whether the schedule came to its end.
    """
    import torch

    from crystalicl_jobflow.training.optimizers import build_optimizers

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)
    optimizers = build_optimizers(
        model,
        name=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    state = TrainingState()
    if resume and (folder / CHECKPOINT).is_file():
        state = _load(folder / CHECKPOINT, model, optimizers)
    device = next(model.parameters()).device
    pad_id = batches.tokenizer.pad_token_id
    _write_arguments(folder, settings, batches, model)
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    running: list[float] = []

    def checkpoint(*, validate: bool = True) -> None:
        state.seconds = time.monotonic() - started
        if validation and validate:
            loss = evaluate_loss(model, validation, pad_id)
            _log(folder, state, {"validation_loss": loss}, progress)
        _save(folder / CHECKPOINT, model, optimizers, state)
        if save is not None:
            save(folder)

    model.train()
    while state.epoch < settings.epochs:
        chunks = batches.chunks(state.epoch)
        if state.chunk >= chunks:
            state.epoch, state.chunk, state.batch = state.epoch + 1, 0, 0
            continue
        rows = batches.batches(state.epoch, state.chunk)
        while state.batch < len(rows):
            state.seconds = time.monotonic() - started
            done = (state.chunk + state.batch / len(rows)) / chunks
            share = (state.epoch + done) / settings.epochs
            if settings.time_limit is not None:
                share = max(share, state.seconds / settings.time_limit)
            if share >= 1.0:
                checkpoint()
                return TrainingResult(state, True, folder)
            factor = learning_rate_factor(share, state.step, settings)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * factor
            # dropout depends on the step alone, so that a resumed training is the same
            torch.manual_seed(settings.seed * 1_000_003 + state.step)
            batch = rows[state.batch]
            token_ids, labels = (item.to(device) for item in collate(batch, pad_id))
            state.batch += 1
            learned = int((labels[:, 1:] != IGNORED).sum())
            if not learned:
                continue
            loss = response_loss(model, token_ids, labels)
            loss.backward()
            trainable = [p for p in model.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(trainable, settings.max_grad_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.tokens += sum(len(row.token_ids) for row in batch)
            state.learned_tokens += learned
            running.append(float(loss.detach()))
            if state.step % settings.log_every == 0:
                state.seconds = time.monotonic() - started
                values = {"loss": sum(running) / len(running), "lr": factor, "share": share}
                _log(folder, state, values, progress)
                running.clear()
            if time.monotonic() - saved > settings.checkpoint_every:
                checkpoint()
                saved = time.monotonic()
        state.chunk, state.batch = state.chunk + 1, 0
    checkpoint()
    return TrainingResult(state, True, folder)


def _log(
    folder: Path,
    state: TrainingState,
    values: dict[str, float],
    progress: Callable[[dict[str, float]], None] | None,
) -> None:
    line = {
        "step": state.step,
        "epoch": state.epoch,
        "tokens": state.tokens,
        "learned_tokens": state.learned_tokens,
        "seconds": round(state.seconds, 1),
        **{name: round(value, 5) for name, value in values.items()},
    }
    if "validation_loss" in values:
        state.history.append(line)
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    if progress is not None:
        progress(line)


def _trainable(model: Any) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _save(path: Path, model: Any, optimizers: list[Any], state: TrainingState) -> None:
    import torch

    content = {
        "parameters": {name: p.detach() for name, p in _trainable(model).items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "state": asdict(state),
    }
    # written aside first: a training killed while it writes keeps its older checkpoint
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _load(path: Path, model: Any, optimizers: list[Any]) -> TrainingState:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    parameters = _trainable(model)
    if set(parameters) != set(content["parameters"]):
        raise ValueError(f"{path} is the checkpoint of another model")
    with torch.no_grad():
        for name, values in content["parameters"].items():
            parameters[name].copy_(values)
    for optimizer, values in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    return TrainingState(**content["state"])


def _write_arguments(
    folder: Path, settings: LoopSettings, batches: InstructionBatches, model: Any
) -> None:
    from importlib.metadata import version

    trained = sum(p.numel() for p in _trainable(model).values())
    content = {
        "settings": asdict(settings),
        "text_format": batches.instructions.text_format,
        "mixture": asdict(batches.instructions.mixture),
        "instruction_seed": batches.instructions.seed,
        "crystals": len(batches.instructions.crystals),
        "weights": batches.instructions.weights,
        "augment": batches.instructions.augment,
        "trained_parameters": trained,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    path = folder / ARGUMENTS
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
