"""``crystalicl benchmark judge``: other verdicts on the crystals of finished runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.energies import Answer, load_predictor
from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

RunCommand = Callable[..., Any]
ARGUMENTS = ("--limit", 2, "--no-constrain", "--max-redraws", 0, "--shots", "0,1", "--repeats", 2)


class Strict:
    """A gap of 5 eV for sodium chloride; titanates it does not know."""

    property_name, name, version = "band_gap", "strict", "1"

    def __init__(self) -> None:
        self.asked = 0

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        self.asked += len(structures)
        return [
            Answer(5.0)
            if crystal is not None and "Na" in crystal.composition
            else Answer(None, "Titanium is not known.")
            for crystal in structures
        ]

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        return [answer.value for answer in self.answers(structures)]


@pytest.fixture
def finished(run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a finished benchmark: gaps judged by the trees, two rows with two seeds."""
    dataset = tmp_path / "truth.csv"
    with dataset.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "band_gap"])
        for name, text, gap in (("NaCl", ROCK_SALT, 5.0), ("CaTiO3", PEROVSKITE, 2.0)):
            writer.writerow([name, SGS.decode(text).to(fmt="cif"), gap])
    generator = RecitingGenerator([ROCK_SALT, PEROVSKITE])
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    out = tmp_path / "run"
    done = run("benchmark", "conditional", "--dataset", dataset, "--condition", "formula,band_gap",
               *ARGUMENTS, "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Strict:
    judge = Strict()

    def load(name: str, model: str | None = None) -> Any:
        return judge if model == "strict" else load_predictor(name, model)

    monkeypatch.setattr("crystalicl_jobflow.energies.load_predictor", load)
    return judge


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("metrics.json"))
    }


def test_what_is_predicted_changes_and_the_rest_stays(
    run: RunCommand, finished: Path, strict: Strict, tmp_path: Path
) -> None:
    out = tmp_path / "judged"
    asked = ("benchmark", "judge", finished, "--predictor", "band_gap=strict", "--out", out)
    done = run(*asked)
    assert done.exit_code == 0, done.output
    before, after = runs(finished), runs(out)
    assert list(before) == list(after)
    assert len(before) == 4
    for place, metrics in after.items():
        candidates = [
            json.loads(line) for line in (out / place / "candidates.jsonl").read_text().splitlines()
        ]
        salts = sum(
            item["formula_pretty"] == "NaCl" and "Na" in item["condition"]["formula"]
            for item in candidates
        )
        assert metrics["rates"]["band_gap"]["count"] == salts
        assert metrics["rates"]["joint"]["count"] == salts
        assert metrics["rates"]["formula"] == before[place]["rates"]["formula"]
        assert metrics["predictor:band_gap"] == "strict 1"
        others = [item for item in candidates if item["formula_pretty"] != "NaCl"]
        # no value of the trees is left under the other judge's name
        assert all(item["properties"] == {} for item in others)
        if others:
            assert "Titanium is not known." in metrics["tolerances"]["not_predicted:band_gap"]
    table = (out / "table.md").read_text()
    assert "judged by strict" in table
    assert "band gap by strict (1)" in table
    assert "by trees" not in table
    assert "seconds" not in table
    asked_before = strict.asked
    assert run(*asked).exit_code == 0
    assert strict.asked == asked_before


def test_what_cannot_be_judged_is_refused_in_one_line(
    run: RunCommand, finished: Path, strict: Strict, tmp_path: Path
) -> None:
    judged = ("--predictor", "band_gap=strict")
    same = run("benchmark", "judge", finished, *judged, "--out", finished)
    assert same.exit_code == 2
    assert "name another folder" in same.output
    (tmp_path / "nothing").mkdir()
    none = run("benchmark", "judge", tmp_path / "nothing", *judged, "--out", tmp_path / "out")
    assert none.exit_code != 0
    assert "it is no finished benchmark" in none.output
    for path in finished.rglob("metrics.json"):
        path.unlink()
    gone = run("benchmark", "judge", finished, *judged, "--out", tmp_path / "out")
    assert gone.exit_code != 0
    assert "holds no finished run of" in gone.output
