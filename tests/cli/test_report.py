"""``crystalicl report`` makes a page of what the other commands leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Run


def test_page_of_a_generation(run: Run, generated: Path) -> None:
    result = run("report", generated)
    assert result.exit_code == 0, result.output
    page = (generated / "report.html").read_text(encoding="utf-8")
    assert str(generated / "report.html") in result.output
    rates = json.loads((generated / "summary.json").read_text())["rates"]
    assert f">{rates['valid']['count']} of {rates['valid']['of']}<" in page
    assert "CaTiO3, group 221" in page


def test_page_of_an_evaluation_beside_a_reference(
    run: Run, generated: Path, tmp_path: Path
) -> None:
    evaluation, page = tmp_path / "evaluation", tmp_path / "pages" / "page.html"
    assert run("evaluate", generated, "--out", evaluation).exit_code == 0
    result = run("report", evaluation, "--reference", generated / "cifs", "--out", page, "--top", 1)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert text.count('class="stage"') == 1
    assert "of the reference" in text


def test_mistakes_get_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "is no folder" in refused("report", tmp_path / "none")
    assert "holds no candidates.jsonl" in refused("report", tmp_path)
    assert "--top" in refused("report", tmp_path, "--top", 61)


def test_a_reference_that_is_none_is_refused(
    refused: Callable[..., str], generated: Path, tmp_path: Path
) -> None:
    assert "does not exist" in refused("report", generated, "--reference", tmp_path / "x.csv")
