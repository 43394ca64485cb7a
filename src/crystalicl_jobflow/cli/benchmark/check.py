"""``crystalicl benchmark check``: figures of pages beside the stored results."""

from __future__ import annotations

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note


@click.command(
    epilog="\b\ncrystalicl benchmark check docs/results README.md\n"
    "crystalicl benchmark check docs/results --write"
)
@click.argument("pages", nargs=-1, required=True, metavar="PAGES...")
@click.option("--write", is_flag=True, help="Make the tables anew and mend the figures.")
def check(pages: tuple[str, ...], write: bool) -> None:
    """Hold the figures of pages (Markdown, or folders of it) against the stored results.

    In a folder's pages every figure needs a source; in a single file those that name one are
    compared.
    """
    from crystalicl_jobflow.benchmarks.stored_figures import check_pages

    found = check_pages(pages, write=write)
    for mismatch in found.mismatches:
        note(str(mismatch))
    click.echo(f"{found.tables} tables and {found.figures} figures compared")
    if found.mismatches:
        raise UserError(f"{len(found.mismatches)} are not what the stored results say")
