"""Texts of a condition without a space group, written for groups that are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation.constraints import ConstraintOptions
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.group_draws import divide_task, group_sequence
from crystalicl_jobflow.generation.tasks import merge_generations, plan_tasks, split_tasks
from crystalicl_jobflow.schemas import (
    Condition,
    Demonstration,
    Generation,
    Retrieval,
    SamplingParams,
)
from crystalicl_jobflow.schemas.retrieval import GroupChoice
from crystalicl_jobflow.validation import build_candidates
from reciting import ROCK_SALT, RecitingGenerator

ASKED = Condition(formula="NaCl")
SALT = Demonstration(
    demonstration_id="kcl", source="test", formula="KCl", anonymous_formula="AB", chemsys="Cl-K",
    elements=("Cl", "K"), num_sites=2, space_group=225, text=ROCK_SALT.replace("Na", "K"),
)  # fmt: skip
OFFERED = Retrieval(
    condition=ASKED,
    strategy="CE",
    shots=1,
    seed=0,
    groups=[
        GroupChoice(space_group=225, share=0.6, demonstrations=[SALT]),
        GroupChoice(space_group=221, share=0.2),
        GroupChoice(space_group=216, share=0.1),
    ],
)
ONE_DRAW = SamplingParams(max_redraws=0)
shares = st.lists(st.floats(0.001, 1), min_size=1, max_size=8).map(
    lambda values: sorted(values, reverse=True)
)


@given(shares=shares, count=st.integers(1, 60), more=st.integers(0, 20))
def test_groups_come_in_proportion_the_most_probable_first(
    shares: list[float], count: int, more: int
) -> None:
    sequence = group_sequence(shares, count)
    assert len(sequence) == count
    assert sequence[0] == 0
    for place, share in enumerate(shares):
        assert sequence.count(place) < count * share / sum(shares) + 1 + 1e-9
    assert group_sequence(shares, count + more)[:count] == sequence


def write(retrieval: Retrieval, number: int, **options: object) -> Generation:
    (generation,) = generate_for_retrievals(
        [retrieval],
        RecitingGenerator([ROCK_SALT]),
        num_samples=number,
        sampling=ONE_DRAW,
        **{"constrain": False, **options},  # type: ignore[arg-type]
    )
    return generation


def test_each_text_says_for_which_group_it_was_written() -> None:
    generation = write(OFFERED, 9)
    drawn = [item.drawn for item in generation.completions]
    assert [item.sample_index for item in generation.completions] == list(range(9))
    numbers = [item.space_group for item in drawn if item is not None]
    assert (numbers[0], numbers.count(225), numbers.count(221), numbers.count(216)) == (
        225,
        6,
        2,
        1,
    )
    assert drawn[0] is not None
    assert "The spacegroup number is 225." in drawn[0].prompt
    assert drawn[0].demonstration_ids == ["kcl"]
    assert drawn[0].share == 0.6
    assert "spacegroup number" not in generation.prompt


def test_a_drawn_group_was_not_asked_for() -> None:
    candidates = build_candidates([write(OFFERED, 9)])
    assert all(candidate.condition == ASKED for candidate in candidates)
    assert all(candidate.success == {"formula": True} for candidate in candidates)
    assert all(candidate.joint_success for candidate in candidates)
    first, *_, last = sorted(candidates, key=lambda item: item.provenance.drawn_share or 0)
    assert (first.provenance.drawn_space_group, last.provenance.drawn_space_group) == (216, 225)
    assert first.provenance.demonstration_ids == []
    assert last.provenance.demonstration_ids == ["kcl"]
    assert last.provenance.strategy == "CE"
    assert len({candidate.candidate_id for candidate in candidates}) == 9


def test_the_model_decides_where_it_is_told_to_or_nothing_is_offered() -> None:
    for generation in (
        write(OFFERED, 3, groups="model"),
        write(OFFERED.model_copy(update={"groups": []}), 3),
    ):
        assert [item.drawn for item in generation.completions] == [None] * 3
        (candidate, *_) = build_candidates([generation])
        assert candidate.provenance.drawn_space_group is None
        assert candidate.provenance.prompt == generation.prompt


@pytest.mark.parametrize("shard_size", [1, 2, 5, 7])
@pytest.mark.parametrize("best_of", [1, 2])
def test_shards_give_the_texts_of_the_undivided_run(shard_size: int, best_of: int) -> None:
    sampling = SamplingParams(max_redraws=0, best_of=best_of)
    retrievals = [OFFERED, Retrieval(condition=ASKED, strategy="C", shots=0, seed=0), OFFERED]
    tasks = plan_tasks([item.condition for item in retrievals], 6)
    options = {"sampling": sampling, "constrain": False}
    whole = generate_for_retrievals(retrievals, RecitingGenerator(), tasks=tasks, **options)
    shards = [
        generate_for_retrievals(
            [retrievals[task.index] for task in shard], RecitingGenerator(), tasks=shard, **options
        )
        for shard in split_tasks(tasks, shard_size)
    ]
    merged = merge_generations(shards)
    assert [item.completions for item in merged] == [item.completions for item in whole]
    assert whole[0].completions != whole[2].completions  # streams of their own


def test_a_constraint_holds_each_text_to_its_group() -> None:
    model = RecitingGenerator([ROCK_SALT])
    (generation,) = generate_for_retrievals([OFFERED], model, num_samples=5, sampling=ONE_DRAW)
    (requests,) = model.calls
    described = [item.constraint.describe() for item in requests if item.constraint is not None]
    assert [text.count("space group 2") for text in described] == [1] * len(requests)
    # rock salt is no crystal of the other groups
    flaws = {item.drawn.space_group: item.flaw for item in generation.completions if item.drawn}
    assert flaws[225] is None
    assert flaws[221] is not None


def test_impossible_groups_are_not_drawn() -> None:
    task = plan_tasks([ASKED], 6)[0]
    narrow = OFFERED.model_copy(
        update={
            "groups": [
                GroupChoice(space_group=230, share=0.7),  # at least 8 atoms in a primitive cell
                *OFFERED.groups,
            ]
        }
    )
    parts = divide_task(narrow, task, ConstraintOptions(max_atoms=4))
    assert {item.choice.space_group for item in parts if item.choice} == {225, 221, 216}
    assert sorted(place for item in parts for place in item.places) == list(range(6))
    free = divide_task(narrow, task, constrain=False)
    assert free[0].choice is not None
    assert free[0].choice.space_group == 230


def test_where_no_group_is_possible_the_condition_decides() -> None:
    only = OFFERED.model_copy(update={"groups": [GroupChoice(space_group=230, share=1.0)]})
    (part,) = divide_task(only, plan_tasks([ASKED], 2)[0], ConstraintOptions(max_atoms=4))
    assert part.choice is None
    assert part.retrieval.condition == ASKED
