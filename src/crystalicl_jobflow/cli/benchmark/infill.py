"""``crystalicl benchmark infill``: how often a masked orbit is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, progress, say, stdout_console, table
from crystalicl_jobflow.cli._options import (
    check_model,
    constraint_options,
    model_options,
    open_pool,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
)
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.utils.files import write_json

INFILL = "infill.json"


@click.command(
    epilog="\b\ncrystalicl benchmark infill --dataset mp_20_test.csv.gz --pool pool.db --limit 200"
)
@click.option("--dataset", metavar="SOURCE", required=True, help="Crystals that are masked.")
@click.option("--limit", type=click.IntRange(1), help="Crystals drawn from it.  [all]")
@click.option(
    "--samples", type=click.IntRange(1), default=1, show_default=True, help="Texts of each crystal."
)
@retrieval_options
@constraint_options
@sampling_options
@model_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for {INFILL}.",
)
def infill(**options: Any) -> None:
    """Mask one orbit of every crystal of a data set, and fill it within the formula."""
    sampling = read_sampling(options)
    constraint = read_constraint(options)

    from crystalicl_jobflow.benchmarks.infill import BASELINES, infill_benchmark
    from crystalicl_jobflow.datasets.crystal_data import read_data_set
    from crystalicl_jobflow.editing import Parent
    from crystalicl_jobflow.editing.edit import check_writer, check_writing
    from crystalicl_jobflow.evaluation import interval_text, share_text
    from crystalicl_jobflow.generation import Writing
    from crystalicl_jobflow.settings import SETTINGS

    writing = Writing(sampling, constrain=constraint)
    check_writing(writing)
    check_model(options)
    check_writer(options["model"] or SETTINGS.MODEL)
    if options["out"] is not None:
        check_folder(options["out"])
    data = read_data_set(options["dataset"], limit=options["limit"], seed=sampling.seed)
    parents = [Parent(*pair) for pair in zip(data.ids, data.structures, strict=True)]
    pool = open_pool(options["pool"], strategy=options["strategy"])
    with progress("Infill") as report:
        rows = infill_benchmark(
            parents,
            lambda: read_generator(options),
            pool=pool,
            writing=writing,
            samples=options["samples"],
            shots=options["shots"],
            strategy=options["strategy"],
            progress=report,
        )
    if not rows:
        raise UserError(f"{options['dataset']}: no crystal has several orbits that can be written")
    note(f"{len(rows)} of {len(parents)} crystals have several orbits and can be written as text")
    counts = {"the model, first draw": sum(row.draws[0] for row in rows)}
    if options["samples"] > 1:
        counts[f"the model, one of {options['samples']}"] = sum(any(row.draws) for row in rows)
    for name in BASELINES:
        counts[name] = sum(row.baselines[name] for row in rows)
    shown = table("Filled by", ">Found again", ">Of", ">95 % interval")
    of = len(rows)
    for name, count in counts.items():
        shown.add_row(name, share_text(count, of), str(of), interval_text(count, of))
    stdout_console(asked_for=options["out"] is None).print(shown)
    if options["out"] is not None:
        options["out"].mkdir(parents=True, exist_ok=True)
        found = [
            {
                "parent_id": row.parent_id,
                "orbit": row.orbit,
                "draws": list(row.draws),
                **row.baselines,
            }
            for row in rows
        ]
        write_json(options["out"] / INFILL, {"counts": counts, "of": len(rows), "rows": found})
        say(f"Written: {options['out'] / INFILL}")
