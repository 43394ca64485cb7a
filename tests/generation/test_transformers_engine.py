"""Texts depend on the seed and the request, not on the company they are written in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from crystalicl_jobflow.generation import (
    GenerationError,
    GenerationRequest,
    TokenVocabulary,
)
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.generation.transformers_engine.batch import ROUNDING
from crystalicl_jobflow.schemas import Completion, FailureReason, SamplingParams
from crystalicl_jobflow.utils.torch_runtime import is_out_of_memory

from .tiny import PROMPT

SAMPLING = SamplingParams(seed=7, max_new_tokens=60)
LONGER = PROMPT + "\n### Pm-3m\n### 4.2 4.2 4.2\n### 90 90 90"
REQUESTS = [
    GenerationRequest(PROMPT, num_samples=5, key="a"),
    GenerationRequest(LONGER, num_samples=4, key="b"),
    GenerationRequest(PROMPT + "\n### P1", num_samples=2, key="c"),
    GenerationRequest(PROMPT, num_samples=3, key="d"),
]


@pytest.fixture(autouse=True)
def _restore_batch_size(generator: Any) -> Iterator[None]:
    size = generator.batch_size
    yield
    generator.batch_size = size


def texts(answers: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in row] for row in answers]


class EveryOther:
    """A constraint for tests: tokens of one parity, some refused on the second look."""

    def __init__(self, parity: int, length: int = 12, *, refuse: int = 0) -> None:
        self.parity = parity
        self.length = length
        self.refuse = refuse

    def describe(self) -> str:
        return f"tokens of parity {self.parity}"

    def start(self, vocabulary: TokenVocabulary) -> EveryOtherState:
        return EveryOtherState(self, vocabulary)


class EveryOtherState:
    relaxed: tuple[str, ...] = ()
    room = 1.0

    def __init__(self, rule: EveryOther, vocabulary: TokenVocabulary) -> None:
        self.rule = rule
        self.written = 0
        self.refused: list[int] = []
        self.end = np.array(vocabulary.eos_token_ids)
        writing = [i for i, text in enumerate(vocabulary.strings) if text]
        self.ids = np.array([i for i in writing if i % 2 == rule.parity])

    def allowed(self) -> np.ndarray:
        return self.end if self.written == self.rule.length else self.ids

    def advance(self, token_id: int) -> bool:
        assert token_id in self.allowed()
        if self.rule.refuse and token_id % self.rule.refuse == 0:
            assert token_id not in self.refused, "offered again although refused here"
            self.refused.append(token_id)
            return False
        self.written += 1
        self.refused = []
        return True


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_texts_do_not_depend_on_the_batch_size(generator: Any, batch_size: int) -> None:
    requests = [*REQUESTS, GenerationRequest(PROMPT, 6, key="e", constraint=EveryOther(0))]
    expected = texts(generator.generate(requests, SAMPLING))
    generator.batch_size = batch_size
    assert texts(generator.generate(requests, SAMPLING)) == expected


def test_texts_do_not_depend_on_the_company_or_the_order(generator: Any) -> None:
    together = texts(generator.generate(REQUESTS, SAMPLING))
    assert texts(generator.generate(REQUESTS[::-1], SAMPLING)) == together[::-1]
    for request, expected in zip(REQUESTS, together, strict=True):
        assert texts(generator.generate([request], SAMPLING)) == [expected]


def test_without_a_key_the_place_in_the_list_is_the_name(generator: Any) -> None:
    first, second = texts(generator.generate([GenerationRequest(PROMPT, 3)] * 2, SAMPLING))
    assert first != second
    assert texts(generator.generate([GenerationRequest(PROMPT, 3)], SAMPLING)) == [first]


def test_samples_can_be_drawn_in_shards(generator: Any) -> None:
    (whole,) = texts(generator.generate([GenerationRequest(PROMPT, 5, key="x")], SAMPLING))
    shards = [
        GenerationRequest(PROMPT, 2, key="x"),
        GenerationRequest(PROMPT, 3, key="x", first_sample=2),
    ]
    assert list(chain(*texts(generator.generate(shards, SAMPLING)))) == whole


def test_another_seed_gives_other_texts(generator: Any) -> None:
    other = SAMPLING.model_copy(update={"seed": 8})
    assert texts(generator.generate(REQUESTS, SAMPLING)) != texts(
        generator.generate(REQUESTS, other)
    )


def test_the_global_random_state_is_neither_used_nor_changed(generator: Any) -> None:
    torch.manual_seed(1)
    first = texts(generator.generate(REQUESTS, SAMPLING))
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after
    assert texts(generator.generate(REQUESTS, SAMPLING)) == first


@pytest.mark.parametrize("top_k", [None, 40])
def test_the_distribution_is_the_models(generator: Any, top_k: int | None) -> None:
    """The first token's frequencies are those of temperature, top-k and nucleus."""
    sampling = SamplingParams(seed=0, max_new_tokens=1, temperature=0.7, top_p=0.5, top_k=top_k)
    (row,) = generator.generate([GenerationRequest(PROMPT, num_samples=4000)], sampling)
    with torch.inference_mode():
        scores = generator.causal.model(torch.tensor([generator.causal.encode(PROMPT)])).logits[
            0, -1
        ]
    logits = scores.double().clone()
    for token in generator.causal.tokenizer.all_special_ids:
        if token not in generator.causal.vocabulary.eos_token_ids:
            logits[token] = -torch.inf
    shares = torch.softmax(logits / 0.7, dim=0)
    ranked, order = shares.sort(descending=True)
    mass = float(ranked[:top_k].sum())
    nucleus = int((ranked.cumsum(0) < 0.5 * mass).sum()) + 1
    expected = {
        generator.causal.vocabulary.strings[token]: float(share / ranked[:nucleus].sum())
        for token, share in zip(order[:nucleus].tolist(), ranked[:nucleus], strict=True)
    }
    counts = dict.fromkeys(expected, 0)
    for completion in row:
        counts[completion.text] += 1  # a KeyError is a token outside the nucleus
    chi2 = sum((counts[t] - 4000 * p) ** 2 / (4000 * p) for t, p in expected.items())
    # five standard deviations of the chi-squared distribution
    assert chi2 < nucleus - 1 + 5 * (2 * (nucleus - 1)) ** 0.5


