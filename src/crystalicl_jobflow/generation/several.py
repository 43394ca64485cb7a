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
    TextScorer,
)
from crystalicl_jobflow.generation.substitution import SubstitutionGenerator
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams

EXTRA_SAMPLES = 2**20
"""Added to the number of a sample that a language model draws in place of substitution: its
random stream is not that of another sample."""


class SeveralGenerators:
    """Draws from several generators; with n of them, sample s comes from generator s modulo n.

    Where substitution has no further crystal, the first language model writes the sample. It
    also tells how probable the texts of substitution are.

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
        writer = self._language_model()
        # substitution first: what it cannot write is known before the language model draws
        order = sorted(range(share), key=lambda turn: not self._substitutes(turn))
        extra: list[tuple[int, int]] = []
        for turn in order:
            generator = self.generators[turn]
            hand = _Hand(requests, share, turn, generator.info, answers, on_completion)
            report = None if progress is None else _shifted(progress, done, requests)
            substitutes = self._substitutes(turn) and writer is not None
            drawn = generator.generate(
                hand.requests,
                sampling,
                accept=accept,
                progress=report,
                on_completion=None if substitutes else hand.keep,
            )
            if substitutes:
                drawn = _with_log_probs(drawn, hand.requests, writer)
            for index, completions in enumerate(drawn):
                for completion in completions:
                    if substitutes and completion.error is not None:
                        extra.append(hand.sample(index, completion))
                    else:
                        hand.keep(index, completion)
            done = sum(map(len, answers))
        if extra:
            assert writer is not None
            last = _Extra(requests, extra, writer.info, answers, on_completion)
            report = None if progress is None else _shifted(progress, done, requests)
            drawn = writer.generate(
                last.requests, sampling, accept=accept, progress=report, on_completion=last.keep
            )
            for index, (completion,) in enumerate(drawn):
                last.keep(index, completion)
        return [
            [row[sample] for sample in range(request.num_samples)]
            for row, request in zip(answers, requests, strict=True)
        ]

    def _substitutes(self, turn: int) -> bool:
        return isinstance(self.generators[turn], SubstitutionGenerator)

    def _language_model(self) -> TextGenerator | None:
        """Return the first generator that can write any number of texts."""
        return next(
            (item for item in self.generators if not isinstance(item, SubstitutionGenerator)), None
        )


class _Answers:
    """Where samples are put, and reported once."""

    def __init__(
        self,
        info: ModelInfo,
        answers: list[dict[int, Completion]],
        on_completion: CompletionCallback | None,
    ) -> None:
        self.info, self.answers, self.on_completion = info, answers, on_completion

    def put(self, place: int, sample: int, completion: Completion) -> None:
        """Put a sample in its place, and report it once."""
        if sample in self.answers[place]:
            return
        changes = {"request_index": place, "sample_index": sample, "model": self.info}
        self.answers[place][sample] = completion.model_copy(update=changes)
        if self.on_completion is not None:
            self.on_completion(place, self.answers[place][sample])


class _Hand(_Answers):
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
        super().__init__(info, answers, on_completion)
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

    def sample(self, index: int, completion: Completion) -> tuple[int, int]:
        """Return the place of the request and of the sample among all."""
        place, samples = self.places[index]
        return place, samples[completion.sample_index]

    def keep(self, index: int, completion: Completion) -> None:
        """Put a sample of this generator in its place."""
        self.put(*self.sample(index, completion), completion)


class _Extra(_Answers):
    """Samples that a language model draws in place of substitution."""

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        places: Sequence[tuple[int, int]],
        info: ModelInfo,
        answers: list[dict[int, Completion]],
        on_completion: CompletionCallback | None,
    ) -> None:
        super().__init__(info, answers, on_completion)
        self.places = list(places)
        self.requests = [
            replace(
                requests[place],
                num_samples=1,
                first_sample=EXTRA_SAMPLES + requests[place].first_sample + sample,
            )
            for place, sample in places
        ]

    def keep(self, index: int, completion: Completion) -> None:
        """Put a sample in its place."""
        self.put(*self.places[index], completion)


def _with_log_probs(
    drawn: list[list[Completion]], requests: Sequence[GenerationRequest], model: object
) -> list[list[Completion]]:
    """Add the texts' probabilities under a language model, where it can tell them."""
    if not isinstance(model, TextScorer):
        return drawn
    texts = [[item.text for item in row if item.error is None] for row in drawn]
    found = model.log_probs([request.prompt for request in requests], texts)
    scored = []
    for row, values in zip(drawn, found, strict=True):
        left = iter(values)
        scored.append(
            [
                item if item.error is not None else item.model_copy(update={"log_prob": next(left)})
                for item in row
            ]
        )
    return scored


def _shifted(progress: Progress, before: int, requests: Sequence[GenerationRequest]) -> Progress:
    total = sum(request.num_samples for request in requests)
    return lambda done, _of: progress(before + done, total)
