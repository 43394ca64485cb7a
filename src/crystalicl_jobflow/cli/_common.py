"""What every command shares: lazy loading, one-line errors, consoles and progress."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TRACEBACK_VARIABLE = "CRYSTALICL_TRACEBACK"
"""Environment variable that, when set, shows the traceback of every error."""

SECONDS_BETWEEN_LINES = 5.0
"""Least time between two lines of progress where stderr is no terminal."""

_STORE_LIBRARIES = ("pymongo", "maggma", "sqlite3", "montydb", "safetensors_rust", "botocore")
"""Libraries whose errors mean that something the user named cannot be reached or read."""


class UserError(click.ClickException):
    """A user's mistake: one line on stderr and exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print ``Error: …`` to stderr, in one line."""
        click.echo(f"Error: {redact(' '.join(self.message.split()))}", file=file, err=file is None)


def _as_user_error(error: Exception) -> UserError | None:
    """Return the one line that an exception deserves, or None for a fault of ours."""
    if isinstance(error, ImportError):
        return UserError(str(error) or f"{error.name} is not installed")
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return UserError(f"{error.filename} does not exist")
    if isinstance(error, OSError) and error.filename is not None:
        return UserError(f"{error.filename}: {error.strerror}")
    if isinstance(error, ValueError | OSError):
        return UserError(str(error))
    name = type(error).__name__
    if name == "GenerationError" or type(error).__module__.split(".")[0] in _STORE_LIBRARIES:
        return UserError(str(error) or name)
    return None


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a user's mistake into one line; let faults of the program show themselves."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "crystalicl"
        raise UserError(f"{error.format_message()} (see '{command} --help')") from None
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        answer = None if os.environ.get(TRACEBACK_VARIABLE) else _as_user_error(error)
        if answer is None:
            raise
        raise answer from error


class OneLineGroup(click.Group):
    """A group whose commands answer a user's mistake with one line and status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with errors turned into one line."""
        with user_errors():
            return super().invoke(ctx)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments, with errors turned into one line."""
        with user_errors():
            return super().make_context(*args, **kwargs)


class LazyGroup(OneLineGroup):
    """A group that imports a command when it is called, not when help is asked for.

    Parameters
    ----------
    lazy
        Command name to (``module:attribute``, one line of help).
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names, in the order in which a newcomer meets them."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None where there is no such command."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module_name, _, attribute = self.lazy[cmd_name][0].partition(":")
        with user_errors():
            command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def stdout_console() -> Console:
    """Return the console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def stderr_console() -> Console:
    """Return the console for progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table that stays readable at 80 columns.

    Parameters
    ----------
    *columns
        Headings; one that begins with ``>`` is aligned to the right.
    title
        Line above the table.
    """
    from rich import box
    from rich.table import Table

    built = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in columns:
        right = name.startswith(">")
        built.add_column(
            name.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    return built


@contextmanager
def stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show the progress of several stages on stderr: bars on a terminal, lines elsewhere.

    Yields
    ------
    callable
        To be called with (what, done, total); a total of None is unknown.
    """
    console = stderr_console()
    if not console.is_terminal:
        yield _line_reporter()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int | None = None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield update


def _line_reporter() -> Callable[[str, int, int | None], None]:
    """Return a callback that prints a line at most every few seconds, and at the end."""
    started = time.perf_counter()
    shown: dict[str, tuple[float, int]] = {}

    def report(what: str, done: int, total: int | None = None) -> None:
        now = time.perf_counter()
        last, last_done = shown.get(what, (float("-inf"), -1))
        finished = done == total and done != last_done
        if finished or now - last >= SECONDS_BETWEEN_LINES:
            shown[what] = (now, done)
            of = "" if total is None else f" of {total}"
            click.echo(f"{what}: {done}{of} ({now - started:.0f} s)", err=True)

    return report


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show the progress of one stage, see :func:`stages`.

    Yields
    ------
    callable
        To be called with (done, total).
    """
    with stages() as report:
        yield partial(report, what)


def note(message: str) -> None:
    """Print a remark to stderr."""
    click.echo(message, err=True)
