"""Reading the documentation, and doing what a page says, block by block.

``bash`` blocks are called line by line (``crystalicl`` within this process, the rest by bash) and
must succeed, or fail with status 2 where they are marked ``fails``. ``python`` blocks share their
names. A block with a caption is written to the file of that name. A ``text`` block is what the
block before it printed: each of its lines, in this order, with ``…`` for anything. Blocks marked
``notest`` are passed over.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from crystalicl_jobflow.cli import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILT = ("_build", "generated")
"""Folders of docs/ that Sphinx writes."""


def all_pages() -> list[Path]:
    """Return README and every page of docs/, without what Sphinx writes."""
    pages = (page for page in DOCS.rglob("*.md") if not set(BUILT) & set(page.parts))
    return [ROOT / "README.md", *sorted(pages)]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its marks (as in ``python notest``), caption and lines."""

    language: str
    marks: tuple[str, ...]
    caption: str | None
    code: str
    line: int


_FENCE = re.compile(
    r"^(?P<fence>```+)(?:\{code-block\} *)?(?P<info>\w[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


def read_blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks in their order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in _FENCE.finditer(text):
        language, *marks = found["info"].split()
        code, caption = found["code"], None
        while option := re.match(r":(\w+): *([^\n]*)\n", code):
            caption = option[2] if option[1] == "caption" else caption
            code = code[option.end() :]
        line = text.count("\n", 0, found.start()) + 1
        blocks.append(Block(language, tuple(marks), caption, code.lstrip("\n"), line))
    return blocks


def shell_lines(code: str) -> list[str]:
    """Return the commands of a shell block, continued lines joined, comments left out."""
    lines = [line.strip() for line in code.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def crystalicl_words(line: str) -> list[str] | None:
    """Return the arguments of a line that begins with ``crystalicl``, or None."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    return words[1:] if words and words[0] == "crystalicl" else None


def check_command(where: str, words: Sequence[str]) -> None:
    """Fail where a command of ``crystalicl``, or an option of it, does not exist."""
    command: click.Command = cli
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{where}: no command {name}"
        command = found
    options = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    options |= {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{where}: no option {word}"


def needs_a_shell(line: str) -> bool:
    """Return whether a line has pipes, redirections or patterns."""
    line = re.sub(r"\$\([^()]*\)", "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return any(set(word) <= set("();<>|&") for word in lexer) or "*" in line


Programs = Mapping[str, Callable[[list[str]], int | None]]
"""Commands that are called within this process, where their stand-ins are: name to function."""


class Shell:
    """Runs the lines of shell blocks; what they export stays for the next ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, programs: Programs) -> None:
        self.monkeypatch = monkeypatch
        self.programs: Programs = {"crystalicl": _crystalicl, **programs}

    def run(self, code: str, *, status: int = 0) -> str:
        """Run the lines of a block and return what they print to stdout and stderr."""
        printed = ""
        for line in shell_lines(code):
            if exported := re.fullmatch(r"export (\w+)=(.*)", line):
                self.monkeypatch.setenv(exported[1], self._bash(f"printf %s {exported[2]}")[1])
                continue
            name = line.split(maxsplit=1)[0]
            if name in self.programs and not needs_a_shell(line):
                # bash takes the words apart, and puts in what "$(…)" stands for
                words = self._bash(f"printf '%s\\n' {line}")[1].splitlines()
                found, text = self._here(words)
            else:
                found, text = self._bash(line)
            assert found == status, f"{line}: status {found}\n{text}"
            printed += text
        return printed

    def _here(self, words: list[str]) -> tuple[int, str]:
        printed, status = io.StringIO(), 0
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = self.programs[words[0]](words[1:]) or 0
            except SystemExit as end:
                status = int(end.code or 0)
        return status, printed.getvalue()

    @staticmethod
    def _bash(line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        return done.returncode, done.stdout


def _crystalicl(words: list[str]) -> None:
    cli.main(words, prog_name="crystalicl")


def run_page(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, programs: Programs | None = None
) -> None:
    """Do what a page says, in the working folder; a line that is not printed fails."""
    shell = Shell(monkeypatch, programs or {})
    names: dict[str, Any] = {"__name__": page.stem}
    printed: str | None = None
    for block in read_blocks(page):
        where = f"{page.name}, line {block.line}"
        if "notest" in block.marks:
            printed = None
        elif block.caption is not None:
            file = folder / block.caption
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
            printed = None
        elif block.language == "bash":
            printed = shell.run(block.code, status=2 if "fails" in block.marks else 0)
        elif block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.code, where, "exec"), names)
            printed = out.getvalue()
        elif block.language == "text":
            assert printed is not None, f"{where}: the output of nothing"
            missing = first_missing(block.code, printed)
            assert missing is None, f"{where}: {missing!r} is not in\n{printed}"


def first_missing(shown: str, printed: str) -> str | None:
    """Return the first shown line that was not printed after the lines before it, or None."""
    rest = " ".join(printed.split())
    for line in shown.splitlines():
        words = " ".join(line.split())
        if words in ("", "…"):
            continue
        pattern = ".*?".join(re.escape(part.strip()) for part in words.split("…"))
        # whole words: "2 candidates" is not in "12 candidates"
        pattern = rf"(?<!\w){pattern}(?!\w)"
        found = re.search(pattern, rest)
        if found is None:
            return line
        rest = rest[found.end() :]
    return None
