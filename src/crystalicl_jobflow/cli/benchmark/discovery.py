"""``crystalicl benchmark discovery``: stable, unique and new crystals after relaxation."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._console import say, stages, stdout_console, table
from crystalicl_jobflow.cli._options import open_pool
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli.benchmark._options import read_setting, writing_options
from crystalicl_jobflow.schemas.benchmark import TABLE_FILE
from crystalicl_jobflow.utils.files import write_json, write_text


@click.command(
    epilog="\b\ncrystalicl benchmark discovery --dataset mp_20_test.csv.gz --known known.db \\\n"
    "    --samples 50 --out discovery"
)
@click.option(
    "--dataset",
    required=True,
    metavar="CSV",
    help="Crystals whose chemical systems are asked for, e.g. mp_20_test.csv.gz.",
)
@click.option(
    "--known",
    required=True,
    metavar="CSV|STORE",
    help="Known crystals: novelty and the convex hull are against them.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Crystals of each row; a relaxation takes tens of seconds of a core.",
)
@click.option(
    "--energies",
    default="chgnet",
    show_default=True,
    metavar="MODEL",
    help="What relaxes and judges: chgnet, tensornet-matpes, matcalc:NAME.",
)
@click.option(
    "--pool",
    metavar="STORE",
    help="Crystals whose elements substitution replaces.  [those of --known]",
)
@click.option(
    "--baseline/--no-baseline",
    default=True,
    show_default=True,
    help="A row of element substitution for the same chemical systems.",
)
@writing_options
def discovery(**options: Any) -> None:
    """Write crystals of nothing and of chemical systems, relax them, and count S.U.N.

    S.U.N.: stable against the known crystals by the potential's own energies, unique and new.
    Rates have Wilson's 95 % intervals. A killed run goes on: texts are kept in parts, relaxations
    one by one.
    """
    from crystalicl_jobflow.benchmarks.discovery import DiscoverySetting, run_discovery
    from crystalicl_jobflow.benchmarks.stored_figures import stored_table
    from crystalicl_jobflow.energies import load_energy_model
    from crystalicl_jobflow.generation import check_model_files

    out: Path = options["out"]
    check_folder(out)
    texts = read_setting(options)
    load_energy_model(options["energies"])  # a missing package is told before any text is written
    check_model_files(texts.model.base_model, texts.model.adapter)
    setting = DiscoverySetting(
        texts=texts,
        samples=options["samples"],
        known=options["known"],
        energies=options["energies"],
        seed=options["seed"],
        baseline=options["baseline"],
    )
    with stages() as report:
        result = run_discovery(
            setting,
            out,
            pools=lru_cache(maxsize=2)(open_pool),
            processes=options["processes"],
            progress=report,
        )
    document = result.document()
    write_json(out / TABLE_FILE, document)
    write_text(out / "table.md", stored_table(out / TABLE_FILE))
    head, *more = document["heads"]
    shown = table(head, *more)
    for row in document["rows"]:
        shown.add_row(*(cell.partition(" (")[0] for cell in row))  # the file has the intervals
    stdout_console().print(shown)
    say(f"Written: {out / 'table.md'}, {out / TABLE_FILE}")
