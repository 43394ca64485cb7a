"""The benchmark commands: what they write, that they go on after a kill, and mistakes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

POTASSIUM_CHLORIDE = ROCK_SALT.replace("Na", "K").replace("5.6", "6.4")
TRUTH = {"NaCl": ROCK_SALT, "KCl": POTASSIUM_CHLORIDE, "CaTiO3": PEROVSKITE}
ARGUMENTS = ("--limit", 3, "--no-constrain", "--max-redraws", 0)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of three crystals."""
    path = tmp_path_factory.mktemp("dataset") / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for name, text in TRUTH.items():
            writer.writerow([name, SGS.decode(text).to(fmt="cif")])
    return path


class Dying(RecitingGenerator):
    """Dies at its second call, as a killed process does."""

    def generate(self, *arguments: Any, **options: Any) -> Any:
        if len(self.calls) == 1:
            raise KeyboardInterrupt
        return super().generate(*arguments, **options)


def load(monkeypatch: pytest.MonkeyPatch, generator: RecitingGenerator) -> RecitingGenerator:
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    return generator


def read(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "metrics.json").read_text())
    assert isinstance(document, dict)
    return document


def test_prediction_tells_the_match_rate_of_one_to_n_samples(
    run: Callable[..., Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    out = tmp_path / "run"
    done = run("benchmark", "prediction", "--dataset", dataset, "--n", 8, *ARGUMENTS, "--out", out)
    assert done.exit_code == 0, done.output
    metrics = read(out)
    rows = metrics["prediction"]
    assert [row["n"] for row in rows] == list(range(1, 9))
    matched = [row["matched"] for row in rows]
    assert matched == sorted(matched)
    # rock salt and perovskite are written sooner or later, potassium chloride never
    assert matched[-1] == 2
    assert {row["conditions"] for row in rows} == {3}
    # the first sample alone gives what the run of one sample gives
    first = tmp_path / "first"
    run("benchmark", "prediction", "--dataset", dataset, *ARGUMENTS, "--out", first)
    assert read(first)["prediction"] == rows[:1]
    assert metrics["speed"]["tokens"] == sum(
        json.loads(line)["provenance"]["num_tokens"]
        for line in (out / "candidates.jsonl").read_text().splitlines()
    )


@pytest.mark.parametrize("command", ["prediction", "conditional"])
def test_a_killed_run_goes_on(
    command: str,
    run: Callable[..., Any],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "crystalicl_jobflow.flows.benchmark.conditional.part_size", lambda *_a, **_o: 1
    )
    asked = ("benchmark", command, "--dataset", dataset, "--shots", 0, *ARGUMENTS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", whole).exit_code == 0

    load(monkeypatch, Dying())
    assert run(*asked, "--out", killed).exit_code != 0
    assert len(list((killed / "parts").iterdir())) == 1
    assert not (killed / "metrics.json").exists()
    second = load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", killed).exit_code == 0
    assert len(second.calls) == 2  # the first of three parts was there
    assert not (killed / "parts").exists()

    def results(folder: Path) -> Any:
        metrics = read(folder)
        lines = [json.loads(line) for line in (folder / "candidates.jsonl").open()]
        return metrics["rates"], metrics["metrics"], [line["candidate_id"] for line in lines]

    assert results(killed) == results(whole)
    # and a finished run is not done again
    third = load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", killed).exit_code == 0
    assert third.calls == []


def test_a_folder_of_another_run_is_refused(
    run: Callable[..., Any], refused: Callable[..., str], dataset: Path, tmp_path: Path
) -> None:
    asked = ("benchmark", "prediction", "--dataset", dataset, *ARGUMENTS, "--out", tmp_path / "r")
    assert run(*asked).exit_code == 0
    before = (tmp_path / "r" / "metrics.json").read_text()
    assert "seed: 0 there, 1 now" in refused(*asked, "--seed", 1)
    assert (tmp_path / "r" / "metrics.json").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--condition", "colour"), "cannot ask for 'colour'"),
        (("--condition", "band_gap"), "has no band_gap"),
        (("--n", "0"), "--n"),
        (("--min-distance", "1", "--no-constrain"), "--min-distance has no effect"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...],
    said: str,
    refused: Callable[..., str],
    dataset: Path,
    tmp_path: Path,
) -> None:
    words = ("benchmark", "prediction", "--dataset", dataset, *arguments, "--out", tmp_path / "r")
    assert said in refused(*words)
    assert not (tmp_path / "r").exists()


def test_a_missing_data_set_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("benchmark", "prediction", "--dataset", tmp_path / "no.csv", "--out", tmp_path / "r")
    assert "no.csv" in refused(*words)