def test_greedy_limit_agrees_with_hugging_face(generator: Any) -> None:
    sampling = SamplingParams(seed=0, max_new_tokens=30, temperature=1e-4, top_p=1.0)
    answers = generator.generate(REQUESTS, sampling)
    for request, row in zip(REQUESTS, answers, strict=True):
        ids = torch.tensor([generator.causal.encode(request.prompt)])
        output = generator.causal.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=30,
            pad_token_id=0,
            # generate() itself would write tokens that are no text
            suppress_tokens=[generator.causal.tokenizer.bos_token_id, 0, 3],
        )
        new = output[0, ids.shape[1] :].tolist()
        expected = generator.causal.vocabulary.decode([t for t in new if t != 2])
        assert [completion.text for completion in row] == [expected] * request.num_samples


def test_ends_and_limits(generator: Any) -> None:
    (row,) = generator.generate([GenerationRequest(PROMPT, num_samples=60)], SAMPLING)
    finished = [completion for completion in row if completion.finished]
    cut = [completion for completion in row if not completion.finished]
    assert finished
    assert cut
    assert all(completion.num_tokens == 60 for completion in cut)
    assert all(completion.num_tokens <= 60 for completion in finished)
    assert all("</s>" not in completion.text for completion in row)
    assert [completion.sample_index for completion in row] == list(range(60))


def test_a_prompt_is_computed_once_for_all_its_samples(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, ...]] = []
    original = generator.causal.read
    monkeypatch.setattr(generator.causal, "read", lambda c: read.extend(c) or original(c))
    generator.batch_size = 4
    requests = [GenerationRequest(PROMPT, num_samples=13), GenerationRequest(LONGER, 5)]
    generator.generate(
        requests,
        SAMPLING.model_copy(update={"max_redraws": 2}),
        accept=lambda text, request: FailureReason.AMBIGUOUS,
    )
    assert sorted(read) == sorted(
        [generator.causal.encode(PROMPT), generator.causal.encode(LONGER)]
    )


