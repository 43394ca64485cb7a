"""The loop that trains base models and adapters alike: resumable, in bounded time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.batches import EncodedRow, InstructionBatches
from crystalicl_jobflow.training.gradients import (
    compute_gradients,
    count_learned,
    evaluate_loss,
    response_loss,
)
from crystalicl_jobflow.training.progress import draw_loss_curve
from crystalicl_jobflow.training.record import record_arguments
from crystalicl_jobflow.training.state import (
    BEST,
    CHECKPOINT,
    TrainingState,
    append_log,
    load_checkpoint,
    restore_best,
    rewind_log,
    save_checkpoint,
)

__all__ = [
    "LoopSettings",
    "TrainingResult",
    "TrainingState",
    "learning_rate_factor",
    "response_loss",
    "train",
]

REDRAW_AFTER = 60.0
"""Shortest time (s) between two drawings of the loss curve while a training runs."""


@dataclass(frozen=True)
class LoopSettings:
    """How a training runs.

    Parameters
    ----------
    learning_rate
        Peak learning rate.
    optimizer
        'adamw', 'muon', or 'paged_adamw' (bitsandbytes, on a GPU: its state may leave the
        GPU's memory).
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
        Tokens in a batch, padding included, and in a row; longer rows are left out.
    accumulate
        Batches of one optimiser step.
    bf16
        Whether to compute in bfloat16 where that is safe (autocast); weights and
        optimiser keep their precision.
    learn_examples
        Whether crystals shown in prompts are learned too.
    checkpoint_every
        Seconds between checkpoints.
    validate_every
        Steps between validations; 0 for one after every epoch. None: at every checkpoint,
        or after every epoch where there is a patience.
    patience
        Validations in a row without a better one after which the training stops, and its
        best model becomes its result; None for never.
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
    accumulate: int = 1
    bf16: bool = False
    learn_examples: bool = True
    checkpoint_every: float = 240.0
    validate_every: int | None = None
    patience: int | None = None
    log_every: int = 20
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("accumulate", "patience", "epochs", "log_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def validates_at_checkpoints(self) -> bool:
        """Whether validations follow the clock; they cannot where they decide anything."""
        return self.validate_every is None and self.patience is None


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Parameters
    ----------
    state
        Where it ended.
    finished
        Whether it came to its end: of the schedule, or of the patience.
    folder
        Where it lives.
    """

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
        Where checkpoint, log, loss curve and models go.
    validation
        Batches whose loss is measured; the best model is kept in ``folder / 'best'``.
    save
        Called with a folder to write a loadable model into it: at every checkpoint, and
        for the best.
    resume
        Whether to go on from a checkpoint in the folder. Without a time limit, a resumed
        training is step by step the one that was not interrupted.
    progress
        Called with each line of the log.

    Returns
    -------
    TrainingResult
        With ``patience``, what ``save`` wrote into the folder is the best model,
        otherwise the last.

    Raises
    ------
    ValueError
        If there is nothing to learn, a patience without a validation, a checkpoint of
        another model, a row too large for the memory, or a loss that is no number.
    """
    if settings.patience is not None and not validation:
        raise ValueError("early stopping (patience) needs a validation share")
    training = _Training(model, batches, settings, Path(folder), validation, save, progress)
    if resume:
        training.resume()
    rows = sum(map(len, validation))
    record_arguments(training.folder, settings, batches, model, validation_rows=rows)
    return training.run()


class _Training:
    """One run of a training."""

    def __init__(
        self,
        model: Any,
        batches: InstructionBatches,
        settings: LoopSettings,
        folder: Path,
        validation: Sequence[list[EncodedRow]],
        save: Callable[[Path], None] | None,
        progress: Callable[[dict[str, float]], None] | None,
    ) -> None:
        import torch

        from crystalicl_jobflow.training.optimizers import build_optimizers

        self.model, self.batches, self.settings = model, batches, settings
        self.validation, self.save, self.progress = validation, save, progress
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.set_flush_denormal(True)
        self.optimizers = build_optimizers(
            model,
            name=settings.optimizer,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.state = TrainingState()
        self.pad_id = batches.tokenizer.pad_token_id
        self.running: list[float] = []
        self.started = self.saved = time.monotonic()
        self.drawn = -math.inf

    def resume(self) -> None:
        path = self.folder / CHECKPOINT
        if path.is_file():
            self.state = load_checkpoint(path, self.model, self.optimizers)
            rewind_log(self.folder, self.state.step)
            self.started = time.monotonic() - self.state.seconds

    def run(self) -> TrainingResult:
        state, settings = self.state, self.settings
        self.model.train()
        while state.epoch < settings.epochs and not state.stopped:
            chunks = self.batches.chunks(state.epoch)
            if not chunks:
                raise ValueError("there is nothing to learn")
            if state.chunk >= chunks:
                state.epoch, state.chunk, state.batch = state.epoch + 1, 0, 0
                if self._validates_after_epochs():
                    self._validate()
                continue
            rows = self.batches.batches(state.epoch, state.chunk)
            if state.batch == 0:
                state.left_out += self.batches.left_out(state.epoch, state.chunk, rows)
            for group in self._groups(rows):
                share = self._share(len(rows), chunks)
                if share >= 1.0:
                    return self._finish()
                self._step(group, share)
                if settings.validate_every and state.step % settings.validate_every == 0:
                    self._validate()
                if state.stopped:
                    return self._finish()
                if time.monotonic() - self.saved > settings.checkpoint_every:
                    self._checkpoint()
            state.chunk, state.batch = state.chunk + 1, 0
        if not state.step:
            most = settings.max_tokens
            raise ValueError(f"there is nothing to learn: no instruction fits into {most} tokens")
        return self._finish()

    def _validates_after_epochs(self) -> bool:
        every = self.settings.validate_every
        return every == 0 or (every is None and self.settings.patience is not None)

    def _groups(self, rows: list[list[EncodedRow]]) -> Iterator[list[list[EncodedRow]]]:
        """Yield the batches of each step from where the state stands, and move it on."""
        state = self.state
        while state.batch < len(rows):
            group = rows[state.batch : state.batch + self.settings.accumulate]
            if any(count_learned(batch) for batch in group):
                yield group
            else:
                state.batch += len(group)

    def _share(self, batches: int, chunks: int) -> float:
        """Return the share of the training that is done."""
        state, settings = self.state, self.settings
        state.seconds = time.monotonic() - self.started
        done = (state.chunk + state.batch / batches) / chunks
        share = (state.epoch + done) / settings.epochs
        if settings.time_limit is not None:
            share = max(share, state.seconds / settings.time_limit)
        return share

    def _step(self, group: list[list[EncodedRow]], share: float) -> None:
        import torch

        state, settings = self.state, self.settings
        factor = learning_rate_factor(share, state.step, settings)
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = settings.learning_rate * factor
        found = compute_gradients(
            self.model,
            group,
            self.pad_id,
            seed=settings.seed * 1_000_003 + state.step,
            splits=state.splits,
            bf16=settings.bf16,
        )
        if not math.isfinite(found.loss):
            raise ValueError(
                f"the loss is {found.loss} at step {state.step}: lower the learning rate"
            )
        trainable = [p for p in self.model.parameters() if p.grad is not None]
        torch.nn.utils.clip_grad_norm_(trainable, settings.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        state.batch += len(group)
        state.step += 1
        state.tokens += sum(len(row.token_ids) for batch in group for row in batch)
        state.learned_tokens += sum(map(count_learned, group))
        self.running.append(found.loss)
        if found.splits != state.splits:
            state.splits = found.splits
            self._log({"splits": found.splits})
        if state.step % settings.log_every == 0:
            self._log_loss(factor, share)

    def _log_loss(self, factor: float, share: float) -> None:
        loss = sum(self.running) / len(self.running)
        self._log({"loss": loss, "lr": factor, "share": share})
        self.running.clear()

    def _log(self, values: dict[str, float]) -> None:
        state = self.state
        state.seconds = time.monotonic() - self.started
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
        append_log(self.folder, line)
        if self.progress is not None:
            self.progress(line)

    def _validate(self) -> None:
        state = self.state
        known = state.history[-1]["step"] if state.history else None
        if not self.validation or known == state.step:
            return
        loss = evaluate_loss(self.model, self.validation, self.pad_id, bf16=self.settings.bf16)
        self._log({"validation_loss": loss})
        if state.best_loss is None or loss < state.best_loss:
            state.best_loss, state.best_step, state.stale = loss, state.step, 0
            if self.save is not None:
                self.save(self.folder / BEST)
            return
        state.stale += 1
        patience = self.settings.patience
        state.stopped = patience is not None and state.stale >= patience

    def _checkpoint(self) -> None:
        if self.settings.validates_at_checkpoints:
            self._validate()
        self.state.seconds = time.monotonic() - self.started
        save_checkpoint(self.folder / CHECKPOINT, self.model, self.optimizers, self.state)
        if self.save is not None:
            self.save(self.folder)
        if time.monotonic() - self.drawn > REDRAW_AFTER:
            self._draw()
        self.saved = time.monotonic()

    def _finish(self) -> TrainingResult:
        if self.running:  # steps since the last line
            self._log_loss(0.0, 1.0)
        self._validate()
        self._checkpoint()
        if self.settings.patience is not None and (self.folder / BEST).is_dir():
            restore_best(self.folder)
        self._draw()
        return TrainingResult(self.state, True, self.folder)

    def _draw(self) -> None:
        draw_loss_curve(self.folder)
        self.drawn = time.monotonic()
