"""Makers with a measured pattern: read when they are made, used where there is no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
from crystalicl_jobflow.jobs import GenerateMaker, SelectMaker, ValidateMaker
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.schemas.candidate import ValidateDoc
from crystalicl_jobflow.schemas.discovery import SelectDoc
from crystalicl_jobflow.text import SGS
from reciting import NO_CRYSTAL, ROCK_SALT, RecitingGenerator

CSCL_TYPE = "Pm-3m\n3.5 3.5 3.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
Maker = type[ValidateMaker] | type[SelectMaker]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Return a file with a measurement of rock salt."""
    pattern = simulate_pattern(SGS.decode(ROCK_SALT), PatternSimulation(), name="NaCl", seed=0)
    path = tmp_path / "halite.xy"
    np.savetxt(path, np.column_stack([pattern.two_theta, pattern.intensity]), fmt="%.3f")
    return path


@pytest.mark.parametrize("kind", [ValidateMaker, SelectMaker])
def test_the_file_is_read_when_the_maker_is_made(kind: Maker, measured: Path) -> None:
    maker = kind(xrd=measured, wavelength="CuKa1")
    measured.unlink()  # the worker has no such file
    assert maker.xrd["name"] == "halite.xy"
    assert maker.xrd["radiation"] == "CuKa1"
    stored = json.loads(json.dumps(jsanitize(maker, strict=True, enum_values=True)))
    assert MontyDecoder().process_decoded(stored) == maker


@pytest.mark.parametrize("kind", [ValidateMaker, SelectMaker])
def test_mistakes_are_told_before_the_job_is_sent(kind: Maker, tmp_path: Path) -> None:
    (tmp_path / "x.xy").write_text("20 1\n")
    with pytest.raises(ValueError, match=r"x\.xy has 1 point;"):
        kind(xrd=tmp_path / "x.xy")
    with pytest.raises(ValueError, match="wavelength has no effect without xrd"):
        kind(wavelength="CuKa")
    with pytest.raises(FileNotFoundError):
        kind(xrd=tmp_path / "missing.xy")


def run(monkeypatch: pytest.MonkeyPatch, validate: ValidateMaker, select: SelectMaker) -> Any:
    generator = RecitingGenerator([CSCL_TYPE, CSCL_TYPE, ROCK_SALT, NO_CRYSTAL])
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator", lambda *_args, **_options: generator
    )
    sampling = SamplingParams(max_redraws=0)
    maker = GenerateMaker(num_samples=8, sampling=sampling, constrain=False)
    generate = maker.make([{"formula": "NaCl"}])
    checked = validate.make(generate.output)
    chosen = select.make(checked.output)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(Flow([generate, checked, chosen]), store=store, ensure_success=True, log=False)
    return [
        kind.model_validate(job.output.resolve(store))
        for kind, job in ((ValidateDoc, checked), (SelectDoc, chosen))
    ]


def test_a_flow_compares_and_ranks(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, chosen = run(monkeypatch, ValidateMaker(xrd=measured), SelectMaker())
    assert chosen.ranking == ["success", "xrd", "times_drawn", "log_prob"]
    assert all((item.xrd is None) == (item.structure is None) for item in checked.candidates)
    assert {item.xrd.pattern for item in checked.candidates if item.xrd} == {"halite.xy"}
    best = next(item for item in checked.candidates if item.xrd and item.xrd.similarity > 0.97)
    assert best.space_group == 225
    assert chosen.chosen[0].candidate_id == best.candidate_id


def test_a_selection_may_bring_the_pattern_itself(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, chosen = run(monkeypatch, ValidateMaker(), SelectMaker(xrd=measured, ranking="xrd"))
    assert all(item.xrd is None for item in checked.candidates)
    ids = {item.candidate_id: item.space_group for item in checked.candidates}
    assert ids[chosen.chosen[0].candidate_id] == 225


def test_without_a_pattern_the_default_ranking_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked, chosen = run(monkeypatch, ValidateMaker(), SelectMaker())
    assert chosen.ranking == ["success", "times_drawn", "log_prob"]
    assert all(item.xrd is None for item in checked.candidates)
