"""``crystalicl benchmark groups``: fit what a pool tells of the space group of a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import progress, say, stdout_console, table
from crystalicl_jobflow.cli._options import open_pool


@click.command(epilog="\b\ncrystalicl benchmark groups --pool pool.db --out group_weights.json")
@click.option(
    "--pool", metavar="STORE", required=True, help="Store or CSV of known crystals, none of tests."
)
@click.option(
    "--held-out",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Formulas that are not learned from, but measured on.",
)
@click.option("--steps", type=click.IntRange(1), default=450, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the weights; CRYSTALICL_GROUP_WEIGHTS names the one that is used.",
)
def groups(**options: Any) -> None:
    """Fit the weights by which a pool tells the space group of a formula."""
    from crystalicl_jobflow.benchmarks.groups import fit_groups
    from crystalicl_jobflow.utils.files import write_json

    if not options["out"].resolve().parent.is_dir():
        raise UserError(f"--out {options['out']}: there is no such folder")
    index = open_pool(options["pool"])
    asked = {name: options[name] for name in ("held_out", "steps", "seed")}
    with progress("Fit") as report:
        weights, measured = fit_groups(index, **asked, progress=report)
    sources = list(index.columns.source.vocabulary)
    origin = {"sources": sources, "crystals": len(index), **asked, "measured": measured}
    write_json(
        options["out"],
        {
            "scales": dict(weights.scales),
            "shape": weights.shape,
            "formula": weights.formula,
            "pool": weights.pool,
            "origin": origin,
        },
    )
    shown = table("", ">Weight", title="Weights")
    for name, value in weights.scales.items():
        shown.add_row(name.replace("_", " "), f"{value:.4f}")
    for name in ("shape", "formula", "pool"):
        shown.add_row(name, f"{getattr(weights, name):.4f}")
    stdout_console().print(shown)
    for name, value in measured.items():
        say(f"{name.replace('_', ' ')}: {value:g}")
    say(f"Written: {options['out']}")
