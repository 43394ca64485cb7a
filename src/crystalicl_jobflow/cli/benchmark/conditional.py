"""``crystalicl benchmark conditional``: success on what is asked of a data set's crystals."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from crystalicl_jobflow.cli._common import stdout_console
from crystalicl_jobflow.cli.benchmark._common import dataset_options, run_metrics, run_on_dataset


@click.command(
    epilog="\b\ncrystalicl benchmark conditional --dataset test.csv.gz --pool train.csv.gz \\\n"
    "    --shots 3 --limit 100 --seed 0 --out run"
)
@partial(dataset_options, shots=3)
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True)
def conditional(**options: Any) -> None:
    """Ask for the crystals of a data set by their conditions, and compare."""
    from crystalicl_jobflow.cli import _output

    result, folder = run_on_dataset(options, samples=options["samples"], unique=True)
    if result is None:
        click.echo(f"Finished before: {folder.folder / 'metrics.json'}")
        return
    folder.finish(result.parts, run_metrics(result, folder))
    names = ", ".join(folder.settings["condition"])
    title = f"{len(result.material_ids)} conditions ({names}), {options['shots']} shots"
    stdout_console().print(_output.rates_table(result.evaluation, title=title))
    click.echo(f"Written: {folder.folder / 'metrics.json'}, {folder.folder / 'candidates.jsonl'}")
