"""One bar for all stages where somebody watches, and nothing elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from crystalicl_jobflow.utils import progress
from crystalicl_jobflow.utils.progress import above_the_bar, progress_bar


class Terminal(io.StringIO):
    """Takes what is written, as a terminal does."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let what is written to stderr go to a terminal, for the rest of a test."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)  # not in a fixture: pytest sets it for each phase
    return shown


def run() -> None:
    with progress_bar() as report:
        report("Loading the model", 0, None)
        for done in range(3):
            report("Generate", done, 2)
        with above_the_bar():
            print("a remark", file=sys.stderr)


def test_one_bar_tells_the_stage_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    run()
    frames = [frame for frame in terminal.getvalue().split("\r") if frame.strip()]
    assert frames[0].startswith("Loading the model [")
    assert any("1/2" in frame and frame.startswith("Generate") for frame in frames)
    assert any("2/2" in frame for frame in frames)
    assert "a remark\n" in terminal.getvalue()
    # one line: no bar stands below another one, and the last thing written clears it
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().split("\r")[-1].strip() == ""


def test_where_nobody_watches_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert capsys.readouterr().err == "a remark\n"


def test_a_notebook_is_watched_though_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    assert progress.is_watched()


def test_an_error_ends_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)

    def fail() -> None:
        with progress_bar() as report:
            report("Generate", 1, 2)
            raise ValueError("no model")

    with pytest.raises(ValueError, match="no model"):
        fail()
    assert terminal.getvalue().split("\r")[-1].strip() == ""
