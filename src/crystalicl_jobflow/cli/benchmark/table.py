"""``crystalicl benchmark table``: rows of finished benchmarks in one table."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note


@click.command(
    epilog="\b\ncrystalicl benchmark table ours=runs/ce substitution=runs/substitution"
    " --columns match_at_1,rms_at_1 --out both"
)
@click.argument("runs", nargs=-1, required=True, metavar="LABEL=RUN...")
@click.option("--title", help="Words above the table.  [default: those of the first]")
@click.option(
    "--columns",
    metavar="NAME[,NAME…]",
    help="Figures shown, e.g. parsed,joint,match_at_1.  [default: those of the runs' tables]",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for table.md and table.json.",
)
def table(runs: tuple[str, ...], title: str | None, columns: str | None, out: Path) -> None:
    """Put the rows of finished benchmarks (folders with a table.json) into one table."""
    from crystalicl_jobflow.benchmarks.side_by_side import side_by_side
    from crystalicl_jobflow.benchmarks.tables import markdown, write_tables

    named = []
    for item in runs:
        label, equals, place = item.partition("=")
        if not (label and equals and place):
            raise UserError(f"{item}: give LABEL=RUN")
        named.append((label, Path(place)))
    names = [name.strip() for name in (columns or "").split(",") if name.strip()]
    try:
        found = side_by_side(named, title=title, columns=names)
    except ValueError as error:
        raise UserError(str(error)) from None
    click.echo(markdown(found))
    note(f"Written: {', '.join(map(str, write_tables(out, [found])))}")
