"""Figures of pages beside the stored results: the real pages, and what is wrong in made ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crystalicl_jobflow.benchmarks.stored_figures import check_pages, stored_figure, stored_table
from crystalicl_jobflow.cli import cli
from doc_pages import ROOT


def test_every_figure_of_the_results_is_what_its_run_says() -> None:
    pages = [ROOT / "docs" / "results", ROOT / "README.md"]
    pages.append(ROOT / "src/crystalicl_jobflow/generation/embedded/MODEL_CARD.md")
    found = check_pages(pages)
    assert [str(item) for item in found.mismatches] == []
    assert found.tables >= 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    document: dict[str, Any] = {
        "rates": {"match": {"rate": 0.8213, "count": 821}},
        "runs": [{"rms": 0.0412}],
        "none": None,
    }
    (tmp_path / "run.json").write_text(json.dumps(document))
    table = {"kind": "table", "heads": ["a", "b"], "rows": [["x", "1.5"]]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    return tmp_path


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


RIGHT = """# Page

82.1 %<!-- run.json rates/match/rate .1% --> match, **0.041**<!-- run.json runs/0/rms .3f --> Å,
821<!-- run.json rates/match/count d --> crystals with matgl 4.1.2 and `0.01`.

<!-- table table.json -->
| a | b |
| --- | --- |
| x | 1.5 |
<!-- end of table -->

```text
7.5 <!-- gone.json a .1f -->
```
"""


def test_right_figures(folder: Path) -> None:
    page(folder, RIGHT)
    found = check_pages([folder])
    assert (found.mismatches, found.figures, found.tables) == ([], 3, 1)


@pytest.mark.parametrize(
    ("was", "instead", "words"),
    [
        ("82.1 %", "83.1 %", "should be 82.1 %"),
        ("82.1 %", "182.1 %", "should be 82.1 %"),
        ("821<", "822<", "should be 821"),
        ("rates/match/rate", "rates/match/none", "run.json has no rates/match/none"),
        ("runs/0/rms", "runs/1/rms", "run.json has no runs/1/rms"),
        ("runs/0/rms", "none", "None, not a number"),
        (".3f", "g", "g is no format"),
        ("run.json runs", "gone.json runs", "gone.json cannot be read"),
        ("| x | 1.5 |", "| x | 1.6 |", "the table is not that of table.json"),
        ("<!-- table table.json", "<!-- table run.json", "run.json is no stored table"),
        ("4.1.2", "0.77", "0.77 says no source"),
        ("4.1.2", "90 %", "90 % says no source"),
    ],
)
def test_wrong_figures(folder: Path, was: str, instead: str, words: str) -> None:
    assert was in RIGHT
    page(folder, RIGHT.replace(was, instead, 1))
    (found,) = check_pages([folder]).mismatches
    assert words in str(found)
    assert f"page.md:{found.line}:" in str(found)


def test_a_page_that_is_no_page_of_results_may_have_other_figures(folder: Path) -> None:
    path = page(folder, RIGHT.replace("4.1.2", "0.77"))
    assert check_pages([path]).mismatches == []


def test_tables_are_made_and_figures_mended(folder: Path) -> None:
    wrong = (
        RIGHT.replace("82.1 %", "?").replace("**0.041**", "**9.9**").replace("| x | 1.5 |\n", "")
    )
    path = page(folder, wrong)
    assert check_pages([folder], write=True).mismatches == []
    assert path.read_text() == RIGHT


def test_stored_tables_of_each_kind(tmp_path: Path) -> None:
    suite = tmp_path / "table.json"
    row = {"label": "zero-shot", "mean": {"match_at_1": 0.5}, "runs": 1}
    suite.write_text(json.dumps([{"title": "T", "columns": ["match_at_1"], "rows": [row]}]))
    assert "| zero-shot | 0.500 | here, 1 run |" in stored_table(suite)
    agreement = {
        "kind": "agreement",
        "sets": [
            {"question": "Q?", "source": "S", "rows": 4, "agreeing": 3, "documented_choices": 0,
             "rate": 0.75}
        ],
    }  # fmt: skip
    other = tmp_path / "agreement.json"
    other.write_text(json.dumps(agreement))
    assert "| Q? | S | 4 | 3 | 0 | 75.0 |" in stored_table(other)
    other.write_text(json.dumps({"kind": "energies"}))
    with pytest.raises(ValueError, match="is no stored table of kind energies"):
        stored_table(other)
    suite.write_text("nothing")
    with pytest.raises(ValueError, match=r"table.json is no JSON"):
        stored_figure(suite, "a", "d")


def test_the_command(folder: Path) -> None:
    path = page(folder, RIGHT)
    done = CliRunner().invoke(cli, ["benchmark", "check", str(folder)])
    assert done.exit_code == 0, done.output
    assert "1 tables and 3 figures compared" in done.stdout
    path.write_text(RIGHT.replace("0.041", "0.042"))
    done = CliRunner().invoke(cli, ["benchmark", "check", str(folder)])
    assert done.exit_code == 2
    assert "should be 0.041" in done.stderr
    done = CliRunner().invoke(cli, ["benchmark", "check", str(folder / "none.md")])
    assert done.exit_code == 2
    assert "neither a page nor a folder" in done.stderr
