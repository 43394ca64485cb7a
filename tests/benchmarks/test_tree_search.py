"""Tree search beside random sampling: which conditions are hard, what counts as better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pymatgen.core import Structure

from crystalicl_jobflow.benchmarks import BenchmarkSetting, ModelChoice, RunFolder, tree_search
from crystalicl_jobflow.benchmarks.tree_search import (
    HardCondition,
    Texts,
    hardest,
    search_benchmark,
)
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.energies import Energy, text_verdicts
from crystalicl_jobflow.energies.references import ElementalReferences, load_references
from crystalicl_jobflow.schemas import Candidate, Condition, Provenance, TreeSearch
from crystalicl_jobflow.text import SGS
from reciting import NO_CRYSTAL, PEROVSKITE, ROCK_SALT, RecitingGenerator

SMALL_SALT = ROCK_SALT.replace("5.6", "5.4")


def hard(drawn: Texts, searched: Texts) -> dict[str, bool]:
    return HardCondition("x", "NaCl", drawn, searched).improved


def test_better_is_more_valid_texts_or_lower_energies() -> None:
    drawn = Texts(0.4, -1.0, -0.5)
    assert hard(drawn, Texts(0.5, -1.1, -0.4)) == {
        "validity": True,
        "minimum": True,
        "mean": False,
    }
    assert not any(hard(drawn, drawn).values())
    assert not any(hard(drawn, Texts(0.0, None, None)).values())
    assert all(hard(Texts(0.1, None, None), drawn).values())


def test_figures_of_texts() -> None:
    assert Texts.gather([True, False, True, True], [-1.0, None, -2.0]) == Texts(0.75, -2.0, -1.5)
    assert Texts.gather([False], []) == Texts(0.0, None, None)


def test_hard_are_those_with_few_valid_texts_but_some() -> None:
    def texts(valid: int) -> list[Candidate]:
        return [
            Candidate(
                candidate_id=str(n), condition=Condition(), text="", valid=n < valid,
                provenance=Provenance(prompt=""),
            )
            for n in range(4)
        ]  # fmt: skip

    drawn = {place: texts(valid) for place, valid in enumerate((4, 0, 2, 1, 1))}
    assert hardest(drawn, 3) == [3, 4, 2]
    assert hardest({0: texts(0)}, 3) == []


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a CSV of a rock salt and a perovskite."""
    path = tmp_path / "truth.csv"
    rows = [("salt", ROCK_SALT), ("perovskite", PEROVSKITE)]
    cifs = [f'{name},"{SGS.decode(text).to(fmt="cif")}"' for name, text in rows]
    path.write_text("\n".join(["material_id,cif", *cifs]) + "\n")
    return path


class Dense:
    """A stand-in potential: the denser a crystal, the lower its energy."""

    name, version = "dense", "1"

    def energies(self, structures: Any, *, progress: Any = None) -> list[Energy]:
        return [Energy(item.volume / len(item)) for item in structures]


@pytest.fixture(autouse=True)
def _no_references_of_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute no elements with a stand-in potential, whatever is installed."""

    def load(model: Any) -> ElementalReferences:
        if model.name == "dense":
            raise ValueError("a stand-in has no references")
        return load_references(model)

    monkeypatch.setattr(text_verdicts, "load_references", load)


@pytest.fixture
def reciting(monkeypatch: pytest.MonkeyPatch) -> RecitingGenerator:
    """Recite two rock salts and a text that is none, whatever is asked for."""
    generator = RecitingGenerator([ROCK_SALT, SMALL_SALT, NO_CRYSTAL, NO_CRYSTAL])
    monkeypatch.setattr(ModelChoice, "load", lambda _: generator)
    return generator


def test_a_run_writes_both_arms_and_is_found_again(
    dataset: Path, tmp_path: Path, reciting: RecitingGenerator
) -> None:
    setting = BenchmarkSetting(dataset=str(dataset), samples=12)
    folder = RunFolder(tmp_path / "run", {"seed": 0})
    found = search_benchmark(
        setting, TreeSearch(simulations=12, energy="dense"), folder=folder, model=Dense()
    )
    # the perovskite has no valid text
    (row,) = found.conditions
    assert (row.material_id, found.looked_at) == ("truth-salt", 2)
    assert 0 < row.drawn.valid < 1
    assert row.searched.minimum == pytest.approx(5.4**3 / 8)
    assert len(found.candidates) == 24
    assert [item.provenance.search is None for item in found.candidates] == [True] * 12 + [
        False
    ] * 12
    written = RunFolder(tmp_path / "run", {"seed": 0}).finished
    assert written is not None
    assert written["improved"] == found.shares()
    assert not list((tmp_path / "run").glob("unfinished-*"))
    assert written["published"]["without group"]["validity"] == 0.95


def test_the_command_prints_and_writes_the_table(
    dataset: Path, tmp_path: Path, reciting: RecitingGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_search, "load_energy_model", lambda _: Dense())
    out = tmp_path / "out"
    words = ["benchmark", "search", "--dataset", dataset, "--draws", 8, "--hard", 3, "--out", out]
    done = CliRunner().invoke(cli, [*map(str, words), "--no-group"])
    assert done.exit_code == 0, done.output
    assert "NaCl" in done.stdout
    assert "Lower mean energy:" in done.stdout
    assert "(CrystaLLM: 95 %)" in done.stdout
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["condition"] == ["formula"]
    assert metrics["search"]["simulations"] == 8
    lines = (out / "candidates.jsonl").read_text().splitlines()
    assert len(lines) == 8 * 2 * len(metrics["conditions"])
    assert isinstance(Candidate.model_validate_json(lines[0]).structure, Structure | None)
    calls = len(reciting.calls)
    again = CliRunner().invoke(cli, [*map(str, words), "--no-group"])
    assert again.exit_code == 0, again.output
    assert len(reciting.calls) == calls
    other = CliRunner().invoke(cli, [*map(str, words), "--no-group", "--exploration", "2"])
    assert other.exit_code == 2
    assert "search" in other.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shots", "0,3"), "compared once"),
        (("--condition", "space_group", "--no-group"), "leaves nothing"),
        (("--energy", "oracle"), "no energy model 'oracle'"),
    ],
)
def test_mistakes_get_one_line(
    dataset: Path, tmp_path: Path, reciting: RecitingGenerator, options: Any, words: str
) -> None:
    arguments = ["benchmark", "search", "--dataset", str(dataset), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*arguments, *options])
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()
