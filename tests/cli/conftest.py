"""The command line with a generator that recites, and a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crystalicl_jobflow.cli import cli
from reciting import RecitingGenerator

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder for the whole session: the pool is built once in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command as a user does."""
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(cache))
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator",
        lambda *_args, **_options: RecitingGenerator(),
    )

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(item) for item in arguments])

    return invoke


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Return a function that runs a command that must fail with one line and status 2."""

    def invoke(*arguments: object) -> str:
        result = run(*arguments)
        lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert result.exit_code == 2, (result.output, result.exception)
        assert len(lines) == 1, result.stderr
        assert result.stderr.splitlines()[-1] == lines[0]
        assert "Traceback" not in result.output
        return lines[0].removeprefix("Error: ")

    return invoke


@pytest.fixture
def generated(run: Run, tmp_path: Path) -> Any:
    """Return the folder of a run that asked for a perovskite."""
    out = tmp_path / "run"
    result = run(
        "generate", "--formula", "CaTiO3", "--space-group", "Pm-3m", "--samples", 8,
        "--shots", 2, "--seed", 0, "--max-redraws", 0, "--no-constrain", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out
