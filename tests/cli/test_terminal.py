"""What models, files and stores wrote is shown as it is, on any terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import table

from .conftest import Run

EVIL = "[red]Na[/red]\x1b[31m\x9b2J\u202e :boom:"
HARMLESS = r"[red]Na[/red]\x1b[31m\x9b2J\u202e :boom:"


def command_line(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    code = "from crystalicl_jobflow.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


def with_text(folder: Path, text: str) -> Path:
    """Write a run whose candidates hold a text."""
    lines = (folder / "candidates.jsonl").read_text().splitlines()
    documents = [json.loads(line) | {"text": text} for line in lines]
    path = folder / "evil.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def test_tables_take_no_text_for_markup_or_for_commands(run: Run, generated: Path) -> None:
    result = run("query", with_text(generated, EVIL), "--fields", "text")
    assert result.exit_code == 0, result.output
    assert HARMLESS in " ".join(result.stdout.split())
    assert not set(EVIL[13:]) & set("\x1b\x9b\u202e") & set(result.output)


def test_names_of_crystals_are_no_markup_either(run: Run, tmp_path: Path) -> None:
    pool = tmp_path / "crystals.csv"
    pool.write_text('material_id,cif\n"[bold]a\x1b[5m",nothing\n')
    result = run("pool", "build", pool, "--store", tmp_path / "pool.json")
    assert result.exit_code == 2
    assert r"[bold]a\x1b[5m: " in result.stderr
    assert "\x1b" not in result.output


def test_errors_show_control_characters_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MP_API_KEY", "abcdefgh12345678")
    UserError("cannot reach\nmongodb://me:pass@host/db\x1b[2J with abcdefgh12345678").show()
    assert capsys.readouterr().err == (
        "Error: cannot reach mongodb://host/db\\x1b[2J with ***\n"
    )  # fmt: skip


def test_an_ascii_terminal_gets_ascii(generated: Path) -> None:
    done = command_line("query", generated, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"Min. A" in done.stdout
    assert done.stdout.isascii()
    done = command_line("generate", "--help", PYTHONIOENCODING="ascii")
    assert b"in A." in done.stdout
    assert done.stdout.isascii()
    done = command_line(
        "predict-property", "nowhere\u2026.cif", "--property", "Å", PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 2
    assert done.stderr.isascii()
    assert done.stderr.startswith(b"Error: ")


def test_where_nothing_can_be_written_no_work_begins(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_args: object, **_options: object) -> None:
        pytest.fail("work has begun")

    monkeypatch.setattr("crystalicl_jobflow.cli.generate.open_pool", begin)
    monkeypatch.setattr("crystalicl_jobflow.cli.demo._fill_pool", begin)
    monkeypatch.setattr("crystalicl_jobflow.candidates.load_candidates", begin)
    monkeypatch.setattr("crystalicl_jobflow.retrieval.fill_pool", begin)
    file = tmp_path / "file"
    file.write_text("mine")
    for arguments in (
        ("generate", "--formula", "NaCl", "--out", file / "run"),
        ("generate", "--formula", "NaCl", "--out", tmp_path / "run", "--store", file / "c.sqlite"),
        ("generate", "--formula", "NaCl", "--out", tmp_path / "run", "--store", "c.unknown"),
        ("demo", "--out", file / "run"),
        ("evaluate", tmp_path, "--out", file / "run"),
        ("pool", "build", "prototypes", "--store", file / "pool.json"),
    ):
        line = refused(*arguments)
        assert f"{file} is not a folder" in line or "'c.unknown' is not understood" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "mine"


def test_a_model_that_is_not_there_is_told_before_the_retrieval(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "crystalicl_jobflow.cli.generate.open_pool", lambda *_a, **_o: pytest.fail("retrieved")
    )
    asked = ("generate", "--formula", "NaCl", "--out", tmp_path / "run")
    assert "has no config.json" in refused(*asked, "--model", tmp_path)
    assert "has no adapter_config.json" in refused(*asked, "--adapter", tmp_path)


def test_without_a_home_what_needs_no_cache_works_and_the_rest_names_the_setting(
    generated: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.write_text("a file, so that nothing can be made in it")
    (crystal, *_) = (generated / "cifs").iterdir()
    nowhere = {"HOME": str(home), "CRYSTALICL_CACHE_DIR": ""}
    for arguments in (("query", generated), ("text", "encode", crystal)):
        done = command_line(*arguments, **nowhere)
        assert done.returncode == 0, done.stderr
    done = command_line("generate", "--formula", "NaCl", "--out", tmp_path / "run", **nowhere)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(b"name another one in CRYSTALICL_CACHE_DIR")


@pytest.mark.parametrize(
    ("words", "colour"),
    [
        ("valid, as asked", "32"),
        ("valid", "32"),
        ("as asked", "32"),
        ("valid, differs", "33"),
        ("atoms overlap", "31"),
        ("not valid", "31"),
    ],
)
def test_outcomes_have_colours_where_the_terminal_has_them(words: str, colour: str) -> None:
    def printed(**options: Any) -> str:
        rows = table("Id", "Outcome")
        rows.add_row("a", words)
        file = io.StringIO()
        Console(file=file, **options).print(rows)
        return file.getvalue()

    terminal = {"force_terminal": True, "color_system": "standard"}
    assert f"\x1b[{colour}m{words}" in printed(**terminal, no_color=False)
    assert f"\x1b[{colour}m" not in printed(**terminal, no_color=True)
    assert "\x1b" not in printed(force_terminal=False)


def test_every_command_can_be_quiet() -> None:
    def commands(group: click.Group) -> Iterator[click.Command]:
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            if isinstance(found, click.Group):
                yield from commands(found)
            else:
                yield found

    for command in commands(cli):
        quiet = [item for item in command.params if "--quiet" in item.opts]
        assert len(quiet) == 1, command.name
