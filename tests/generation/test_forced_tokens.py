"""Tokens without an alternative are written in runs; the texts are those of single steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch

from crystalicl_jobflow.generation import GenerationRequest
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.prompts import crystal_prompt
from crystalicl_jobflow.schemas import Completion, Condition, FailureReason, SamplingParams

from .tiny import PROMPT

# formulas of the tiny vocabulary's elements, in the groups that it can write
TINY = [("CaTiO3", 221), ("NaCl", 225), ("TiO2", 123), ("MgO", 1)]

SYSTEMS = [
    ("SiO2", 2), ("KAlSi3O8", 12), ("LiFePO4", 62), ("BaTiO3", 99),
    ("Bi2Te3", 166), ("MoS2", 194), ("MgAl2O4", 227), ("CaTiO3", 1),
]  # fmt: skip
"""One formula and group for each crystal system."""


def tiny_requests(*, samples: int = 3) -> list[GenerationRequest]:
    limits = ConstraintOptions(max_atoms=12)
    return [
        GenerationRequest(
            PROMPT + "\n### P1" * number,
            num_samples=samples,
            key=formula,
            constraint=build_constraint(Condition(formula=formula, space_group=group), limits),
        )
        for number, (formula, group) in enumerate(TINY)
    ]


@pytest.fixture
def reading(generator: Any) -> Iterator[Any]:
    """Return the generator; how it reads and its batch size are put back afterwards."""
    causal = generator.causal
    before = generator.batch_size, causal.reads_runs, causal.step_cost
    yield generator
    generator.batch_size, causal.reads_runs, causal.step_cost = before


def reject_some(text: str, _: GenerationRequest) -> FailureReason | None:
    return FailureReason.NO_SITES if text.count("O") % 2 else None


SAMPLING = SamplingParams(seed=5, max_new_tokens=150, max_redraws=1)


@pytest.fixture(scope="module")
def one_by_one(generator: Any) -> list[list[Completion]]:
    """Texts written one token at a time, one row at a time."""
    causal = generator.causal
    before = generator.batch_size, causal.reads_runs
    assert causal.reads_runs
    generator.batch_size, causal.reads_runs = 1, False
    answers: list[list[Completion]] = generator.generate(
        tiny_requests(), SAMPLING, accept=reject_some
    )
    generator.batch_size, causal.reads_runs = before
    assert any(item.attempts > 1 for item in chain(*answers))
    return answers


@pytest.mark.parametrize("size", [1, 7, 32])
@pytest.mark.parametrize("step_cost", [1e-9, 20.0, 1e9])
def test_runs_change_no_text_and_no_probability(
    reading: Any, one_by_one: list[list[Completion]], size: int, step_cost: float
) -> None:
    """Whether a step never, sometimes or always reads as many tokens as there are."""
    reading.batch_size = size
    reading.causal.step_cost = step_cost
    assert reading.generate(tiny_requests(), SAMPLING, accept=reject_some) == one_by_one


def test_forced_tokens_need_no_step_of_their_own(
    reading: Any, one_by_one: list[list[Completion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    original = reading.causal.forward

    def forward(*arguments: Any, **options: Any) -> torch.Tensor:
        nonlocal steps
        steps += options["cache"] is not None
        logits: torch.Tensor = original(*arguments, **options)
        return logits

    monkeypatch.setattr(reading.causal, "forward", forward)
    reading.batch_size = 1
    answers = reading.generate(tiny_requests(), SAMPLING, accept=reject_some)
    # line beginnings, equal lengths and right angles are a third of these tokens
    assert steps < 0.8 * sum(item.tokens_drawn for item in chain(*answers))


def test_memory_that_runs_out_within_a_run_loses_no_probability(
    reading: Any, one_by_one: list[list[Completion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = reading.causal.forward
    calls = 0

    def forward(*arguments: Any, **options: Any) -> torch.Tensor:
        nonlocal calls
        logits: torch.Tensor = original(*arguments, **options)
        calls += options.get("places") is not None
        if options.get("places") is not None and calls in (1, 4):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits

    monkeypatch.setattr(reading.causal, "forward", forward)
    reading.batch_size = 8
    reading.causal.step_cost = 1e9
    assert reading.generate(tiny_requests(), SAMPLING, accept=reject_some) == one_by_one
    assert reading.batch_size < 8


@pytest.mark.parametrize("shots", [0, 3])
def test_the_embedded_model_writes_every_crystal_system_alike(
    prototypes_index: Any, shots: int
) -> None:
    """With demonstrations and the copy bias, too."""
    from crystalicl_jobflow.generation import load_generator
    from crystalicl_jobflow.generation.prompting import retrieval_prompt
    from crystalicl_jobflow.retrieval import retrieve

    writer: Any = load_generator("embedded", num_threads=1, batch_size=7)
    requests = []
    for formula, group in SYSTEMS:
        condition = Condition(formula=formula, space_group=group)
        prompt = crystal_prompt(condition)
        if shots:
            found = retrieve(prototypes_index, condition, strategy="CE", shots=shots)
            prompt = retrieval_prompt(found, "sgs", "crystalicl")
        requests.append(
            GenerationRequest(prompt, key=formula, constraint=build_constraint(condition))
        )
    sampling = SamplingParams(seed=1, max_redraws=0, max_new_tokens=120)
    in_runs = writer.generate(requests, sampling)
    writer.causal.step_cost = 1e9
    longest = writer.generate(requests, sampling)
    writer.causal.reads_runs = False
    writer.batch_size = 3
    single = writer.generate(requests, sampling)
    assert in_runs == longest == single
    assert sum(completion.finished for (completion,) in single) >= len(SYSTEMS) - 2
