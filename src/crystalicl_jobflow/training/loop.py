"""The training loop for base models and adapters: resumable, with optional time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.checkpoints import (
    BEST,
    CHECKPOINT,
    TrainingState,
    append_log,
    load_checkpoint,
    restore_best,
    rewind_log,
    save_checkpoint,
)
from crystalicl_jobflow.training.data.batches import (
    EncodedRow,
    InstructionBatches,
    InstructionSource,
)
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.gradients import (
    compute_gradients,
    count_learned,
    evaluate_loss,
    response_loss,
)
from crystalicl_jobflow.training.progress import draw_loss_curve
from crystalicl_jobflow.training.provenance import record_arguments
from crystalicl_jobflow.training.schedule import LoopSettings, learning_rate_factor

__all__ = [
    "LoopSettings",
    "TrainingResult",
    "TrainingState",
    "fit",
    "learning_rate_factor",
    "response_loss",
    "train",
]

REDRAW_AFTER = 60.0
"""Minimum time (s) between two updates of the loss curve during training."""


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training.

    Parameters
    ----------
    state
        Final state.
    finished
        Whether it is complete, by the schedule or by the patience.
    folder
        Folder of the training.
    """

    state: TrainingState
    finished: bool
    folder: Path


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
        Whether to continue from a checkpoint in the folder. Without a time limit, a resumed
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
        another model, a row too large for the memory, or a loss that is not a number.
    """
    import torch

    if settings.patience is not None and not validation:
        raise ValueError("early stopping (patience) needs a validation share")
    training = _Training(model, batches, settings, Path(folder), validation, save, progress)
    if resume:
        training.resume()
    rows = sum(map(len, validation))
    record_arguments(training.folder, settings, batches, model, validation_rows=rows)
    # numbers below the least normal one cost a hundred times as much, and teach nothing
    torch.set_flush_denormal(True)
    try:
        return training.run()
    finally:
        torch.set_flush_denormal(False)  # other code of this process may need them


def fit(
    model: Any,
    tokenizer: Any,
    instructions: InstructionSource,
    settings: LoopSettings,
    folder: str | Path,
    *,
    validation: Sequence[Instruction] = (),
    save: Callable[[Path], None] | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a model on instructions: `train` with batches according to the settings.

    Parameters
    ----------
    model, settings, folder, save, progress
        As in `train`.
    tokenizer
        A fast ``transformers`` tokenizer with pad and end tokens.
    instructions
        What is learned.
    validation
        Instructions whose loss is measured.
    """
    batches = InstructionBatches(
        instructions,
        tokenizer,
        tokens_per_batch=settings.tokens_per_batch,
        max_tokens=settings.max_tokens,
        examples=settings.learn_examples,
    )
    return train(
        model,
        batches,
        settings,
        folder,
        validation=batches.fixed(validation),
        save=save,
        progress=progress,
    )


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
        """Yield the batches of each step, starting from the state, and update it."""
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
        if settings.token_limit is not None:
            share = max(share, state.tokens / settings.token_limit)
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
