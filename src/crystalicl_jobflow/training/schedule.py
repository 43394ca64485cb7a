"""How a training runs: its settings, and the learning rate over its course."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
        'cosine' to zero, or 'stable': constant, then linear to zero over the last
        ``decay_share``.
    warmup_steps
        Steps of linear warm-up.
    decay_share
        Share of the whole training, for 'stable'.
    weight_decay, max_grad_norm
        Regularisation.
    epochs
        Passes over the instruction set.
    time_limit
        Maximum training time in s; None for no limit. With a limit the schedule follows the clock
        if that is ahead of the epochs, so that the learning rate always decays fully.
    token_limit
        Tokens of all instructions, read and learned, after which the training ends; the
        schedule follows them likewise. Models that are compared learn from as many tokens so.
    tokens_per_batch, max_tokens
        Tokens in a batch, padding included, and in a row; longer rows are left out.
    accumulate
        Number of batches per optimiser step.
    bf16
        Whether to compute in bfloat16 where that is safe (autocast); weights and
        optimiser keep their precision.
    learn_examples
        Whether crystals shown in prompts are learned as well.
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
    token_limit: int | None = None
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
        for name in ("accumulate", "patience", "epochs", "log_every", "token_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def validates_at_checkpoints(self) -> bool:
        """Whether validations follow the clock; not if the training's result depends on them."""
        return self.validate_every is None and self.patience is None


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
