"""How GRPO runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GRPOSettings:
    """How GRPO runs.

    Parameters
    ----------
    group_size
        Texts per prompt (CrysText-RL: 6).
    prompts
        Prompts per step.
    steps
        Steps of the whole training.
    time_limit
        Maximum training time in s; None for no limit. The learning rate then falls to zero with
        the clock if that is ahead of the steps.
    learning_rate
        Peak learning rate of AdamW, after ``warmup_steps`` of linear warm-up; it falls linearly
        to zero.
    warmup_steps
        Steps of linear warm-up.
    kl_weight
        Weight of the Kullback-Leibler divergence from the model at the start (DeepSeekMath:
        0.04).
    max_grad_norm
        Gradients are clipped to this norm.
    temperature, max_new_tokens
        Of the texts that are rewarded.
    constrained
        Whether these texts are constrained to their condition. Their probabilities are then those
        among the allowed tokens, as they were drawn.
    shots, strategy
        Demonstrations in the prompts.
    tokens_per_batch
        Tokens, padding included, whose gradients are computed at once.
    batch_size
        Texts written at once.
    checkpoint_every
        Seconds between checkpoints.
    validate_every
        Steps between measurements on held-out crystals; 0 for none but the first and the last.
    workers
        Processes that compute rewards.
    seed
        Seed of the choice of crystals and of the texts.
    threads
        Torch threads; None leaves torch's own choice.
    """

    group_size: int = 6
    prompts: int = 8
    steps: int = 200
    time_limit: float | None = None
    learning_rate: float = 1e-5
    warmup_steps: int = 5
    kl_weight: float = 0.04
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    max_new_tokens: int = 400
    constrained: bool = True
    shots: int = 3
    strategy: str = "CE"
    tokens_per_batch: int = 4096
    batch_size: int = 48
    checkpoint_every: float = 240.0
    validate_every: int = 0
    workers: int = 1
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        lowest = {"group_size": 2, "prompts": 1, "steps": 1, "batch_size": 1, "max_new_tokens": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.kl_weight < 0:
            raise ValueError(f"kl_weight must be 0 or more, got {self.kl_weight}")

    def learning_rate_at(self, step: int, share: float) -> float:
        """Return the learning rate.

        Parameters
        ----------
        step
            Steps done.
        share
            Share of the training that is done, 0 to 1.
        """
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * max(0.0, 1.0 - share)
