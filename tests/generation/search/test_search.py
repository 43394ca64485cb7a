"""Searches with a tiny model: rewarded texts are found, the same whatever else happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from crystalicl_jobflow.generation import GenerationError, GenerationRequest, UnfinishedWork
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.search import Verdict
from crystalicl_jobflow.generation.search.rollouts import Beginning
from crystalicl_jobflow.generation.several import SeveralGenerators
from crystalicl_jobflow.generation.tasks import plan_tasks
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    Generation,
    Retrieval,
    SamplingParams,
    TreeSearch,
)
from crystalicl_jobflow.validation import build_candidates
from generation.tiny import PROMPT

PEROVSKITE = Condition(formula="CaTiO3", space_group=221)
SALT = Condition(formula="NaCl", space_group=225)
SAMPLING = SamplingParams(seed=5, max_new_tokens=60)
SMALL = ConstraintOptions(max_atoms=5)
SEARCH = TreeSearch(simulations=30, parallel=3)


@pytest.fixture(autouse=True)
def _restore_batch_size(generator: Any) -> Iterator[None]:
    size = generator.batch_size
    yield
    generator.batch_size = size


def length(text: str) -> float | None:
    """Return the first length of a cell in Å; None where there is none."""
    lines = text.strip().split("\n### ")
    try:
        return float(lines[1].split()[0])
    except (IndexError, ValueError):
        return None


def near_four(texts: Sequence[tuple[int, Completion]]) -> list[Verdict]:
    """Judge crystals by a stand-in energy: the nearer their first length to 4 Å, the lower."""
    found = []
    for _, completion in texts:
        first = length(completion.text)
        found.append(
            Verdict(is_crystal=False, is_valid=False)
            if first is None
            else Verdict(is_crystal=True, is_valid=True, cost=(first - 4.0) ** 2)
        )
    return found


def write(
    generator: Any,
    conditions: Sequence[Condition] = (PEROVSKITE,),
    search: TreeSearch | None = SEARCH,
    **options: Any,
) -> list[Generation]:
    options = {"sampling": SAMPLING, "judge": near_four, "constrain": SMALL, **options}
    return generate_for_retrievals(
        [Retrieval(condition=item, strategy="C", shots=0, seed=0) for item in conditions],
        generator,
        search=search,
        **options,
    )


def costs(generation: Generation) -> list[float]:
    found = [length(completion.text) for completion in generation.completions]
    return [(value - 4.0) ** 2 for value in found if value is not None]


def test_rewarded_texts_are_found_more_often_than_by_chance(generator: Any) -> None:
    (searched,) = write(generator)
    sampling = SAMPLING.model_copy(update={"max_redraws": 0})
    (drawn,) = write(generator, search=None, num_samples=30, sampling=sampling)
    assert len(searched.completions) == len(drawn.completions) == 30
    assert mean(costs(searched)) < 0.7 * mean(costs(drawn))
    # the later texts have learned from the earlier ones
    assert mean(costs(searched)[15:]) < mean(costs(searched)[:8])


def test_a_search_under_a_constraint_meets_the_condition(generator: Any) -> None:
    generations = write(generator, [PEROVSKITE, SALT], SEARCH.model_copy(update={"simulations": 8}))
    candidates = build_candidates(generations)
    assert len(candidates) == 16
    assert all(item.success["formula"] for item in candidates)
    assert all(item.provenance.constraint for item in candidates)
    assert [item.provenance.sample_index for item in candidates] == [*range(8), *range(8)]


def test_every_text_states_the_search_and_its_reward(generator: Any) -> None:
    search = SEARCH.model_copy(update={"simulations": 12})
    candidates = build_candidates(write(generator, search=search))
    assert all(item.provenance.search == search for item in candidates)
    records = [item.provenance.search_record for item in candidates]
    assert all(record is not None and -1 <= record.reward <= 1 for record in records)
    assert records[0] is not None
    assert records[0].tokens_given == 0
    assert any(record is not None and record.tokens_given for record in records)
    drawn = build_candidates(write(generator, search=None, num_samples=12))
    assert not {item.candidate_id for item in candidates} & {item.candidate_id for item in drawn}


@pytest.mark.parametrize("constrain", [SMALL, False])
def test_the_same_texts_whatever_the_batch_size_and_the_company(
    generator: Any, constrain: Any
) -> None:
    search = SEARCH.model_copy(update={"simulations": 9})
    generator.batch_size = 8
    expected = write(generator, [PEROVSKITE, SALT], search, constrain=constrain)
    for batch_size in (1, 3):
        generator.batch_size = batch_size
        again = write(generator, [PEROVSKITE, SALT], search, constrain=constrain)
        assert [item.completions for item in again] == [item.completions for item in expected]
    (alone,) = write(generator, [PEROVSKITE], search, constrain=constrain)
    assert alone.completions == expected[0].completions
    (other,) = write(
        generator, [PEROVSKITE], search, constrain=constrain,
        sampling=SAMPLING.model_copy(update={"seed": 6}),
    )  # fmt: skip
    assert other.completions != alone.completions


def test_texts_begin_as_asked_and_tell_where_they_could_go_on(generator: Any) -> None:
    constraint = build_constraint(PEROVSKITE, SMALL)
    request = GenerationRequest(PROMPT, key="x", constraint=constraint)
    session = generator.rollouts([request], SAMPLING, width=3)
    (free,) = session.write([Beginning(0, 0, ())])
    assert free.choice is not None
    before = free.written[: free.choice.place]
    assert 1 < len(free.choice.tokens) <= 3
    assert list(free.choice.log_weights) == sorted(free.choice.log_weights, reverse=True)
    begun = [Beginning(0, n, (*before, token)) for n, token in enumerate(free.choice.tokens, 1)]
    refused = Beginning(0, 4, (*before, 5))
    *texts, last = session.write([*begun, refused])
    assert last.completion is None
    for asked, rollout in zip(begun, texts, strict=True):
        assert rollout.written[: len(asked.tokens)] == asked.tokens
        assert rollout.choice is None or rollout.choice.place >= len(asked.tokens)
        assert rollout.completion is not None
        alone = generator.causal.log_prob_alone(
            generator.causal.encode(PROMPT), list(rollout.written)
        )
        assert rollout.completion.log_prob == pytest.approx(alone, abs=0.0051)


@pytest.mark.parametrize("text_format", ["sgs", "cif"])
def test_a_search_without_a_constraint(generator: Any, text_format: str) -> None:
    """Of a model that writes no crystals, texts that begin with early letters are rewarded."""

    def early(texts: Sequence[tuple[int, Completion]]) -> list[Verdict]:
        return [
            Verdict(True, True, float(ord(item.text[0]))) if item.text else Verdict(False, False)
            for _, item in texts
        ]

    options = {"constrain": False, "text_format": text_format}
    (searched,) = write(generator, judge=early, **options)
    (drawn,) = write(
        generator, search=None, num_samples=30,
        sampling=SAMPLING.model_copy(update={"max_redraws": 0}), **options,
    )  # fmt: skip
    found = [
        mean(ord(item.text[0]) for item in one.completions if item.text)
        for one in (searched, drawn)
    ]
    assert found[0] < 0.9 * found[1]
    assert not any(item.provenance.constraint for item in build_candidates([searched]))


class Dying(UnfinishedWork):
    """Dies after a number of texts, as a killed process does."""

    left = 7

    def record(self, *arguments: Any) -> None:
        super().record(*arguments)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_killed_search_goes_on_where_it_was(generator: Any, tmp_path: Path) -> None:
    search = SEARCH.model_copy(update={"simulations": 10})
    conditions = [PEROVSKITE, SALT]
    whole = write(generator, conditions, search)
    with pytest.raises(KeyboardInterrupt):
        write(generator, conditions, search, unfinished=Dying(tmp_path))
    judged = []

    def judge(texts: Sequence[tuple[int, Completion]]) -> list[Verdict]:
        judged.extend(texts)
        return near_four(texts)

    told: list[tuple[int, int]] = []
    work = UnfinishedWork(tmp_path, on_found=lambda *counts: told.append(counts))
    again = write(generator, conditions, search, unfinished=work, judge=judge)
    assert [item.completions for item in again] == [item.completions for item in whole]
    assert told == [(7, 20)]
    assert len(judged) == 13
    # another search takes nothing from it
    work.close()
    other = UnfinishedWork(tmp_path)
    write(generator, conditions, search.model_copy(update={"exploration": 2.0}), unfinished=other)
    assert other.num_found == 0


def test_a_prompt_without_room_costs_its_own_texts(generator: Any) -> None:
    room, generator.max_positions = generator.max_positions, 5
    try:
        (found,) = write(generator, search=SEARCH.model_copy(update={"simulations": 5}))
    finally:
        generator.max_positions = room
    assert [item.error is not None for item in found.completions] == [True] * 5


def test_mistakes(generator: Any) -> None:
    with pytest.raises(ValueError, match="best_of must be 1"):
        write(generator, sampling=SamplingParams(best_of=2))
    with pytest.raises(ValueError, match="needs a judge"):
        write(generator, judge=None)
    with pytest.raises(ValueError, match="cannot be divided"):
        write(generator, tasks=plan_tasks([PEROVSKITE], 7))
    with pytest.raises(GenerationError, match="one language model that runs here"):
        write(SeveralGenerators([generator, generator], "tiny+tiny"))
