"""The GRPO loop: write, reward, learn; resumable, with an optional time limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.training.checkpoints import (
    CHECKPOINT,
    TrainingState,
    append_log,
    load_checkpoint,
    rewind_log,
    save_checkpoint,
)
from crystalicl_jobflow.training.grpo.crystal_prompts import Prompts
from crystalicl_jobflow.training.grpo.curves import draw_reward_curve
from crystalicl_jobflow.training.grpo.policy import (
    DrawnText,
    Reference,
    batches_of,
    draw_texts,
    log_probs,
)
from crystalicl_jobflow.training.grpo.rewards import (
    Rewarder,
    RewardFunction,
    advantages,
    match,
)
from crystalicl_jobflow.training.grpo.settings import GRPOSettings
from crystalicl_jobflow.utils.files import write_json
from crystalicl_jobflow.utils.torch_runtime import torch_threads

MEASURED_TEMPERATURE = 0.3
"""Temperature of the single draws with which the match rate is measured."""

GRPO_ARGUMENTS = "grpo_args.json"
"""Settings, reward and start of a GRPO training."""


@dataclass(frozen=True)
class GRPOResult:
    """Result of a GRPO training.

    Parameters
    ----------
    state
        Final state.
    folder
        Folder of the training.
    before, after
        Measurements on held-out crystals before and after: ``match`` (single draws at a low
        temperature whose crystal is the known one, share) and ``crystals``, their number; empty
        without any.
    """

    state: TrainingState
    folder: Path
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


def tune_with_rewards(
    model: Any,
    tokenizer: Any,
    prompts: Prompts,
    folder: str | Path,
    *,
    reward: RewardFunction,
    settings: GRPOSettings | None = None,
    held_out: Prompts | None = None,
    save: Callable[[Path], None] | None = None,
    **recording: Any,
) -> GRPOResult:
    """Train a model's trainable parameters by GRPO.

    Each step draws prompts, writes a group of texts for each, rewards them, and takes one step
    along the gradient of the mean over the texts of ``advantage · log p - kl_weight · KL``, each
    averaged over the text's tokens. The advantage is the reward normalised within its group;
    the divergence is that of Schulman's third estimator from the model at the start.

    Parameters
    ----------
    model
        A causal language model of ``transformers``; a peft model trains its adapter only.
    tokenizer
        Its tokenizer.
    prompts
        What is asked for.
    folder
        Where checkpoint, log, reward curve and model go. A training that was interrupted there
        continues, step by step the one that was not.
    reward
        Of a text, see `find_reward`.
    settings
        How it runs.
    held_out
        Crystals for which the match rate is measured before and after.
    save
        Called with a folder to write a loadable model into it, at every checkpoint.
    **recording
        ``record``: kept beside the settings in the folder; ``progress``: called with each line
        of the log.

    Returns
    -------
    GRPOResult

    Raises
    ------
    ValueError
        If there is no crystal to ask for, or the folder holds another training.
    """
    if not prompts.crystals:
        raise ValueError("there is no crystal to ask for")
    run = _Tuning(model, tokenizer, prompts, Path(folder), reward, settings or GRPOSettings())
    run.held_out, run.save = held_out, save
    run.progress = recording.pop("progress", None)
    run.resume(recording.pop("record", {}))
    with torch_threads(run.settings.threads):
        return run.run()


class _Tuning:
    """One run of a GRPO training."""

    held_out: Prompts | None
    save: Callable[[Path], None] | None
    progress: Callable[[dict[str, float]], None] | None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Prompts,
        folder: Path,
        reward: RewardFunction,
        settings: GRPOSettings,
    ) -> None:
        self.model, self.prompts = model, prompts
        self.folder, self.settings = folder, settings
        self.causal = CausalModel(model, tokenizer)
        self.rewarder = Rewarder(reward, workers=settings.workers)
        self.reference = Reference(model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, weight_decay=0.0
        )
        self.state = TrainingState()
        self.before: dict[str, float] = {}
        self.started = self.saved = time.monotonic()

    def resume(self, record: dict[str, Any]) -> None:
        """Continue from the folder's checkpoint, if it has one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        if path.is_file():
            self.state = load_checkpoint(path, self.model, [self.optimizer])
            rewind_log(self.folder, self.state.step)
            self.started = time.monotonic() - self.state.seconds
            self.before = dict(self.state.history[0]) if self.state.history else {}
        write_json(self.folder / GRPO_ARGUMENTS, {**record, **asdict(self.settings)})

    def run(self) -> GRPOResult:
        state, settings = self.state, self.settings
        if not state.history and self.held_out is not None:
            self.before = self._measure()
        while (share := self._share()) < 1.0:
            self._step(share)
            every = settings.validate_every
            if every and state.step % every == 0 and self._share() < 1.0:
                self._measure()
            if time.monotonic() - self.saved > settings.checkpoint_every:
                self._checkpoint()
        after = self._measure() if self.held_out is not None else {}
        self._checkpoint()
        return GRPOResult(state, self.folder, _figures(self.before), _figures(after))

    def _share(self) -> float:
        state, settings = self.state, self.settings
        state.seconds = time.monotonic() - self.started
        share = state.step / settings.steps
        if settings.time_limit is not None:
            share = max(share, state.seconds / settings.time_limit)
        return share

    def _step(self, share: float) -> None:
        state, settings = self.state, self.settings
        rng = random.Random(f"{settings.seed}:{state.step}")
        crystals = self.prompts.crystals
        places = rng.sample(range(len(crystals)), min(settings.prompts, len(crystals)))
        seed = settings.seed * 1_000_003 + state.step
        groups = self._write(self.prompts, places, settings.group_size, seed=seed)
        texts = [text for group in groups for text in group]
        attempts = [
            self.prompts.attempt(place, text)
            for place, group in zip(places, groups, strict=True)
            for text in group
        ]
        rewards = self.rewarder.rewards(attempts)
        size = settings.group_size
        by_group = [rewards[start : start + size] for start in range(0, len(rewards), size)]
        gains = [advantages(group) for group in by_group]
        flat = [gain for group in gains for gain in group]
        divergence = self._learn(texts, flat, settings.learning_rate_at(state.step, share))
        state.step += 1
        state.tokens += sum(len(text.written) for text in texts)
        state.learned_tokens = state.tokens
        known = [reward for reward in rewards if reward is not None]
        self._log(
            {
                "reward": fmean(known) if known else 0.0,
                "rewarded": len(known) / len(rewards),
                "learned_groups": sum(map(any, gains)) / len(gains),
                "kl": divergence,
                "length": fmean(len(text.written) for text in texts),
                "share": share,
            }
        )

    def _write(
        self, prompts: Prompts, places: Sequence[int], samples: int, *, seed: int, **other: Any
    ) -> list[list[DrawnText]]:
        settings = self.settings
        options = {"temperature": settings.temperature, "top_p": 1.0, **other}
        sampling = SamplingParams(
            seed=seed, max_new_tokens=settings.max_new_tokens, max_redraws=0, **options
        )
        requests = [prompts.request(place, samples, seed=seed) for place in places]
        with _evaluating(self.model):
            return draw_texts(self.causal, requests, sampling, batch_size=settings.batch_size)

    def _learn(self, texts: list[DrawnText], gains: list[float], rate: float) -> float:
        """Take a step; return the mean divergence from the start, nats per token."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        divergences = []
        # dropout would give other probabilities than those with which the texts were drawn
        with _evaluating(self.model):
            for batch in batches_of(texts, settings.tokens_per_batch):
                chosen = [texts[place] for place in batch]
                with torch.no_grad(), self.reference.in_place(self.model):
                    start = self._log_probs(chosen)
                own = self._log_probs(chosen)
                loss = torch.zeros((), device=own[0].device)
                for place, now, before in zip(batch, own, start, strict=True):
                    # the gradient of the ratio to the probability with which it was drawn, at 1
                    ratio = torch.exp(now - now.detach())
                    gap = before - now
                    divergence = torch.exp(gap) - gap - 1
                    value = gains[place] * ratio - settings.kl_weight * divergence
                    loss = loss - value.mean() / len(texts)
                    divergences.append(float(divergence.detach().mean()))
                loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return fmean(divergences)

    def _log_probs(self, texts: list[DrawnText]) -> list[torch.Tensor]:
        return log_probs(self.model, texts, self.causal.vocabulary, self.settings.temperature)

    def _measure(self) -> dict[str, float]:
        """Measure the match rate of single draws on the held-out crystals."""
        held_out = self.held_out
        assert held_out is not None
        places = range(len(held_out.crystals))
        drawn = self._write(
            held_out, places, 1, seed=0, temperature=MEASURED_TEMPERATURE, top_p=0.9
        )
        attempts = [
            held_out.attempt(place, text) for place, (text,) in zip(places, drawn, strict=True)
        ]
        found = Rewarder(match, workers=self.settings.workers).rewards(attempts)
        rate = fmean(value or 0.0 for value in found)
        line = self._log({"match": rate, "crystals": len(found)})
        self.state.history.append(line)
        return line

    def _log(self, values: dict[str, float]) -> dict[str, float]:
        state = self.state
        state.seconds = time.monotonic() - self.started
        line = {
            "step": state.step,
            "tokens": state.tokens,
            "seconds": round(state.seconds, 1),
            **{name: round(value, 6) for name, value in values.items()},
        }
        append_log(self.folder, line)
        if self.progress is not None:
            self.progress(line)
        return line

    def _checkpoint(self) -> None:
        self.state.seconds = time.monotonic() - self.started
        save_checkpoint(self.folder / CHECKPOINT, self.model, [self.optimizer], self.state)
        if self.save is not None:
            self.save(self.folder)
        draw_reward_curve(self.folder)
        self.saved = time.monotonic()


def _figures(line: dict[str, float]) -> dict[str, float]:
    return {name: line[name] for name in ("match", "crystals") if name in line}


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch dropout off for a while."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
