"""The command as a whole: quick to answer, one line for a mistake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import pytest
from click.testing import CliRunner

import crystalicl_jobflow
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.cli._app import LazyGroup, UserError, user_errors

COMMANDS = (
    "demo", "generate", "submit", "collect", "query", "evaluate", "text", "pool", "train",
    "benchmark",
)  # fmt: skip
HEAVY = ("torch", "transformers", "pymatgen", "jobflow", "maggma", "matminer", "pandas", "numpy")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from crystalicl_jobflow.cli import cli\n"
        "try:\n"
        "    cli(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        f"print('HEAVY', sorted(set(sys.modules) & set({HEAVY!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output.split() == ["crystalicl,", "version", crystalicl_jobflow.__version__]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage: ")
    assert "\\b" not in result.output


def test_a_command_whose_module_is_missing_does_not_break_the_others() -> None:
    group = LazyGroup(
        name="group",
        lazy={"lost": ("crystalicl_jobflow.cli.lost:lost", "Lost."), "demo": ("x:y", "Demo.")},
    )
    listed = CliRunner().invoke(group, ["--help"])
    assert listed.exit_code == 0
    assert "lost" in listed.output
    called = CliRunner().invoke(group, ["lost"])
    assert called.exit_code == 2
    assert called.stderr == "Error: No module named 'crystalicl_jobflow.cli.lost'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["generate", "--nonsense"], "No such option"),
        (["generate", "--shots", "6"], "6 is not in the range 0<=x<=5"),
        (["generate", "--samples", "0"], "0 is not in the range"),
        (["generate", "--strategy", "X"], "'X' is not one of"),
        (["generate", "--top-p", "1.5"], "1.5 is not in the range"),
        (["benchmark", "conditional", "--out", "x"], "Missing option '--dataset'"),
    ],
)
def test_a_usage_mistake_is_one_line(
    refused: Callable[..., str], arguments: list[str], words: str
) -> None:
    assert words in refused(*arguments)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n lines"), "two lines"),
        (FileNotFoundError(2, "No such file", "pool.json"), "pool.json does not exist"),
        (PermissionError(13, "Permission denied", "out"), "out: Permission denied"),
        (ModuleNotFoundError("install crystalicl-jobflow[mp]"), "install crystalicl-jobflow[mp]"),
    ],
)
def test_what_the_rooms_raise_for_a_mistake_becomes_one_line(error: Exception, line: str) -> None:
    command = click.Command("command", callback=lambda: (_ for _ in ()).throw(error))
    group = import_module("crystalicl_jobflow.cli._app").OneLineGroup(commands=[command])
    result = CliRunner().invoke(group, ["command"])
    assert result.exit_code == 2
    assert result.stderr == f"Error: {line}\n"


def test_a_fault_of_the_program_shows_itself() -> None:
    with pytest.raises(KeyError), user_errors():
        raise KeyError("ours")


def test_the_traceback_of_a_mistake_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        with user_errors():
            raise ValueError("mistake")

    with pytest.raises(UserError, match="mistake"):
        fail()
    monkeypatch.setenv("CRYSTALICL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="mistake"):
        fail()


def test_a_closed_pipe_is_quiet() -> None:
    code = "from crystalicl_jobflow.cli import main; main()"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" --help | true',
        shell=True,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_fault_of_the_program_shows_its_traceback_without_passwords() -> None:
    code = (
        "import crystalicl_jobflow.cli as command\n"
        "def fail(prog_name):\n"
        "    raise RuntimeError('mongodb://alice:s3cretpass@host/db went away')\n"
        "command.cli = fail\n"
        "command.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: mongodb://host/db went away\n")
