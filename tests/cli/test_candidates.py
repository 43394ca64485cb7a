"""A run in a folder: its files take an earlier run's place together, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.candidates.files import CANDIDATES, read_candidates
from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.cli import _candidates
from crystalicl_jobflow.cli._candidates import CIFS, SUMMARY, write_run
from crystalicl_jobflow.evaluation import evaluate
from crystalicl_jobflow.schemas import Candidate


def files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def runs(make: Any) -> list[list[Candidate]]:
    """Return the candidates of two runs, the second of more crystals."""
    return [[make(NACL)], [make(CSCL), make(NACL.replace("5.7", "5.8"))]]


def write(folder: Path, candidates: list[Candidate]) -> None:
    write_run(folder, candidates, evaluate(candidates), {"asked": "salts"})


def test_a_second_run_takes_the_place_of_the_first(runs: Any, tmp_path: Path) -> None:
    (tmp_path / CIFS).mkdir()
    (tmp_path / CIFS / "mine.cif").write_text("not of a run")
    for candidates in runs:
        write(tmp_path, candidates)
    assert read_candidates(tmp_path / CANDIDATES) == runs[1]
    listed = json.loads((tmp_path / SUMMARY).read_text())["cifs"]
    assert len(listed) == 2
    assert set(files(tmp_path)) == {SUMMARY, CANDIDATES, f"{CIFS}/mine.cif", *listed}


@pytest.mark.parametrize("place", ["a CIF file", "the candidates", "the summary"])
def test_where_a_run_cannot_be_written_the_earlier_one_is_whole(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    write(tmp_path, runs[0])
    before = files(tmp_path)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    if place == "a CIF file":
        monkeypatch.setattr(CrystalFile, "text", full)
    elif place == "the candidates":
        monkeypatch.setattr(_candidates, "write_candidates", full)
    else:
        monkeypatch.setattr(_candidates, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, runs[1])
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if Path(name).name.startswith(".")]


def test_a_name_from_a_document_stays_in_the_folder(runs: Any, tmp_path: Path) -> None:
    (candidate,) = runs[0]
    hostile = candidate.model_copy(update={"candidate_id": "../../../x", "formula": "/etc/NaCl"})
    write(tmp_path / "run", [hostile])
    (path,) = (tmp_path / "run" / CIFS).iterdir()
    assert path.suffix == ".cif"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_link_does_not_lead_out_of_the_folder(runs: Any, tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    write(run, runs[0])
    (run / CIFS).rename(elsewhere / "cifs")
    (run / CIFS).symlink_to(elsewhere / "cifs")
    before = files(elsewhere)
    with pytest.raises(ValueError, match="leads out of"):
        write(run, runs[1])
    assert files(elsewhere) == before


def test_a_link_in_the_place_of_a_file_is_replaced(runs: Any, tmp_path: Path) -> None:
    mine, run = tmp_path / "mine.txt", tmp_path / "run"
    mine.write_text("mine")
    run.mkdir()
    for name in (SUMMARY, CANDIDATES):
        (run / name).symlink_to(mine)
    write(run, runs[0])
    assert mine.read_text() == "mine"
    assert read_candidates(run / CANDIDATES) == runs[0]
