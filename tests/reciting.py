"""A text generator that recites known crystals, for tests of what lies around models."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from crystalicl_jobflow.generation import (
    AcceptText,
    CompletionCallback,
    GenerationRequest,
)
from crystalicl_jobflow.generation.first_choice import FirstChoice
from crystalicl_jobflow.generation.search.rollouts import Beginning, Rollout
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams
from crystalicl_jobflow.utils.progress import Progress

PEROVSKITE = (
    "Pm-3m\n3.9 3.9 3.9\n90 90 90\nCa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50"
)
ROCK_SALT = "Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
NO_CRYSTAL = "I am sorry, I cannot draw crystals."
OVERLAPPING = "P1\n4.0 4.0 4.0\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.01 0.00 0.00"
TEXTS = (PEROVSKITE, ROCK_SALT, NO_CRYSTAL, OVERLAPPING)


class RecitingGenerator:
    """Answers with one of a few texts, chosen by seed, key, sample and attempt.

    Shorter texts are the more probable ones.
    """

    def __init__(self, texts: Sequence[str] = TEXTS, *, log_probs: bool = True) -> None:
        self.texts = texts
        self.log_probs = log_probs
        self.calls: list[list[GenerationRequest]] = []

    @property
    def versions(self) -> dict[str, str]:
        return {}

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(engine="reciting", base_model="texts")

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        self.calls.append(list(requests))
        answers: list[list[Completion]] = [[] for _ in requests]
        for index, request in enumerate(requests):
            for sample in range(request.num_samples):
                answers[index].append(self._sample(request, index, sample, sampling, accept))
                if on_completion is not None:
                    on_completion(index, answers[index][-1])
        if progress is not None:
            total = sum(request.num_samples for request in requests)
            progress(total, total)
        return answers

    def rollouts(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        width: int,
        accept: AcceptText | None = None,
    ) -> RecitingRollouts:
        """Begin a session of a search."""
        return RecitingRollouts(self, requests, sampling, width)

    def _sample(
        self,
        request: GenerationRequest,
        index: int,
        sample: int,
        sampling: SamplingParams,
        accept: AcceptText | None,
    ) -> Completion:
        rejected: Counter[str] = Counter()
        tokens_drawn = 0
        for attempt in range(sampling.max_redraws + 1):
            name = f"{sampling.seed}/{request.key}/{request.first_sample + sample}/{attempt}"
            number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
            text = response_text(self.texts[number % len(self.texts)])
            tokens_drawn += len(text.split())
            reason = None if accept is None else accept(text, request)
            if reason is None or attempt == sampling.max_redraws:
                break
            rejected[reason.value] += 1
        return Completion(
            request_index=index,
            sample_index=sample,
            text=text,
            finished=True,
            num_tokens=len(text.split()),
            attempts=attempt + 1,
            rejected=dict(rejected),
            constraint=None if request.constraint is None else request.constraint.describe(),
            log_prob=-0.1 * len(text) if self.log_probs else None,
            flaw=reason,
            draws=attempt + 1,
            tokens_drawn=tokens_drawn,
        )


class RecitingRollouts:
    """Texts of one token and an end: the number of the text among those that are recited."""

    END = -1
    end_ids = frozenset({END})

    def __init__(
        self,
        generator: RecitingGenerator,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        width: int,
    ) -> None:
        self.generator, self.requests, self.sampling, self.width = (
            generator, requests, sampling, width,
        )  # fmt: skip

    def write(self, beginnings: Sequence[Beginning]) -> list[Rollout]:
        """Recite the texts that begin as asked, or one by chance."""
        found = []
        count = len(self.generator.texts)
        for item in beginnings:
            name = f"{self.sampling.seed}/{self.requests[item.place].key}/{item.number}"
            number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % count
            number = item.tokens[0] if item.tokens else number
            text = response_text(self.generator.texts[number])
            completion = Completion(
                request_index=0,
                sample_index=0,
                text=text,
                finished=True,
                num_tokens=1,
                log_prob=-0.1 * len(text),
            )
            places = tuple(range(count))[: self.width]
            choice = None if item.tokens else FirstChoice(0, places, (0.0,) * len(places))
            found.append(Rollout(completion, (number, self.END), choice))
        return found

    def forget(self, place: int) -> None:
        """Do nothing."""


class Dying(RecitingGenerator):
    """Dies after a number of samples, as a killed process does; counts what it is asked."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after = after

    def _sample(self, *arguments: Any) -> Completion:
        if self.after == 0:
            raise KeyboardInterrupt
        if self.after is not None:
            self.after -= 1
        return super()._sample(*arguments)

    @property
    def asked(self) -> list[tuple[str, int]]:
        """Key and number of every sample that was asked for."""
        return [
            (request.key, request.first_sample + sample)
            for call in self.calls
            for request in call
            for sample in range(request.num_samples)
        ]
