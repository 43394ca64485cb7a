"""``crystalicl benchmark lattice-constants``: sizes of cubic cells beside the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from crystalicl_jobflow.cli._console import progress, say, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_file

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.lattice_constants import CubicPair


@click.command(
    "lattice-constants",
    epilog="\b\ncrystalicl benchmark lattice-constants run --dataset test.csv.gz\n"
    "crystalicl benchmark lattice-constants one-draw/*/seed_* --dataset test.csv.gz --out a.json",
)
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--dataset", required=True, metavar="CSV", help="The crystals that they asked for.")
@click.option(
    "--families",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Largest families (stoichiometry and group) with lines of their own.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON of the errors.")
def lattice_constants(
    runs: tuple[Path, ...], dataset: str, families: int, out: Path | None
) -> None:
    """Compare lattice constants of cubic crystals in finished RUNS with the true ones.

    Counted are first samples that match. RUNS are folders of `crystalicl benchmark prediction`
    or `conditional`; those of one row with several seeds are taken together.
    """
    from crystalicl_jobflow.benchmarks.lattice_constants import (
        lattice_document,
        read_cubic_pairs,
        runs_by_row,
    )
    from crystalicl_jobflow.utils.files import write_json

    if out is not None:
        check_file(out)
    rows = runs_by_row(runs)
    done = 0
    pairs: dict[str, list[CubicPair]] = {}
    with progress("Read") as report:
        for name, folders in rows.items():
            pairs[name] = []
            for folder in folders:
                pairs[name] += read_cubic_pairs(folder, dataset)
                done += 1
                report(done, len(runs))
    document = lattice_document(pairs, families=families)
    shown = table("", "Crystals", ">Number", ">MAE, Å", ">Mean, Å", ">%", ">R²", ">R² within")
    for cells in document["rows"]:
        shown.add_row(*cells)
    stdout_console(asked_for=out is None).print(shown)
    if out is not None:
        write_json(out, document)
        say(f"Written: {out}")
