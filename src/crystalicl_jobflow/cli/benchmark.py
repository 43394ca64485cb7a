"""``crystalicl benchmark``: quality measured on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._common import OneLineGroup, note, stages, stdout_console
from crystalicl_jobflow.cli._options import (
    constraint_options,
    format_option,
    model_options,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
)
from crystalicl_jobflow.cli._pool import open_pool

if TYPE_CHECKING:
    from crystalicl_jobflow.flows.benchmark import BenchmarkResult

METRICS = "metrics.json"


@click.group(cls=OneLineGroup)
def benchmark() -> None:
    """Measure quality on a data set."""


@benchmark.command(
    epilog="\b\ncrystalicl benchmark conditional --dataset test.csv.gz --pool train.csv.gz \\\n"
    "    --shots 3 --limit 100 --seed 0 --out run"
)
@click.option(
    "--dataset", required=True, metavar="CSV", help="True crystals, e.g. mp_20_test.csv.gz."
)
@click.option(
    "--condition",
    "names",
    default="formula,space_group",
    show_default=True,
    help="What is asked of each crystal: fields of a condition and properties.",
)
@retrieval_options
@click.option("--limit", type=click.IntRange(1), help="Rows drawn from the data set.  [all]")
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True)
@format_option
@constraint_options
@sampling_options
@model_options
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for metrics.json and candidates.jsonl.",
)
def conditional(**options: Any) -> None:
    """Ask for the crystals of a data set by their conditions, and compare."""
    from crystalicl_jobflow.cli import _output
    from crystalicl_jobflow.flows.benchmark import condition_names, conditional_benchmark

    names = condition_names(options["names"])
    sampling = read_sampling(options)
    constraint = read_constraint(options)
    pool = None
    if options["shots"]:
        pool = open_pool(options["pool"], strategy=options["strategy"])
    with stages() as report:
        result = conditional_benchmark(
            options["dataset"],
            generator=lambda: read_generator(options),
            condition=names,
            pool=pool,
            shots=options["shots"],
            strategy=options["strategy"],
            samples=options["samples"],
            limit=options["limit"],
            seed=options["seed"],
            sampling=sampling,
            text_format=options["text_format"],
            constrain=constraint,
            processes=options["processes"],
            progress=report,
        )
    for name, reason in result.failed:
        note(f"Not read: {name}: {reason}")
    for name, reason in result.impossible:
        note(f"Written freely: {name}: {reason}")
    out: Path = options["out"]
    _output.write_candidates(out / _output.CANDIDATES, result.candidates)
    _output.write_json(out / METRICS, _metrics(result, names, options))
    title = f"{len(result.material_ids)} conditions ({', '.join(names)}), {options['shots']} shots"
    stdout_console().print(_output.rates_table(result.evaluation, title=title))
    click.echo(f"Written: {out / METRICS}, {out / _output.CANDIDATES}")


def _metrics(result: BenchmarkResult, names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from crystalicl_jobflow.cli import _output

    return {
        **_output.rates_document(result.evaluation),
        "dataset": Path(options["dataset"]).name,
        "condition": names,
        "num_conditions": len(result.material_ids),
        "samples": options["samples"],
        "shots": options["shots"],
        "pool": options["pool"],
        "constrain": options["constrain"],
        "seed": options["seed"],
        "not_read": dict(result.failed),
        "written_freely": dict(result.impossible),
        "seconds": result.seconds,
        **_output.shared_provenance(result.candidates),
        "material_ids": result.material_ids,
    }
