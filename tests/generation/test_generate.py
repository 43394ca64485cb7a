"""From retrieved demonstrations to texts: prompts, random streams, shards, failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation import GenerationError
from crystalicl_jobflow.generation.constraints import ConstraintOptions, ImpossibleConditionError
from crystalicl_jobflow.generation.generate import (
    build_constraints,
    generate_for_retrievals,
    keep_most_probable,
)
from crystalicl_jobflow.generation.tasks import (
    merge_generations,
    plan_tasks,
    request_keys,
    split_tasks,
)
from crystalicl_jobflow.prompts import crystal_prompt
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    Demonstration,
    FailureReason,
    Retrieval,
    SamplingParams,
)
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.formats import crystal_text
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT, RecitingGenerator

CONDITIONS = [
    Condition(formula="CaTiO3", space_group=221),
    Condition(formula="NaCl"),
    Condition(elements=["O"], properties={"band_gap": "1:3"}),
    Condition(formula="NaCl"),
]


def retrieval(condition: Condition, *demonstrations: Demonstration) -> Retrieval:
    return Retrieval(
        condition=condition,
        strategy="CF",
        shots=len(demonstrations),
        seed=0,
        demonstrations=list(demonstrations),
        relaxed=["space_group"],
    )


def rock_salt() -> Demonstration:
    return Demonstration(
        demonstration_id="rock-salt",
        source="test",
        formula="NaCl",
        anonymous_formula="AB",
        chemsys="Cl-Na",
        elements=("Cl", "Na"),
        num_sites=2,
        space_group=225,
        text=ROCK_SALT,
    )


def texts(generations: list) -> list[list[str]]:
    return [[item.text for item in generation.completions] for generation in generations]


def test_the_document_says_how_the_texts_came_about():
    asked = retrieval(CONDITIONS[0], rock_salt())
    sampling = SamplingParams(seed=7, temperature=0.5)
    (generation,) = generate_for_retrievals(
        [asked], RecitingGenerator(), sampling=sampling, num_samples=3, constrain=False
    )
    assert generation.condition == CONDITIONS[0]
    assert generation.prompt == crystal_prompt(CONDITIONS[0], [rock_salt()])
    assert generation.demonstration_ids == ["rock-salt"]
    assert generation.strategy == "CF"
    assert generation.relaxed == ["space_group"]
    assert generation.sampling == sampling
    assert generation.model.engine == "reciting"
    assert "pymatgen" in generation.versions
    assert [(c.request_index, c.sample_index) for c in generation.completions] == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]


def test_without_demonstrations_there_is_no_strategy():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[1])], RecitingGenerator(), constrain=False
    )
    assert generation.strategy is None
    assert generation.prompt == crystal_prompt(CONDITIONS[1])


def test_demonstrations_are_rewritten_for_another_text_format():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[1], rock_salt())],
        RecitingGenerator(),
        text_format="xyz",
        constrain=False,
    )
    assert "Fm-3m" not in generation.prompt
    # eight atoms of the conventional cell, or two of the primitive one; not two orbits
    assert generation.prompt.count("### Na\n") in (1, 4)
    assert generation.prompt.count("### 90 90 90") + generation.prompt.count("### 60 60 60") == 1


def test_demonstrations_are_shown_in_the_description_of_the_first():
    cell = "Fm-3m\n5.5 5.5 5.5\n90 90 90\n"
    fluorite = cell + "Ca\n0.00 0.00 0.00\nF\n0.25 0.25 0.25"
    # with the other origin, and in the other order
    shifted = cell + "Cl\n0.25 0.25 0.25\nSr\n0.50 0.50 0.50"
    alone = "Pm-3m\n3.3 3.3 3.3\n90 90 90\nPo\n0.00 0.00 0.00"

    def documents(*texts: str) -> list[Demonstration]:
        return [
            rock_salt().model_copy(update={"demonstration_id": str(number), "text": text})
            for number, text in enumerate(texts)
        ]

    asked = retrieval(CONDITIONS[0], *documents(fluorite, shifted, alone))
    (generation,) = generate_for_retrievals([asked], RecitingGenerator(), constrain=False)
    alike = fluorite.replace("Ca", "Sr").replace("F\n", "Cl\n")
    assert generation.prompt == crystal_prompt(CONDITIONS[0], documents(fluorite, alike, alone))


def test_a_condition_has_the_same_texts_alone_and_in_company():
    together = generate_for_retrievals(
        [retrieval(item) for item in CONDITIONS],
        RecitingGenerator(),
        num_samples=8,
        constrain=False,
    )
    for place in (0, 1, 2):
        alone = generate_for_retrievals(
            [retrieval(CONDITIONS[place])], RecitingGenerator(), num_samples=8, constrain=False
        )
        assert texts(alone) == [texts(together)[place]]


def test_a_condition_asked_twice_has_other_texts_the_second_time():
    first, second = generate_for_retrievals(
        [retrieval(CONDITIONS[1]), retrieval(CONDITIONS[1])],
        RecitingGenerator(),
        num_samples=12,
        constrain=False,
    )
    assert texts([first]) != texts([second])


def test_keys_are_distinct():
    assert len(set(request_keys(CONDITIONS))) == len(CONDITIONS)


def test_unreadable_texts_are_drawn_again_and_counted():
    generations = generate_for_retrievals(
        [retrieval(CONDITIONS[1])],
        RecitingGenerator([ROCK_SALT, NO_CRYSTAL]),
        num_samples=20,
        constrain=False,
        sampling=SamplingParams(max_redraws=30),
    )
    completions = generations[0].completions
    assert all(NO_CRYSTAL not in item.text for item in completions)
    assert sum(item.attempts for item in completions) > 20
    for item in completions:
        assert sum(item.rejected.values()) == item.attempts - 1


def test_a_readable_text_of_a_bad_crystal_is_kept():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[1])], RecitingGenerator([OVERLAPPING]), constrain=False
    )
    assert generation.completions[0].attempts == 1


def test_under_a_constraint_another_group_is_drawn_again():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[0])],
        RecitingGenerator([PEROVSKITE, ROCK_SALT]),
        num_samples=10,
        sampling=SamplingParams(max_redraws=30),
    )
    assert all("Pm-3m" in item.text for item in generation.completions)
    assert any(item.rejected.get("symmetry_differs") for item in generation.completions)
    assert all("221" in (item.constraint or "") for item in generation.completions)


def test_constraint_options_reach_the_constraint():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[0])],
        RecitingGenerator([PEROVSKITE]),
        constrain=ConstraintOptions(max_atoms=17),
    )
    assert "at most 17 atoms" in (generation.completions[0].constraint or "")


def test_an_impossible_condition_is_told_before_anything_is_loaded_or_written():
    def load() -> RecitingGenerator:
        raise AssertionError("the model was loaded")

    # every position of Fd-3m holds an even number of atoms, and twice 41 are too many
    impossible = Condition(formula="Na29Cl12", space_group=227)
    with pytest.raises(ImpossibleConditionError) as error:
        generate_for_retrievals([retrieval(CONDITIONS[0]), retrieval(impossible)], load)
    assert "\n" not in str(error.value)
    assert "227" in str(error.value)


def test_a_model_may_be_given_as_what_loads_it():
    (generation,) = generate_for_retrievals(
        [retrieval(CONDITIONS[1])], RecitingGenerator, constrain=False
    )
    assert generation.model.engine == "reciting"


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        generate_for_retrievals([retrieval(CONDITIONS[0])], RecitingGenerator(), num_samples=0)


@given(num_samples=st.integers(1, 9), shard_size=st.integers(1, 40), data=st.data())
def test_shards_put_together_are_the_undivided_run(num_samples, shard_size, data):
    retrievals = [retrieval(item) for item in CONDITIONS]
    whole = generate_for_retrievals(
        retrievals, RecitingGenerator(), num_samples=num_samples, constrain=False
    )
    shards = split_tasks(plan_tasks(CONDITIONS, num_samples), shard_size)
    assert all(1 <= sum(task.num_samples for task in shard) <= shard_size for shard in shards)
    parts = [
        generate_for_retrievals(
            [retrievals[task.index] for task in shard],
            RecitingGenerator(),
            constrain=False,
            tasks=shard,
        )
        for shard in data.draw(st.permutations(shards))
    ]
    merged = merge_generations(parts)
    assert [item.completions for item in merged] == [item.completions for item in whole]
    assert [item.prompt for item in merged] == [item.prompt for item in whole]


def test_best_of_keeps_the_most_probable_of_the_same_draws():
    asked = [retrieval(condition) for condition in CONDITIONS]
    drawn = SamplingParams(max_redraws=2)
    single = generate_for_retrievals(
        asked, RecitingGenerator(), num_samples=12, constrain=False, sampling=drawn
    )
    counted: list[tuple[int, int]] = []
    best = generate_for_retrievals(
        asked, RecitingGenerator(), num_samples=3, constrain=False,
        sampling=drawn.model_copy(update={"best_of": 4}),
        progress=lambda done, total: counted.append((done, total)),
    )  # fmt: skip
    assert counted == [(12, 12)]  # samples, not draws
    for every, kept in zip(single, best, strict=True):
        assert [item.sample_index for item in kept.completions] == [0, 1, 2]
        for number, choice in enumerate(kept.completions):
            group = every.completions[4 * number : 4 * number + 4]
            readable = [item for item in group if item.flaw is None] or group
            assert choice.log_prob == max(item.log_prob for item in readable)
            assert choice.text in [item.text for item in readable]
            assert choice.draws == sum(item.attempts for item in group)
            assert choice.tokens_drawn == sum(item.tokens_drawn for item in group)
        assert kept.sampling.best_of == 4


def test_a_probable_text_that_is_no_crystal_goes_last():
    def completion(log_prob: float, flaw: FailureReason | None) -> Completion:
        return Completion(
            request_index=0, sample_index=0, text=f"{log_prob} {flaw}", finished=True,
            num_tokens=1, log_prob=log_prob, flaw=flaw,
        )  # fmt: skip

    rubbish = completion(-1.0, FailureReason.NO_SITES)
    overlapping = completion(-2.0, FailureReason.ATOMS_OVERLAP)
    crystal = completion(-3.0, None)
    truncated = completion(-0.5, FailureReason.TRUNCATED)
    for group, expected in (
        ([rubbish, overlapping, crystal], crystal),
        ([rubbish, overlapping], overlapping),
        ([rubbish, truncated], truncated),
        ([crystal, completion(-3.0, None).model_copy(update={"text": "later"})], crystal),
    ):  # fmt: skip
        (kept,) = keep_most_probable(group, len(group))
        assert kept.text == expected.text
        assert (kept.draws, kept.tokens_drawn) == (len(group), len(group))


def test_an_engine_without_probabilities_cannot_choose():
    with pytest.raises(GenerationError, match="best of 2: this engine does not tell"):
        generate_for_retrievals(
            [retrieval(CONDITIONS[1])], RecitingGenerator(log_probs=False), constrain=False,
            sampling=SamplingParams(best_of=2),
        )  # fmt: skip


@given(best_of=st.integers(1, 4), shard_size=st.integers(1, 9))
def test_shards_of_best_of_put_together_are_the_undivided_run(best_of, shard_size):
    asked = [retrieval(condition) for condition in CONDITIONS]
    sampling = SamplingParams(best_of=best_of, max_redraws=0)
    whole = generate_for_retrievals(
        asked, RecitingGenerator(), num_samples=3, constrain=False, sampling=sampling
    )
    tasks = plan_tasks(CONDITIONS, 3)
    shards = [
        generate_for_retrievals(
            [asked[task.index] for task in shard], RecitingGenerator(), constrain=False,
            sampling=sampling, tasks=shard,
        )
        for shard in split_tasks(tasks, shard_size)
    ]  # fmt: skip
    together = merge_generations(shards)
    assert [item.completions for item in together] == [item.completions for item in whole]


@pytest.mark.parametrize("text_format", ["sgs", "sgsw", "xyz", "cif"])
def test_demonstrations_are_shown_in_the_words_and_texts_of_training(text_format: str) -> None:
    asked = Condition(formula="KCl", space_group=225)
    shown = Retrieval(condition=asked, strategy="C", shots=1, seed=0, demonstrations=[rock_salt()])
    generation, *_ = generate_for_retrievals(
        [shown],
        RecitingGenerator(),
        text_format=text_format,
        template="alpaca",
        constrain=False,
        sampling=SamplingParams(max_redraws=0),
    )
    text = crystal_text(SGS.analyze(SGS.decode(ROCK_SALT)), text_format)
    described = "Material composition is NaCl. It has a space group number 225."
    assert f"Example 1: {described}\n{text}\n" in generation.prompt
    assert generation.prompt.endswith("### Response:\n")


def test_in_the_alpaca_form_a_constrained_text_begins_at_once() -> None:
    asked = Condition(formula="NaCl", space_group=225)
    (paper,), (alpaca,) = (
        build_constraints([asked], template=template) for template in ("crystalicl", "alpaca")
    )
    assert paper is not None
    assert alpaca is not None
    assert paper.options.opening == "\n### "  # type: ignore[attr-defined]
    assert alpaca.options.opening == ""  # type: ignore[attr-defined]
    assert alpaca.options.line_prefix == ""  # type: ignore[attr-defined]
