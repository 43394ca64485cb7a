"""``crystalicl benchmark energies``: how far predicted properties lie from known ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crystalicl_jobflow.cli._console import note, say, stages, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.utils.files import replacing, write_json, write_text

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.energies import EnergyBenchmark

ERRORS = "errors.json"
PREDICTIONS = "predictions.csv"
TABLE = "table.md"


@click.command(
    epilog="\b\ncrystalicl benchmark energies --dataset test.csv.gz --limit 200\n"
    "crystalicl benchmark energies --dataset test.csv.gz --references mp --references own\n"
    "crystalicl benchmark energies --dataset test.csv.gz --property band_gap --out gaps\n"
    "crystalicl benchmark energies --dataset test.csv.gz --predictor megnet"
    " --predictor megnet+bias.json"
)
@click.option("--dataset", required=True, metavar="CSV", help="Crystals with known values.")
@click.option(
    "--property",
    "property_name",
    default="formation_energy_per_atom",
    show_default=True,
    help="What is predicted.",
)
@click.option(
    "--predictor",
    "predictors",
    multiple=True,
    help="chgnet, trees, megnet, tensornet-matpes, matcalc:NAME, an .npz of trees, each also with"
    " +CORRECTION.json; several are compared.  [the first]",
)
@click.option(
    "--references",
    multiple=True,
    help="Elemental references of energy models: mp, own, fitted or a .json.  [mp]",
)
@click.option("--limit", type=click.IntRange(1), help="Rows drawn from the data set.  [all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the rows.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for {ERRORS}, {TABLE} and {PREDICTIONS}.",
)
def energies(
    dataset: str,
    property_name: str,
    predictors: tuple[str, ...],
    references: tuple[str, ...],
    limit: int | None,
    seed: int,
    out: Path | None,
) -> None:
    """Compare predicted properties with the known ones of a data set, crystals as they are."""
    from crystalicl_jobflow.benchmarks.energies import energy_benchmark, error_table
    from crystalicl_jobflow.utils.hashing import file_hash

    if out is not None:
        check_folder(out)
    with stages() as report:
        found = energy_benchmark(
            dataset,
            property_name,
            predictors=predictors,
            references=references,
            limit=limit,
            seed=seed,
            progress=report,
        )
    for row, reason in found.failed:
        note(f"Not read: {row}: {reason}")
    _print(found)
    if out is not None:
        metrics = {
            **found.metrics(),
            "dataset_sha256": file_hash(dataset),
            "limit": limit,
            "seed": seed,
        }
        write_json(out / ERRORS, metrics)
        write_text(out / TABLE, error_table(metrics))
        with replacing(out / PREDICTIONS) as beside:
            found.table().to_csv(beside, index=False)
        say(f"Written: {out / ERRORS}, {out / TABLE}, {out / PREDICTIONS}")


def _print(found: EnergyBenchmark) -> None:
    unit = found.unit
    heading = f">{unit}" if unit else ">Error"
    shown = table(
        "Predictor", ">Crystals", f"{heading}, mean", ">median", ">RMS", ">signed", ">Met %"
    )
    for item in found.predictors:
        errors = item.errors
        numbers = (errors.mae, errors.median, errors.rmse, errors.mean)
        shown.add_row(
            item.label,
            f"{errors.predicted} of {errors.count}",
            *("-" if value is None else f"{value:.4f}" for value in numbers),
            "-" if errors.met is None else f"{100 * errors.met:.1f}",
        )
    for item in found.predictors:
        for reason, count in Counter(a.reason for a in item.answers if a.value is None).items():
            note(f"{item.label}: {count} without a value: {reason}")
    console = stdout_console()
    console.print(
        f"{found.property_name}, {found.dataset}: absolute errors of crystals as they are"
    )
    console.print(shown)
    first = found.predictors[0].errors
    if first.baseline_mae is not None:
        say(f"Answering the median of all: {first.baseline_mae:.4f} {unit}")
    if 0 < first.nonzero < first.count:
        for item in found.predictors:
            errors = item.errors
            if errors.nonzero_mae is not None and errors.nonzero_met is not None:
                say(
                    f"{item.label}, {errors.nonzero} crystals whose value is not 0: mean"
                    f" {errors.nonzero_mae:.4f} {unit}, met {100 * errors.nonzero_met:.1f} %"
                )
