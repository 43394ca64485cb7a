"""Whether results can be written, found out before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError

Command = TypeVar("Command", bound=Callable[..., Any])


def run_options(folder: str) -> Callable[[Command], Command]:
    """Return what adds the options that say where a run is written.

    Parameters
    ----------
    folder
        The folder where none is named.
    """
    options = [
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path(folder),
            show_default=True,
            help="Folder for candidates.jsonl, cifs/ and summary.json.",
        ),
        click.option(
            "--resume/--no-resume",
            default=True,
            show_default=True,
            help="Continue a killed run with the same options and folder.",
        ),
        click.option(
            "--store", help="Store that also receives the candidates, e.g. candidates.db."
        ),
    ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


every_draw_option = click.option(
    "--all",
    "every_draw",
    is_flag=True,
    help="Show every draw, instead of each different crystal once.",
)


def check_folder(path: Path, *, name: Path | None = None) -> None:
    """Refuse a folder that cannot be made or written to; nothing is left behind.

    Parameters
    ----------
    path
        The folder.
    name
        What the message says cannot be written, where that is a file in it.

    Raises
    ------
    UserError
        With what is in the way.
    """
    name = path if name is None else name
    existing = path.expanduser().absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"{name} cannot be written: {existing} is not a folder")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"{name} cannot be written: {error.strerror} ({existing})") from None


def check_run_folder(path: Path) -> None:
    """Refuse a folder in which a run cannot be written; nothing is left behind.

    Raises
    ------
    UserError, ValueError
        With what is in the way.
    """
    from crystalicl_jobflow.cli._candidates import CIFS
    from crystalicl_jobflow.utils.files import folder_inside

    check_folder(path)
    check_cif_folder(folder_inside(path, CIFS))


def check_cif_folder(path: Path) -> None:
    """Refuse a folder in which CIF files cannot be written; nothing is left behind.

    Raises
    ------
    UserError, ValueError
        With what is in the way: a link above all, which would lead the files elsewhere.
    """
    from crystalicl_jobflow.utils.files import refuse_link

    refuse_link(path)
    check_folder(path)


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written; nothing is left behind.

    Raises
    ------
    UserError
        With what is in the way.
    """
    path = path.expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{path} cannot be written: it is read-only")
    check_folder(path.absolute().parent, name=path)


def check_store(spec: str | None, open_it: Callable[[str], object]) -> None:
    """Refuse a store that is not understood, cannot be reached or cannot be written to.

    Parameters
    ----------
    spec
        The store; None for none.
    open_it
        Opens the store, to find out. Not called for a store in a file or folder, which is
        not made yet.

    Raises
    ------
    UserError, ValueError
        With what is in the way.
    """
    if spec is None:
        return
    path = Path(spec).expanduser()
    in_file = path.name.lower().endswith((".json", ".json.gz", ".sqlite"))
    in_folder = path.is_dir() or path.name.lower().endswith(".db") or spec.endswith(("/", os.sep))
    if "://" in spec or not (in_file or in_folder):
        open_it(spec)
    elif in_folder:
        check_folder(path)
    else:
        check_file(path)
