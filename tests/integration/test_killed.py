"""Commands whose process is killed (kill -9) and that run again: nothing is lost or doubled."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from click.testing import CliRunner

from crystalicl_jobflow.candidates import find_documents, open_candidate_store
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.schemas import Completion, Condition, Generation
from crystalicl_jobflow.schemas.generation import ModelInfo, SamplingParams
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.validation import build_candidates
from reciting import PEROVSKITE, ROCK_SALT

SCRIPT = Path(__file__).with_name("killed_command.py")
FLOW = """\
flow: generate
conditions:
  - {formula: CaTiO3, space_group: 221}
  - {formula: NaCl}
retrieve: {shots: 0}
generate: {num_samples: 4, shard_size: 4, constrain: false}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system"),
]


def start(what: str, number: int, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), what, str(number), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def end(process: subprocess.Popen[str], *, killed: bool) -> str:
    """Wait for a command; return what it printed, both streams."""
    output = "".join(process.communicate(timeout=300))
    assert process.returncode == (-signal.SIGKILL if killed else 0), output
    return output


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_benchmark(here: Path) -> None:
    with Path("truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        texts = [PEROVSKITE, ROCK_SALT, ROCK_SALT.replace("Na", "K").replace("5.6", "6.4")]
        for number, text in enumerate(texts):
            writer.writerow([number, SGS.decode(text).to(fmt="cif")])
    command = (
        "benchmark", "conditional", "--dataset", "truth.csv", "--shots", 0, "--no-constrain",
        "--max-redraws", 0, "--out",
    )  # fmt: skip
    end(start("text", 0, *command, "whole"), killed=False)
    end(start("text", 2, *command, "run"), killed=True)
    assert len(list((here / "run" / "parts").iterdir())) == 1
    end(start("text", 0, *command, "run"), killed=False)

    def read(folder: str) -> tuple[Any, list[Any]]:
        metrics = json.loads((here / folder / "metrics.json").read_text())
        lines = (here / folder / "candidates.jsonl").read_text().splitlines()
        candidates = [json.loads(line) for line in lines]
        return metrics["rates"], [(item["candidate_id"], item["text"]) for item in candidates]

    assert read("run") == read("whole")
    assert len(set(read("run")[1])) == 3


def test_an_evaluation(here: Path) -> None:
    """What was there stays whole, and the next run is as one that was never killed."""
    texts = [PEROVSKITE, ROCK_SALT, ROCK_SALT.replace("Na", "K").replace("5.6", "6.4"), "nonsense"]
    generation = Generation(
        condition=Condition(formula="CaTiO3"),
        prompt="",
        completions=[
            Completion(request_index=0, sample_index=i, text=text, finished=True, num_tokens=1)
            for i, text in enumerate(texts)
        ],
        sampling=SamplingParams(),
        model=ModelInfo(engine="none", base_model="none"),
    )
    with Path("candidates.jsonl").open("w") as file:
        file.writelines(item.model_dump_json() + "\n" for item in build_candidates([generation]))
    with Path("known.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows([i, SGS.decode(text).to(fmt="cif")] for i, text in enumerate(texts[:2]))
    short = ("evaluate", "candidates.jsonl", "--out")
    full = (
        "evaluate", "candidates.jsonl", "--reference", "known.csv", "--no-aligned", "--novelty",
        "--out",
    )  # fmt: skip
    for command in ((*short, "short"), (*full, "whole")):
        assert CliRunner().invoke(cli, command).exit_code == 0

    def read(folder: str) -> tuple[Any, str, str]:
        path = here / folder
        metrics = json.loads((path / "metrics.json").read_text())
        pandas.read_parquet(path / "structures.parquet")
        return (
            {name: metrics[name] for name in ("rates", "metrics", "reasons")},
            (path / "structures.csv").read_text(),
            (path / "candidates.jsonl").read_text(),
        )

    versions = list(zip(read("short"), read("whole"), strict=True))
    assert versions[0][0] != versions[0][1]
    shutil.copytree("short", "run")
    for number in (1, 3):
        end(start("rename", number, *full, "run"), killed=True)
        for found, either in zip(read("run"), versions, strict=True):
            assert found in either
    end(start("rename", 0, *full, "run"), killed=False)
    assert read("run") == read("whole")
    assert {path.name for path in here.joinpath("run").iterdir()} == {
        path.name for path in here.joinpath("whole").iterdir()
    }


def candidates(path: Path) -> list[tuple[str, str, str]]:
    """Return id, text and stage of every candidate of a store, sorted."""
    found = find_documents(open_candidate_store(str(path)))
    return sorted((item["candidate_id"], item["text"], item["stage"]) for item in found)


def test_a_local_submission(here: Path) -> None:
    Path("flow.yaml").write_text(FLOW)
    command = ("submit", "flow.yaml", "--local", "--out")
    end(start("text", 0, *command, "whole"), killed=False)
    end(start("text", 3, *command, "run"), killed=True)
    words = end(start("text", 0, *command, "run"), killed=False)
    assert "8 candidates in" in words
    run, whole = (candidates(here / folder / "candidates.sqlite") for folder in ("run", "whole"))
    assert len(run) == len(set(run)) == 8
    assert run == whole


def test_two_collections_at_once(here: Path) -> None:
    """One of two is killed while both write into the same file."""
    Path("flow.yaml").write_text(FLOW)
    end(start("text", 0, "submit", "flow.yaml", "--local", "--out", "run"), killed=False)
    whole = candidates(here / "run" / "candidates.sqlite")
    command = ("collect", "run/store.yaml", "--store", "both.sqlite")
    first, second = start("write", 1, *command), start("write", 0, *command)
    # it is killed at its first write; where the other was faster, it has nothing to write
    late = "0 jobs read" in "".join(first.communicate(timeout=300))
    assert first.returncode == (0 if late else -signal.SIGKILL)
    end(second, killed=False)
    assert candidates(here / "both.sqlite") == whole
    words = end(start("write", 0, *command), killed=False)
    assert "8 candidates in both.sqlite, 0 of them new" in words
    assert candidates(here / "both.sqlite") == whole
