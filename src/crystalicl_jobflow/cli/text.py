"""``crystalicl text``: write crystals as text and read them back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._app import OneLineGroup, UserError
from crystalicl_jobflow.cli._console import note

_FORMATS = ("sgs", "sgsw", "xyz", "cif")
_format = click.option(
    "--format",
    "name",
    type=click.Choice(_FORMATS),
    default="sgs",
    show_default=True,
    help="Text format; sgsw is SGS with Wyckoff positions.",
)


@click.group(cls=OneLineGroup)
def text() -> None:
    """Write crystals as text and read them back."""


@text.command(
    epilog="\b\ncrystalicl text encode NaCl.cif\ncrystalicl text encode POSCAR --format xyz"
)
@click.argument("file", type=click.Path(path_type=Path))
@_format
def encode(file: Path, name: str) -> None:
    """Write the crystal in FILE (CIF, POSCAR, one of ASE's formats, JSON) as text."""
    from crystalicl_jobflow.text import TextError
    from crystalicl_jobflow.text.formats import get_text

    structure = _read_structure(file)
    try:
        click.echo(get_text(name).encode(structure))
    except TextError as error:
        raise UserError(f"{file}: {error}") from None


@text.command(epilog="\b\ncrystalicl text decode answer.txt --out crystal.cif")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_format
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Write here, in the format of the name (.cif, .json, POSCAR), instead of a CIF to stdout.",
)
def decode(file: Path, name: str, out: Path | None) -> None:
    """Read the one crystal in a text (FILE, or - for stdin) and print it as CIF."""
    from crystalicl_jobflow.text import TextError
    from crystalicl_jobflow.text.formats import get_text
    from crystalicl_jobflow.utils.files import replacing

    content = _read_text(file)
    try:
        structure = get_text(name).decode(content)
    except TextError as error:
        raise UserError(f"{file}: {error} [{error.reason}]") from None
    if out is None:
        from pymatgen.io.cif import CifWriter

        click.echo(str(CifWriter(structure)).rstrip("\n"))
        return
    try:
        with replacing(out) as beside:
            try:
                structure.to(filename=str(beside))
            except ValueError as error:
                why = str(error).replace(beside.name, out.name)
                raise UserError(f"{out}: {why}") from None
    except OSError as error:
        raise UserError(f"{out}: {error.strerror or error}") from None


def _read_text(file: Path) -> str:
    from crystalicl_jobflow.datasets.files import MAX_BYTES, decode_text, read_text_file

    try:
        if str(file) != "-":
            return read_text_file(file)
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return decode_text(data)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None


def _read_structure(file: Path) -> Any:
    from crystalicl_jobflow.datasets.files import read_file

    try:
        read = read_file(file)
    except ValueError as error:
        raise UserError(f"{file} cannot be read as a crystal: {error}") from None
    for remark in read.remarks:
        note(f"{file}: {remark}")
    return read.structure
