"""How commands are loaded, and how they fail: one line that says what is wrong."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from crystalicl_jobflow.cli._console import add_quiet
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.messages import driver_line, show_controls
from crystalicl_jobflow.utils.redaction import redact

TRACEBACK_VARIABLE = "CRYSTALICL_TRACEBACK"
"""Environment variable that, when set, shows the traceback of every error."""

_LIBRARY_ERRORS = (
    ("pymongo.errors", "PyMongoError"),
    ("maggma.core.store", "StoreError"),
    ("sqlite3", "Error"),
    ("montydb.errors", "MontyError"),
    ("safetensors", "SafetensorError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
)
"""Errors of libraries that mean: what the user named cannot be reached or read."""


class UserError(click.ClickException):
    """A user's mistake: one line on stderr and exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print ``Error: …`` to stderr, in one line."""
        line = show_controls(redact(" ".join(self.message.split())))
        click.echo(f"Error: {line}", file=file, err=file is None)


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
    if isinstance(error, (CrystalICLError, *_library_errors())):
        return UserError(driver_line(error))
    return None


def _library_errors() -> Iterator[type[Exception]]:
    # a library that was not imported has raised nothing, and need not be imported to know it
    for module, name in _LIBRARY_ERRORS:
        if module in sys.modules:
            yield getattr(sys.modules[module], name)


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
    """A group whose commands answer a user's mistake with one line and status 2.

    Each of them can be told to be quiet.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command with ``--quiet``, or None where there is no such command."""
        command = super().get_command(ctx, cmd_name)
        return None if command is None else add_quiet(command)

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
        return add_quiet(command)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (click calls it with both)
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing them."""
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
