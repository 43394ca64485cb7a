"""A generation job that was killed and is launched again writes only what is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.jobs import GenerateMaker, ValidateMaker
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.schemas.generation import GenerateDoc
from crystalicl_jobflow.settings import SETTINGS, resume_folder
from reciting import Dying

ASKED = [Condition(formula="CaTiO3", space_group=221), Condition(formula="NaCl")]


def launch(monkeypatch: pytest.MonkeyPatch, generator: Dying, **options: Any) -> GenerateDoc:
    """Launch the job as if for the first time: with an id and in a folder of its own."""
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    options = {"num_samples": 5, "constrain": False, **options}
    job = GenerateMaker(**options).make(ASKED)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(job, store=store, ensure_success=True, log=False)
    document = job.output.resolve(store)
    assert isinstance(document, GenerateDoc)
    return document


def test_what_was_written_is_found_by_the_next_launch(
    monkeypatch: pytest.MonkeyPatch, unfinished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = launch(monkeypatch, Dying())
    assert whole.num_resumed == 0
    with pytest.raises(KeyboardInterrupt):
        launch(monkeypatch, Dying(7))
    assert len(list(unfinished.iterdir())) == 1
    generator = Dying()
    with caplog.at_level(logging.INFO, logger="crystalicl_jobflow"):
        again = launch(monkeypatch, generator)
    assert [item.completions for item in again.generations] == [
        item.completions for item in whole.generations
    ]
    assert len(generator.asked) == 3
    assert again.num_resumed == 7
    assert "7 of 10 texts are written" in caplog.text


def test_nothing_is_left_of_a_job_that_is_done(
    monkeypatch: pytest.MonkeyPatch, unfinished: Path
) -> None:
    launch(monkeypatch, Dying())
    assert list(unfinished.iterdir()) == []


def test_a_shard_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, unfinished: Path) -> None:
    whole = launch(monkeypatch, Dying())
    with pytest.raises(KeyboardInterrupt):
        launch(monkeypatch, Dying(6), num_shards=3)
    generator = Dying()
    again = launch(monkeypatch, generator, num_shards=3)
    # the first shard's four were handed on when it was done, the second had written two
    assert again.num_resumed == 2
    assert len(generator.asked) == 8
    assert [item.completions for item in again.generations] == [
        item.completions for item in whole.generations
    ]
    assert list(unfinished.iterdir()) == []


def test_candidates_of_a_resumed_job_are_those_of_an_undisturbed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def candidates(generator: Dying) -> list[str]:
        monkeypatch.setattr(
            "crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator
        )
        generate = GenerateMaker(num_samples=5, constrain=False).make(ASKED)
        validate = ValidateMaker().make(generate.output.generations)
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        run_locally(Flow([generate, validate]), store=store, ensure_success=True, log=False)
        return [item.candidate_id for item in validate.output.resolve(store).candidates]

    whole = candidates(Dying())
    with pytest.raises(KeyboardInterrupt):
        candidates(Dying(3))
    assert candidates(Dying()) == whole
    assert len(set(whole)) == 10


def test_the_setting_says_where_or_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unfinished: Path
) -> None:
    assert resume_folder() == unfinished
    monkeypatch.setattr(SETTINGS, "RESUME_DIR", None)
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path / "cache"))
    assert resume_folder() == tmp_path / "cache" / "unfinished"
    monkeypatch.setattr(SETTINGS, "RESUME_DIR", "none")
    assert resume_folder() is None
    with pytest.raises(KeyboardInterrupt):
        launch(monkeypatch, Dying(7))
    generator = Dying()
    launch(monkeypatch, generator)
    assert len(generator.asked) == 10
