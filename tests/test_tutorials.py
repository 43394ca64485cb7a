"""The tutorials run: every block of a page, in order, in one empty folder (see doc_pages.py).

What the continuous integration does not have (the Materials Project, VASP, a cluster) has a
stand-in, named in `STAND_INS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stand_ins
from crystalicl_jobflow.schemas import PROPERTIES
from doc_pages import DOCS, Programs, first_missing, read_blocks, run_page

TUTORIALS = sorted(page for page in (DOCS / "tutorials").glob("*.md") if page.stem != "index")

STAND_INS: dict[str, Callable[[pytest.MonkeyPatch], Programs]] = {
    "fireworks": stand_ins.fireworks_cluster,
    "jobflow-remote": stand_ins.jobflow_remote_cluster,
    "pool-sources": stand_ins.materials_project,
}


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, with the repository's scripts and stores beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("benchmarks", "flows", "stores"):
        (tmp_path / name).symlink_to(DOCS.parent / name)
    known = dict(PROPERTIES)
    yield tmp_path
    PROPERTIES.clear()
    PROPERTIES.update(known)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(
    page: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = STAND_INS[page.stem](monkeypatch) if page.stem in STAND_INS else {}
    run_page(page, empty_folder, monkeypatch, programs)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_is_listed_and_says_why_a_block_does_not_run(page: Path) -> None:
    listed = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert f"({page.name})" in listed
    assert f"\n{page.stem}\n" in listed
    blocks = [block for block in read_blocks(page) if block.language in ("bash", "python")]
    left_out = [block for block in blocks if "notest" in block.marks]
    reasons = page.read_text(encoding="utf-8").count("<!-- not run by the tests: ")
    assert len(left_out) == reasons, "one comment for each block that is not run"
    assert len(blocks) - len(left_out) >= 3


def test_output_is_compared_line_by_line() -> None:
    printed = "Id   Formula\nabc  NaCl  valid\n2 candidates\n"
    assert first_missing("… NaCl valid\n2 candidates\n", printed) is None
    assert first_missing("2 candidates\n… NaCl valid\n", printed) == "… NaCl valid"
    assert first_missing("KCl\n", printed) == "KCl"
    assert first_missing("2 candidates\n", "12 candidates\n") == "2 candidates"