def test_rejected_texts_are_drawn_again_and_counted(generator: Any) -> None:
    def accept(text: str, request: GenerationRequest) -> FailureReason | None:
        assert request in REQUESTS
        return FailureReason.NO_SITES if "Ca" in text else None

    sampling = SAMPLING.model_copy(update={"max_redraws": 3, "max_new_tokens": 20})
    results = []
    for size in (1, 3, 32):
        generator.batch_size = size
        results.append(generator.generate(REQUESTS, sampling, accept=accept))
    assert results[0] == results[1] == results[2]
    everything = list(chain(*results[0]))
    for completion in everything:
        assert completion.attempts == 1 + sum(completion.rejected.values())
        assert completion.attempts <= 4
        failed = "Ca" in completion.text or not completion.finished
        assert not failed or completion.attempts == 4
    assert {reason for c in everything for reason in c.rejected} == {"no_sites", "truncated"}
    # the draws that were accepted at once are those of a run without redraws
    plain = list(chain(*generator.generate(REQUESTS, sampling)))
    assert any(c.attempts == 1 for c in everything)
    assert all(a.text == b.text for a, b in zip(everything, plain, strict=True) if a.attempts == 1)


@pytest.mark.parametrize("accepted", [2, 4, None])
def test_later_attempts_are_written_beside_each_other_where_there_is_room(
    generator: Any, monkeypatch: pytest.MonkeyPatch, accepted: int | None
) -> None:
    """The second attempt and those after it take the steps of one text, not of five."""
    sampling = SAMPLING.model_copy(update={"max_redraws": 5, "max_new_tokens": 30, "top_p": 1.0})
    seen: list[str] = []

    def accept(text: str, _: GenerationRequest) -> FailureReason | None:
        seen.append(text)
        return None if len(seen) == accepted else FailureReason.EMPTY

    steps: list[int] = []
    forward = generator.causal.forward
    monkeypatch.setattr(
        generator.causal, "forward", lambda *a, **k: steps.append(len(a[0])) or forward(*a, **k)
    )
    found = []
    for size in (1, 8):
        generator.batch_size = size
        seen.clear()
        steps.clear()
        found.append(
            (generator.generate([GenerationRequest(PROMPT)], sampling, accept=accept), list(seen))
        )
        if size == 1:
            one_by_one = len(steps)
    assert found[0] == found[1]
    (((completion,),), texts_seen) = found[1]
    # cut off texts are not shown
    assert completion.attempts == len(texts_seen) + completion.rejected.get("truncated", 0)
    assert len(steps) <= 2 * 30 + 2
    assert len(steps) < one_by_one or completion.attempts == 2
    assert max(steps) <= 8


def test_rejected_texts_are_kept_where_no_redraw_is_allowed(generator: Any) -> None:
    sampling = SAMPLING.model_copy(update={"max_redraws": 0})
    answers = generator.generate(REQUESTS, sampling, accept=lambda *_: FailureReason.EMPTY)
    assert texts(answers) == texts(generator.generate(REQUESTS, sampling))
    assert all(c.attempts == 1 and not c.rejected for row in answers for c in row)


@pytest.mark.parametrize("refuse", [0, 3])
def test_constrained_rows_of_one_batch_follow_their_own_rules(generator: Any, refuse: int) -> None:
    requests = [
        GenerationRequest(PROMPT, 4, key="even", constraint=EveryOther(0, refuse=refuse)),
        GenerationRequest(LONGER, 3, key="free"),
        GenerationRequest(PROMPT, 4, key="odd", constraint=EveryOther(1, 7, refuse=refuse)),
    ]
    answers = generator.generate(requests, SAMPLING)
    ids = {text: i for i, text in enumerate(generator.causal.vocabulary.strings) if text}
    for row, request in zip(answers, requests, strict=True):
        if request.constraint is None:
            assert all(c.constraint is None for c in row)
            continue
        for completion in row:
            assert completion.finished
            assert completion.num_tokens == request.constraint.length
            assert completion.constraint == request.constraint.describe()
    assert texts([answers[1]]) == texts(generator.generate([requests[1]], SAMPLING))
    generator.batch_size = 1
    assert texts(generator.generate(requests, SAMPLING)) == texts(answers)
    single = [EveryOther(parity, 1, refuse=refuse) for parity in (0, 1)]
    for rule in single:
        (row,) = generator.generate([GenerationRequest(PROMPT, 50, constraint=rule)], SAMPLING)
        written = {ids[completion.text] for completion in row}
        assert all(token % 2 == rule.parity for token in written)
        assert not refuse or all(token % refuse for token in written)


