"""Several text generators combined: samples are assigned to them in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationRequest,
    Progress,
    TextGenerator,
)
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams


class SeveralGenerators:
    """Draws from several generators; with n of them, sample s comes from generator s modulo n.

    Parameters
    ----------
    generators
        At least one. Each draws its samples 0, 1, 2, … as it would on its own.
    name
        Common name, e.g. 'embedded+substitution'.
    """

    def __init__(self, generators: Sequence[TextGenerator], name: str) -> None:
        self.generators = list(generators)
        self.name = name
        self.versions: dict[str, str] = {}
        for generator in generators:
            self.versions |= dict(getattr(generator, "versions", {}))

    @property
    def info(self) -> ModelInfo:
        """The common name; each completion states which generator wrote it."""
        return ModelInfo(engine="several", base_model=self.name, dtype="none")

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        """Draw the texts; see `TextGenerator.generate`."""
        share = len(self.generators)
        answers: list[dict[int, Completion]] = [{} for _ in requests]
        done = 0
        for turn, generator in enumerate(self.generators):
            hand = _Hand(requests, share, turn, generator.info, answers, on_completion)
            report = None if progress is None else _shifted(progress, done, requests)
            drawn = generator.generate(
                hand.requests, sampling, accept=accept, progress=report, on_completion=hand.keep
            )
            for index, completions in enumerate(drawn):
                for completion in completions:
                    hand.keep(index, completion)
            done += sum(request.num_samples for request in hand.requests)
        return [
            [row[sample] for sample in range(request.num_samples)]
            for row, request in zip(answers, requests, strict=True)
        ]


class _Hand:
    """The samples of one generator, and their indices among all."""

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        share: int,
        turn: int,
        info: ModelInfo,
        answers: list[dict[int, Completion]],
        on_completion: CompletionCallback | None,
    ) -> None:
        self.info, self.answers, self.on_completion = info, answers, on_completion
        self.places: list[tuple[int, list[int]]] = []
        self.requests: list[GenerationRequest] = []
        for place, request in enumerate(requests):
            first = request.first_sample
            mine = [s for s in range(request.num_samples) if (first + s) % share == turn]
            if mine:
                self.places.append((place, mine))
                self.requests.append(
                    replace(request, num_samples=len(mine), first_sample=(first + mine[0]) // share)
                )

    def keep(self, index: int, completion: Completion) -> None:
        """Put a sample in its place, and report it once."""
        place, samples = self.places[index]
        sample = samples[completion.sample_index]
        if sample in self.answers[place]:
            return
        changes = {"request_index": place, "sample_index": sample, "model": self.info}
        self.answers[place][sample] = completion.model_copy(update=changes)
        if self.on_completion is not None:
            self.on_completion(place, self.answers[place][sample])


def _shifted(progress: Progress, before: int, requests: Sequence[GenerationRequest]) -> Progress:
    total = sum(request.num_samples for request in requests)
    return lambda done, _of: progress(before + done, total)
