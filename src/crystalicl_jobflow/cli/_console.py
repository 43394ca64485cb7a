"""What every command shares: lazy loading, one-line errors, consoles and progress."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.utils.messages import show_controls
from crystalicl_jobflow.utils.progress import StageProgress, above_the_bar, progress_bar, unseen
from crystalicl_jobflow.utils.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

    from crystalicl_jobflow.cli._tables import PlainTable

Command = TypeVar("Command", bound=Callable[..., Any])

SECONDS_BETWEEN_LINES = 5.0
"""Least time between two lines of progress where stderr is no terminal."""


_META = "crystalicl.{}"


def add_quiet(command: click.Command) -> click.Command:
    """Give a command ``--quiet``; a group of commands, and one that has it, stay as they are."""
    has_it = any(option.name == "quiet" for option in command.params)
    if not isinstance(command, click.Group) and not has_it:
        text = "Print errors only, and what is asked for."
        option = click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_keep, help=text
        )
        command.params.append(option)
    return command


def verbose_option(command: Command) -> Command:
    """Add ``--verbose`` to a command that prints rates."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Show all rates with their intervals, and all figures.",
    )(command)


def _keep(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[_META.format(option.name)] = value


def _is_set(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_META.format(name)))


def is_quiet() -> bool:
    """Return whether the command was called with ``--quiet``."""
    return _is_set("quiet")


def is_verbose() -> bool:
    """Return whether the command was called with ``--verbose``."""
    return _is_set("verbose")


def say(line: str = "") -> None:
    """Print a line on the result to stdout, unless the command is quiet."""
    if not is_quiet():
        click.echo(line)


def stdout_console(*, asked_for: bool = False) -> Console:
    """Return the console for results.

    Parameters
    ----------
    asked_for
        Whether what is printed is the command's output, which ``--quiet`` leaves.
    """
    from rich.console import Console

    quiet = is_quiet() and not asked_for
    return Console(highlight=False, soft_wrap=False, markup=False, emoji=False, quiet=quiet)


def table(*columns: str, title: str | None = None) -> PlainTable:
    """Return an empty table that stays readable at 80 columns.

    Parameters
    ----------
    *columns
        Headings; one that begins with ``>`` is aligned to the right.
    title
        Line above the table.
    """
    from crystalicl_jobflow.cli._tables import PlainTable

    built = PlainTable(title)
    for name in columns:
        right = name.startswith(">")
        built.add_column(
            name.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    return built


@contextmanager
def stages() -> Iterator[StageProgress]:
    """Show the progress of several stages on stderr: one bar on a terminal, lines elsewhere.

    Yields
    ------
    callable
        To be called with (what, done, total); a total of None is unknown.
    """
    if is_quiet():
        yield unseen
    elif not sys.stderr.isatty():
        yield _line_reporter()
    else:
        with progress_bar() as report:
            yield report


def _line_reporter() -> StageProgress:
    """Return a callback that prints a line at most every few seconds, and at the end."""
    started = time.perf_counter()
    shown: dict[str, tuple[float, int]] = {}

    def report(what: str, done: int, total: int | None = None) -> None:
        now = time.perf_counter()
        last, last_done = shown.get(what, (float("-inf"), -1))
        finished = done == total and done != last_done
        if finished or now - last >= SECONDS_BETWEEN_LINES:
            shown[what] = (now, done)
            if total is None and not done:  # what has no parts has begun
                note(f"{what} ...")
                return
            of = "" if total is None else f" of {total}"
            note(f"{what}: {done}{of} ({now - started:.0f} s)")

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
    """Print a remark to stderr; what it quotes is neither markup nor commands."""
    if is_quiet():
        return
    with above_the_bar():
        click.echo(show_controls(message), err=True)


def lap(started: float) -> float:
    """Return the seconds since a reading of ``time.perf_counter``, in ms steps."""
    return round(time.perf_counter() - started, 3)


class _StepLines(logging.Handler):
    """Prints the start and the end of each job, and what it says in between."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__(logging.INFO)
        self.seconds = seconds
        self.started = time.perf_counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line to stderr."""
        message = record.getMessage()
        action, _, rest = message.partition(" job - ")
        name = rest.rpartition(" (")[0]
        failed, _, trace = message.partition(" failed with exception:")
        if not record.name.startswith("jobflow"):
            note(f"  {message}")
        elif action == "Starting":
            self.started = time.perf_counter()
            note(f"  {name} ...")
        elif action == "Finished":
            self.seconds[name] = lap(self.started)
            note(f"  {name} done ({self.seconds[name]:.1f} s)")
        elif trace:
            lines = [line for line in trace.splitlines() if line.strip()]
            note(redact(f"  {failed} failed: {lines[-1]}"))


@contextmanager
def step_lines(seconds: dict[str, float]) -> Iterator[None]:
    """Show the jobs' log as lines of progress.

    Parameters
    ----------
    seconds
        Gets the wall time of each job that ends well, by name.
    """
    handler = _StepLines(seconds)
    loggers = [logging.getLogger("jobflow"), logging.getLogger("crystalicl_jobflow")]
    before = [(logger.level, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        # only this handler: any other would print jobflow's traces with the passwords in them
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
