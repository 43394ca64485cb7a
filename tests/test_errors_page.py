"""The page of errors: its messages are real, and no code or class of errors is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystalicl_jobflow.energies.energy_model import EnergyFailure
from crystalicl_jobflow.schemas import FailureReason
from crystalicl_jobflow.schemas.discovery import SelectionReason
from crystalicl_jobflow.schemas.predictions import PropertyFailure
from doc_pages import DOCS, ROOT, read_blocks, run_page

PAGE = DOCS / "errors.md"
SOURCE = ROOT / "src" / "crystalicl_jobflow"

CODES = {
    "Candidates": FailureReason,
    "Energies and relaxations": EnergyFailure,
    "Which candidates a discovery chooses": SelectionReason,
    "Predicted properties": PropertyFailure,
}

INNER = {"UserError", "FieldError", "RequestError"}
"""Errors that become a line of the command, or another error, before a caller sees them."""


def section(title: str) -> str:
    """Return the text of one section of the page."""
    found = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"no section {title!r}"
    return found[1]


@pytest.mark.slow
def test_every_command_answers_with_the_message_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("NOT_SET_PASSWORD", raising=False)
    run_page(PAGE, tmp_path, monkeypatch)


@pytest.mark.parametrize("title", CODES)
def test_every_reason_code_has_a_row_and_no_row_is_of_a_code_that_is_gone(title: str) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", section(title), re.MULTILINE))
    known = {str(code) for code in CODES[title]}
    if title == "Energies and relaxations":
        known.add("failed")  # a relaxation job without output, whatever relaxed
    assert rows == known


def test_every_class_of_errors_is_on_the_page() -> None:
    named = section("In Python")
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                if node.name.startswith("_") or node.name in INNER:
                    continue
                assert f"{node.name}`" in named, f"{path.name}: {node.name}"


def source_messages() -> Iterator[re.Pattern[str]]:
    """Yield the texts of the source as patterns, what is filled in as anything."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    re.escape(part.value) if isinstance(part, ast.Constant) else ".+"
                    for part in node.values
                ]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [re.escape(node.value)]
            else:
                continue
            if len("".join(parts).replace(".+", "")) >= 12:
                yield re.compile("".join(parts))


def test_messages_that_no_command_here_can_cause_are_those_of_the_source() -> None:
    patterns = list(source_messages())
    blocks = [b for b in read_blocks(PAGE) if b.language == "text" and "notest" in b.marks]
    messages = [line.removeprefix("Error: ") for b in blocks for line in b.code.splitlines()]
    for message in messages:
        assert any(pattern.fullmatch(message) for pattern in patterns), message
    assert len(messages) >= 10
