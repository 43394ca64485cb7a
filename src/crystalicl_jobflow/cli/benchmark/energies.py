"""``crystalicl benchmark energies``: how far predicted properties lie from known ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.benchmarks.energies import compared_predictors
from crystalicl_jobflow.cli._console import note, progress, stdout_console, table
from crystalicl_jobflow.utils.files import write_json

ERRORS = "errors.json"
PREDICTIONS = "predictions.csv"
CHUNK = 64
"""Crystals predicted between two reports of progress."""


@click.command(
    epilog="\b\ncrystalicl benchmark energies --dataset test.csv.gz --limit 200\n"
    "crystalicl benchmark energies --dataset test.csv.gz --references mp --references own\n"
    "crystalicl benchmark energies --dataset test.csv.gz --property band_gap --out gaps"
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
    help="chgnet, trees, megnet, or an .npz of trees; several are compared.  [the first]",
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
    help=f"Folder for {ERRORS} and {PREDICTIONS}.",
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
    from crystalicl_jobflow.datasets.crystal_data import read_data_set
    from crystalicl_jobflow.energies import prediction_errors
    from crystalicl_jobflow.schemas import find_property

    spec = find_property(property_name)
    name = property_name if spec is None else spec.name
    unit = "" if spec is None else spec.unit
    models = compared_predictors(name, predictors, references)
    data = read_data_set(dataset, required=[name], limit=limit, seed=seed)
    for row, reason in data.failed:
        note(f"Not read: {row}: {reason}")
    values: list[list[float | None]] = [[] for _ in models]
    seconds = [0.0] * len(models)
    with progress("Predict") as report:
        for start in range(0, len(data), CHUNK):
            crystals = data.structures[start : start + CHUNK]
            for place, model in enumerate(models):
                began = time.perf_counter()
                values[place] += model.predict(crystals)
                seconds[place] += time.perf_counter() - began
            report(start + len(crystals), len(data))
    known = [properties[name] for properties in data.properties]
    errors = [prediction_errors(name, row, known) for row in values]

    labels = [f"{model.name} {model.version}" for model in models]
    heading = f">{unit}" if unit else ">Error"
    shown = table(
        "Predictor", ">Crystals", f"{heading}, mean", ">median", ">RMS", ">signed", ">Met %"
    )
    for label, found in zip(labels, errors, strict=True):
        numbers = (found.mae, found.median, found.rmse, found.mean)
        shown.add_row(
            label,
            f"{found.predicted} of {found.count}",
            *("-" if value is None else f"{value:.4f}" for value in numbers),
            "-" if found.met is None else f"{100 * found.met:.1f}",
        )
    console = stdout_console()
    console.print(f"{name}, {Path(dataset).name}: absolute errors of crystals as they are")
    console.print(shown)
    if errors[0].baseline_mae is not None:
        click.echo(f"Answering the median of all: {errors[0].baseline_mae:.4f} {unit}")
    if 0 < errors[0].nonzero < errors[0].count:
        for label, found in zip(labels, errors, strict=True):
            if found.nonzero_mae is not None and found.nonzero_met is not None:
                click.echo(
                    f"{label}, {found.nonzero} crystals whose value is not 0: mean"
                    f" {found.nonzero_mae:.4f} {unit}, met {100 * found.nonzero_met:.1f} %"
                )
    if out is not None:
        document = {
            "property": name,
            "unit": unit,
            "dataset": Path(dataset).name,
            "limit": limit,
            "seed": seed,
            "not_read": dict(data.failed),
            "predictors": [
                {
                    "predictor": model.name,
                    "version": model.version,
                    "seconds": round(spent, 2),
                    **found.as_dict(),
                }
                for model, spent, found in zip(models, seconds, errors, strict=True)
            ],
        }
        _write(out, document, data.ids, known, dict(zip(labels, values, strict=True)))
        click.echo(f"Written: {out / ERRORS}, {out / PREDICTIONS}")


def _write(
    out: Path,
    document: Mapping[str, Any],
    ids: list[str],
    known: list[float],
    values: Mapping[str, Sequence[float | None]],
) -> None:
    import pandas as pd

    write_json(out / ERRORS, document)
    rows = pd.DataFrame({"material_id": ids, "known": known, **dict(values)})
    rows.to_csv(out / PREDICTIONS, index=False)
