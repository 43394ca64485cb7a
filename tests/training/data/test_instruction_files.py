"""Instruction files: what other trainers read, and what ours read back."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter

import pytest

from crystalicl_jobflow.training import HYBRID_MIXTURE, InstructionSet, Mixture
from crystalicl_jobflow.training.data.batches import InstructionBatches
from crystalicl_jobflow.training.data.instruction_files import (
    COLUMNS,
    InstructionFile,
    export_instructions,
    info_path,
)
from crystalicl_jobflow.training.data.mixtures import Variation

SMALL = 24


@pytest.fixture
def small(prototypes) -> InstructionSet:
    return InstructionSet(prototypes[:SMALL], mixture=HYBRID_MIXTURE, seed=3)


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_full_set_holds_every_kind_for_each_crystal(small, tmp_path) -> None:
    info = export_instructions(small, tmp_path / "full.jsonl")
    written = rows(tmp_path / "full.jsonl")
    assert all(tuple(row) == COLUMNS for row in written)
    by_crystal = Counter((row["crystal_id"], row["kind"]) for row in written)
    for item in small.crystals:
        name = item.demonstration.demonstration_id
        assert by_crystal[name, "zero-shot"] == 1
        assert by_crystal[name, "property"] == len(item.demonstration.properties)
        for kind in ("few-shot C", "few-shot R", "few-shot C for CF", "few-shot R for F"):
            assert by_crystal[name, kind] == 1
    assert info["instructions"] == len(written)
    assert info["kinds"] == dict(sorted(Counter(row["kind"] for row in written).items()))
    # shuffled: what is said of one crystal does not stand together
    names = [row["crystal_id"] for row in written]
    together = sum(first == second for first, second in itertools.pairwise(names))
    assert together < len(names) / 4


def test_the_description_names_settings_and_content(small, tmp_path) -> None:
    path = tmp_path / "set.jsonl"
    export_instructions(small, path, more={"data": ["prototypes"]})
    info = json.loads(info_path(path).read_text(encoding="utf-8"))
    assert info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (info["seed"], info["text_format"], info["template"]) == (3, "sgs", "crystalicl")
    assert info["data"] == ["prototypes"]
    assert info["fallbacks"] == {"F": "R", "CF": "C"}


@pytest.mark.parametrize("epochs", [None, 2])
def test_the_file_does_not_depend_on_the_order_of_the_crystals(
    prototypes, tmp_path, epochs
) -> None:
    shuffled = list(prototypes[:SMALL])
    random.Random(1).shuffle(shuffled)
    contents = set()
    for number, crystals in enumerate((prototypes[:SMALL], shuffled)):
        path = tmp_path / f"{number}.jsonl"
        made = InstructionSet(
            crystals, mixture=HYBRID_MIXTURE, seed=5, variation=Variation(augment=0.5)
        )
        export_instructions(made, path, epochs=epochs)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    other = InstructionSet(
        prototypes[:SMALL], mixture=HYBRID_MIXTURE, seed=6, variation=Variation(augment=0.5)
    )
    export_instructions(other, tmp_path / "other.jsonl", epochs=epochs)
    assert (tmp_path / "other.jsonl").read_bytes() not in contents


def test_drawn_epochs_hold_each_crystal_once_and_differ(small, tmp_path) -> None:
    export_instructions(small, tmp_path / "drawn.jsonl", epochs=2)
    written = rows(tmp_path / "drawn.jsonl")
    assert len(written) == 2 * SMALL
    first, second = written[:SMALL], written[SMALL:]
    assert {row["crystal_id"] for row in first} == {row["crystal_id"] for row in second}
    assert [item.prompt for item in small.epoch(0)] == [row["prompt"] for row in first]
    assert {row["prompt"] for row in first} != {row["prompt"] for row in second}


def test_datasets_reads_the_columns_that_trainers_take(small, tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "set.jsonl"
    export_instructions(small, path)
    read = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert tuple(read.column_names) == COLUMNS
    assert read[:]["completion"] == [row["completion"] for row in rows(path)]


def test_what_is_read_back_is_what_was_written(small, tmp_path) -> None:
    path = tmp_path / "set.jsonl"
    export_instructions(small, path)
    found = InstructionFile(path)
    assert (found.seed, found.text_format, found.mixture) == (3, "sgs", HYBRID_MIXTURE)
    assert found.crystals == sorted(c.demonstration.demonstration_id for c in small.crystals)
    assert Counter(found.epoch(0)) == Counter(small.full())
    assert found.order(0) != found.order(1)
    assert sorted(found.order(0)) == sorted(found.order(1))


def test_a_file_trains_as_the_set_itself_does(small, tmp_path, tokenizer) -> None:
    path = tmp_path / "set.jsonl"
    export_instructions(small, path)
    options = {"tokens_per_batch": 2048, "max_tokens": 1024, "examples": True}
    batches = InstructionBatches(InstructionFile(path), tokenizer, **options)
    read = [row for batch in batches.batches(0, 0) for row in batch]
    direct = InstructionBatches(small, tokenizer, **options)
    expected = [row for batch in direct.fixed(small.full()) for row in batch]
    assert sorted(row.token_ids for row in read) == sorted(row.token_ids for row in expected)
    assert sum(sum(row.learned) for row in read) == sum(sum(row.learned) for row in expected)


def test_formulas_are_held_out_whole(small, tmp_path) -> None:
    path = tmp_path / "set.jsonl"
    export_instructions(small, path)
    training, validation = InstructionFile(path).split(0.3)
    formulas = {c.demonstration.demonstration_id: c.demonstration.formula for c in small.crystals}
    held_out = {formulas[item.crystal_id] for item in validation}
    assert held_out
    assert not held_out & {formulas[name] for name in training.crystals}
    assert {item.kind for item in training.epoch(0)} >= {"zero-shot", "property"}
    assert all(item.kind != "property" for item in validation)


def test_prompt_and_completion_are_enough(tmp_path) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n\n{"prompt": "c", "completion": "d"}\n')
    found = InstructionFile(path)
    assert len(found) == 2
    assert {(item.prompt, item.response) for item in found.epoch(0)} == {("a", "b"), ("c", "d")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no instruction"),
        ('{"prompt": "a", "completion": "b"}\n{"prompt"', "line 2: no JSON"),
        ('{"prompt": "a"}', "line 1: no text 'completion'"),
        ("[1]", "line 1: no JSON object"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, content, message) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"bad\.jsonl.*{message}"):
        InstructionFile(path)


def test_mistakes_are_refused_before_anything_is_written(small, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.jsonl, not 'set\.json'"):
        export_instructions(small, tmp_path / "set.json")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        export_instructions(small, tmp_path / "set.jsonl", epochs=0)
    with pytest.raises(ValueError, match=r"none\.jsonl is not a file"):
        InstructionFile(tmp_path / "none.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_set_without_few_shot_instructions_shows_nothing(prototypes, tmp_path) -> None:
    only = Mixture(kinds={"zero-shot": 1.0})
    export_instructions(InstructionSet(prototypes[:5], mixture=only), tmp_path / "zero.jsonl")
    assert [row["demonstration_ids"] for row in rows(tmp_path / "zero.jsonl")] == [[]] * 5
