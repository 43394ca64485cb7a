"""``crystalicl init``: ready-made files for a project of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.submission.ready_made import copy_ready_made


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
def init(folder: Path, overwrite: bool) -> None:
    """Copy ready-made files into FOLDER: stores, Flows, scripts and workers.

    `stores/` holds job stores and pools, `flows/` Flows for `crystalicl submit` and scripts,
    `flows/workers/` the files of jobflow-remote and FireWorks. Each file says what it is for.
    """
    for path in copy_ready_made(folder, overwrite=overwrite):
        click.echo(path)
    click.echo(
        f"Try: cd {folder} && crystalicl submit flows/generate.yaml --local --out run", err=True
    )