def test_a_row_all_of_whose_tokens_are_refused_ends_unfinished(generator: Any) -> None:
    request = GenerationRequest(PROMPT, 2, constraint=EveryOther(0, refuse=1))
    (row,) = generator.generate([request], SAMPLING)
    assert [(c.text, c.finished) for c in row] == [("", False)] * 2


def test_memory_that_runs_out_halves_the_batch_and_changes_no_text(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [*REQUESTS, GenerationRequest(PROMPT, 6, key="e", constraint=EveryOther(0))]
    sampling = SAMPLING.model_copy(update={"max_redraws": 1})

    def accept(text: str, request: GenerationRequest) -> FailureReason | None:
        return FailureReason.NO_SITES if "Ca" in text else None

    expected = generator.generate(requests, sampling, accept=accept)
    original = generator.causal.forward
    calls = 0
    rows: list[int] = []  # in each call
    errors: list[Exception] = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ]

    def forward(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        rows.append(len(input_ids))
        logits = original(input_ids, **options)  # fails after the cache has been written
        if calls in (2, 20, 33) and errors:
            raise errors.pop(0)
        return logits

    monkeypatch.setattr(generator.causal, "forward", forward)
    generator.batch_size = 16
    progress: list[int] = []
    answers = generator.generate(
        requests, sampling, accept=accept, progress=lambda done, total: progress.append(done)
    )
    assert not errors
    assert rows[1] == 16
    assert max(rows[2:]) == 8  # half as many after the first failure
    assert generator.batch_size == 2
    assert answers == expected
    assert progress == list(range(21))


def test_memory_for_not_even_one_row_is_one_line(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(generator.causal, "forward", forward)
    with pytest.raises(GenerationError, match="out of memory with one row"):
        generator.generate(REQUESTS, SAMPLING)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_model_that_rambles_is_cut(generator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins another exchange is no part of the answer."""
    told = "\n### P1\n### 4.0"
    ids = generator.causal.tokenizer(
        told + "\n### Instruction: Generate a crystal.", add_special_tokens=False
    )["input_ids"]
    start = len(generator.causal.encode(PROMPT))

    def forward(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        logits = original(input_ids, **options)
        place = int(options["position_ids"][0, -1]) + 1 - start
        logits[:, ids[place]] = 1e4
        return logits

    original = generator.causal.forward
    monkeypatch.setattr(generator.causal, "forward", forward)
    (row,) = generator.generate([GenerationRequest(PROMPT)], SAMPLING)
    assert row[0].text == told
    assert row[0].finished


def test_rounding_between_batches_stays_below_what_is_allowed_for(generator: Any) -> None:
    contexts = [generator.causal.encode(PROMPT + "\n### Ca" * n) for n in range(24)]
    with torch.inference_mode():
        together = generator.causal.read(contexts)
        for context, prefix in zip(contexts, together, strict=True):
            alone = generator.causal.read_alone(context)
            assert float((alone - prefix.logits).abs().max()) < 0.2 * ROUNDING[torch.float32]


def test_a_draw_that_rounding_could_change_is_decided_alone(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise of 1e-5 on the batched scores, as other kernels have, texts stay."""
    expected = texts(generator.generate(REQUESTS, SAMPLING))
    original = generator.causal.forward
    noise = torch.Generator().manual_seed(0)
    alone = 0

    def forward(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        nonlocal alone
        logits = original(input_ids, **options)
        if options["cache"] is None:
            alone += 1
            return logits
        return logits + 1e-5 * (2 * torch.rand(logits.shape, generator=noise) - 1)

    monkeypatch.setattr(generator.causal, "forward", forward)
    assert texts(generator.generate(REQUESTS, SAMPLING)) == expected
    assert alone > 0


def test_empty_requests_and_prompts(generator: Any) -> None:
    assert generator.generate([], SAMPLING) == []
    assert generator.generate([GenerationRequest(PROMPT, 0)], SAMPLING) == [[]]
    (row,) = generator.generate([GenerationRequest("")], SAMPLING)  # unconditional: from <s>
    assert row[0].num_tokens > 0


def test_long_runs_reuse_columns(generator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come and go for long do not widen the cache without end."""
    widths = []
    original = generator.causal.forward

    def forward(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        if options["attention_mask"] is not None:
            widths.append(options["attention_mask"].shape[1])
        return original(input_ids, **options)

    requests = [GenerationRequest(PROMPT, num_samples=60), GenerationRequest(LONGER, 60)]
    generator.batch_size = 32
    expected = texts(generator.generate(requests, SAMPLING))
    monkeypatch.setattr(generator.causal, "forward", forward)
    generator.batch_size = 4
    answers = generator.generate(requests, SAMPLING)
    assert texts(answers) == expected
    total = sum(completion.num_tokens for row in answers for completion in row)
    assert total / 4 > 2 * max(widths)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("size", [2, 32])
def test_the_log_probability_is_the_models_own(
    generator: Any, size: int, constrained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever temperature, nucleus and constraint chose: log softmax of the scores."""
    written: dict[tuple[int, int], tuple[int, ...]] = {}
    close = Row.completion

    def watched(row: Row, reason: FailureReason | None = None) -> Completion:
        ends = [generator.causal.tokenizer.eos_token_id] * row.finished
        written[row.request_index, row.sample_index] = (*row.tokens, *ends)
        return close(row, reason)

    monkeypatch.setattr(Row, "completion", watched)
    generator.batch_size = size
    constraint = EveryOther(0, refuse=6) if constrained else None
    requests = [replace(request, constraint=constraint) for request in REQUESTS]
    sampling = SamplingParams(seed=3, max_new_tokens=30, temperature=1.7, top_p=0.8)
    answers = generator.generate(requests, sampling)
    for completion in chain(*answers):
        prompt = generator.causal.encode(requests[completion.request_index].prompt)
        ids = written[completion.request_index, completion.sample_index]
        with torch.inference_mode():
            scores = generator.causal.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
        logs = torch.log_softmax(scores.double(), dim=1)
        start = len(prompt) - 1
        total = sum(float(logs[start + place, token]) for place, token in enumerate(ids))
        assert completion.log_prob == pytest.approx(total, abs=0.0051)
        assert completion.draws == 1
        assert completion.tokens_drawn == completion.num_tokens > 0


def test_a_probability_too_close_to_a_step_is_computed_alone(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[float] = []
    exact = type(generator.causal).log_prob_alone

    def watched(self: Any, prompt_ids: Any, written: Any) -> float:
        alone.append(exact(self, prompt_ids, written))
        return alone[-1]

    monkeypatch.setattr(type(generator.causal), "log_prob_alone", watched)
    monkeypatch.setitem(ROUNDING, torch.float32, 1.0)  # everything is too close
    answers = generator.generate(REQUESTS[:1], SAMPLING)
    found = sorted(completion.log_prob for completion in answers[0])
    assert len(alone) == len(found)
    assert found == [round(value, 2) for value in sorted(alone)]


def test_memory_that_runs_out_while_a_probability_is_computed_loses_no_row(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUNDING, torch.float32, 1.0)  # every probability is computed alone
    generator.batch_size = 4
    expected = generator.generate(REQUESTS, SAMPLING)
    original = generator.causal.log_prob_alone
    calls = 0

    def log_prob_alone(prompt_ids: Any, written: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (2, 3):  # the second time while the batch has already been given up
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return float(original(prompt_ids, written))

    monkeypatch.setattr(generator.causal, "log_prob_alone", log_prob_alone)
    assert generator.generate(REQUESTS, SAMPLING) == expected
    assert calls > 3
    assert generator.batch_size == 1
