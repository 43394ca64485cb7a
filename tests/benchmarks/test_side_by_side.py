"""Rows of several benchmarks in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from crystalicl_jobflow.benchmarks.side_by_side import side_by_side
from crystalicl_jobflow.benchmarks.tables import markdown, write_tables
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.schemas.benchmark import TableDoc, TableRow


def run(folder: Path, *rates: float, **others: float) -> Path:
    rows = [
        TableRow(
            label=f"{i}-shot",
            data_set="mp_20",
            mean={"match_at_1": rate, "parsed": 1.0, **others},
            std={"match_at_1": None},
            uncertainty={"match_at_1": 0.1},
            runs=1,
        )
        for i, rate in enumerate(rates)
    ]
    paper = TableRow(label="CDVAE", data_set="mp_20", source="a paper", mean={"match_at_1": 0.3})
    table = TableDoc(
        title="Prediction", columns=["match_at_1"], rows=rows, published=[paper], notes=["A note."]
    )
    folder.mkdir()
    write_tables(folder, [table])
    return folder


def test_rows_stand_in_the_order_given_and_published_ones_once(tmp_path: Path) -> None:
    one, two = run(tmp_path / "one", 0.5), run(tmp_path / "two", 0.7, 0.8)
    found = side_by_side([("model", two), ("other", one / "table.json")])
    assert [row.label for row in found.rows] == ["model 0-shot", "model 1-shot", "other"]
    assert [row.mean for row in found.rows] == [{"match_at_1": x} for x in (0.7, 0.8, 0.5)]
    assert [row.label for row in found.published] == ["CDVAE"]
    assert (found.title, found.notes) == ("Prediction", ["A note."])
    assert "| other | 0.50 |" in markdown(found)


def test_figures_are_chosen_by_name(tmp_path: Path) -> None:
    one = run(tmp_path / "one", 0.5, joint=0.25)
    found = side_by_side([("a", one)], columns=["joint", "parsed"], title="Both")
    assert found.rows[0].mean == {"joint": 0.25, "parsed": 1.0}
    assert found.published == []
    assert markdown(found).startswith("## Both\n")


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    one = run(tmp_path / "one", 0.5)
    out = tmp_path / "both"
    done = CliRunner().invoke(cli, ["benchmark", "table", f"b={one}", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "| b | 0.50 |" in done.output
    assert json.loads((out / "table.json").read_text())[0]["rows"][0]["label"] == "b"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "nowhere: give LABEL=RUN"),
        (["a=nowhere"], "nowhere has no table.json: it is no finished benchmark"),
        (["a={one}", "--columns", "speed"], "no run has the figure 'speed'; they have parsed"),
        (["a={bad}"], "{bad} holds no table of a benchmark"),
    ],
)
def test_mistakes_get_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    places = {"one": run(tmp_path / "one", 0.5), "bad": bad}
    given = [item.format(**places) for item in arguments]
    done = CliRunner().invoke(cli, ["benchmark", "table", *given, "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert line.format(**places) in done.output
    assert len(done.output.strip().splitlines()) == 1
