"""The notebooks of the documentation: they run, and are kept without what they print.

Where CRYSTALICL_NOTEBOOK_CACHE names a folder, the executed notebooks are put there: the build of
the documentation (docs/conf.py) shows them, and does not run them again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest

from doc_pages import DOCS, ROOT, check_command, crystalicl_words, shell_lines

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
SLOWEST = 900
"""Seconds for a cell, on a busy machine."""

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def read(notebook: Path) -> nbformat.NotebookNode:
    return nbformat.read(notebook, as_version=4)


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of its own and an empty folder, with nothing but what ships with the package."""
    nbclient = pytest.importorskip("nbclient")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    executed = read(notebook)
    nbclient.NotebookClient(
        executed,
        timeout=SLOWEST,
        kernel_name="python3",
        record_timing=False,  # the cache knows a notebook by all that its cells say
        resources={"metadata": {"path": work}},
    ).execute()
    shown = [cell for cell in executed.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) >= 5
    if folder := os.environ.get("CRYSTALICL_NOTEBOOK_CACHE"):
        from jupyter_cache import get_cache

        copy = tmp_path / notebook.name
        nbformat.write(executed, copy)
        get_cache(folder).cache_notebook_file(str(copy), uri=str(notebook), overwrite=True)


@each_notebook
def test_a_notebook_is_stored_without_output_and_its_cells_are_python(notebook: Path) -> None:
    """What cells print is made when the pages are built, so that it is never old."""
    found = read(notebook)
    nbformat.validate(found)
    assert found.metadata.kernelspec.name == "python3"
    for cell in found.cells:
        if cell.cell_type == "code":
            compile(cell.source, f"{notebook.name}, {cell.id}", "exec")
            assert cell.outputs == []
            assert cell.execution_count is None
    # as nbformat writes files, so that a cell that is changed is a small difference
    text = notebook.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@each_notebook
def test_a_notebook_is_listed_and_its_links_and_commands_are_right(notebook: Path) -> None:
    listed = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert f"(../notebooks/{notebook.name})" in listed
    assert f"\n../notebooks/{notebook.stem}\n" in listed
    prose = "\n".join(cell.source for cell in read(notebook).cells if cell.cell_type != "code")
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target:
            assert (notebook.parent / target).resolve().is_relative_to(ROOT)
            assert (notebook.parent / target).exists(), target
    commands = re.findall(r"`(crystalicl [^`]+)`", prose)
    for block in re.findall(r"```bash\n(.*?)```", prose, re.DOTALL):
        commands += shell_lines(block)
    for words in filter(None, map(crystalicl_words, commands)):
        check_command(notebook.name, words)
