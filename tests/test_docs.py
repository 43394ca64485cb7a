"""What README and docs say, runs: code blocks, commands, links, and one test command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doc_pages import (
    ROOT,
    all_pages,
    check_command,
    crystalicl_words,
    read_blocks,
    shell_lines,
)

PAGES = all_pages()
RUN_IN_ORDER = ("tutorials", "errors.md")
"""Pages whose blocks test_tutorials.py and test_errors_page.py run, commands and all."""


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks in a language, without those that do not run."""
    found = [block for block in read_blocks(page) if block.language == language]
    return [block.code for block in found if not {"notest", "fails"} & set(block.marks)]


def commands(page: Path) -> list[list[str]]:
    """Return the ``crystalicl`` commands of a page's shell blocks."""
    words = [crystalicl_words(line) for code in blocks(page, "bash") for line in shell_lines(code)]
    return [found for found in words if found is not None]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix().removeprefix("docs/")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not set(RUN_IN_ORDER) & set(page.parts)], ids=page_id
)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crystalicl_jobflow.schemas import PROPERTIES

    known = dict(PROPERTIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path))
    namespace: dict[str, object] = {"__name__": "docs"}
    try:
        for number, code in enumerate(blocks(page, "python")):
            exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)
    finally:
        PROPERTIES.clear()
        PROPERTIES.update(known)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        pytest.param(page, words, id=f"{page_id(page)}: {' '.join(words)[:60]}")
        for page in PAGES
        for words in commands(page)
    ],
)
def test_commands_and_their_options_exist(page: Path, words: list[str]) -> None:
    check_command(page.name, words)


_SCRIPT = re.compile(r"\bpython (-m )?((?:flows|performance|tests)[\w./]+)((?:\\\n|[^`\n|])*)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=page_id)
def test_scripts_and_their_options_exist(page: Path) -> None:
    """The commands behind the figures: python performance/…, flows/…, and -m tests.…"""
    for module, name, words in _SCRIPT.findall(page.read_text(encoding="utf-8")):
        script = ROOT / (name.replace(".", "/") + ".py" if module else name)
        assert script.is_file(), f"{page.name}: no {name}"
        source = script.read_text(encoding="utf-8")
        if (shared := script.parent / "_options.py").exists():
            source += shared.read_text(encoding="utf-8")
        for option in re.findall(r"--[\w-]+", words):
            told = {f'"{option}"', f'"{option}/', f'/{option}"', f'"{option[2:]}"'}
            assert any(word in source for word in told), f"{page.name}: {name} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_table_of_properties_is_complete() -> None:
    from crystalicl_jobflow.schemas import PROPERTIES

    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    for spec in PROPERTIES.values():
        assert f"| `{spec.name}` | {spec.phrase} | {spec.unit} |" in page


def test_ci_runs_the_readmes_commands() -> None:
    """The first line sets up and runs the main job, the second the tests; CI calls it."""
    one_liners = [code for code in blocks(ROOT / "README.md", "bash") if "-m venv" in code]
    assert [code.count("\n") for code in one_liners] == [1, 1]
    first, second = (code.strip() for code in one_liners)
    assert first.endswith("crystalicl demo")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert second in script


def test_every_room_of_the_source_is_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "crystalicl_jobflow"
    rooms = [path.name for path in source.iterdir() if (path / "__init__.py").exists()]
    for room in rooms:
        assert f"`{room}/`" in page


def test_every_room_that_code_calls_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "crystalicl_jobflow"
    for path in sorted(source.glob("*/__init__.py")):
        if path.parent.name != "cli":  # the command line has its own page
            assert f"   crystalicl_jobflow.{path.parent.name}\n" in page
