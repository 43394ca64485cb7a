"""``crystalicl benchmark energies``: how far predicted properties lie from known ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crystalicl_jobflow.cli._common import note, progress, stdout_console, table

if TYPE_CHECKING:
    from crystalicl_jobflow.evaluation.energies import PropertyPredictor

ERRORS = "errors.json"
PREDICTIONS = "predictions.csv"


@click.command(
    epilog="\b\ncrystalicl benchmark energies --dataset test.csv.gz --limit 200\n"
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
@click.option("--predictor", help="chgnet, trees, megnet, or an .npz of trees.  [the first]")
@click.option(
    "--references",
    help="Elemental references of an energy model: mp, own, fitted or a .json.  [mp]",
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
    predictor: str | None,
    references: str | None,
    limit: int | None,
    seed: int,
    out: Path | None,
) -> None:
    """Compare predicted properties with the known ones of a data set, crystals as they are."""
    from crystalicl_jobflow.evaluation.energies.data_sets import read_data_set
    from crystalicl_jobflow.evaluation.energies.errors import prediction_errors
    from crystalicl_jobflow.schemas import find_property

    spec = find_property(property_name)
    name = property_name if spec is None else spec.name
    unit = "" if spec is None else spec.unit
    model = _predictor(name, predictor, references)
    data = read_data_set(dataset, required=[name], limit=limit, seed=seed)
    for row, reason in data.failed:
        note(f"Not read: {row}: {reason}")
    started = time.perf_counter()
    values: list[float | None] = []
    with progress("Predict") as report:
        for start in range(0, len(data), 64):
            values += model.predict(data.structures[start : start + 64])
            report(len(values), len(data))
    seconds = time.perf_counter() - started
    known = [properties[name] for properties in data.properties]
    errors = prediction_errors(name, values, known)

    label = f"{name} by {model.name} {model.version}, {Path(dataset).name}"
    shown = table("", f">{unit}" if unit else ">", title=label)
    for words, value in (
        ("mean absolute error", errors.mae),
        ("median absolute error", errors.median),
        ("root mean square error", errors.rmse),
        ("mean error", errors.mean),
        ("mean absolute error of the median", errors.baseline_mae),
    ):
        shown.add_row(words, "-" if value is None else f"{value:.4f}")
    console = stdout_console()
    console.print(shown)
    met = "-" if errors.met is None else f"{100 * errors.met:.1f} %"
    console.print(
        f"{errors.predicted} of {errors.count} crystals predicted;"
        f" {met} meet the known value by the rule of conditional success"
    )
    if out is not None:
        _write(out, data.ids, known, values, {
            "property": name,
            "predictor": model.name,
            "version": model.version,
            "dataset": Path(dataset).name,
            "seed": seed,
            "limit": limit,
            "unit": unit,
            "seconds": round(seconds, 2),
            **errors.as_dict(),
        })  # fmt: skip
        click.echo(f"Written: {out / ERRORS}, {out / PREDICTIONS}")


def _predictor(name: str, predictor: str | None, references: str | None) -> PropertyPredictor:
    from crystalicl_jobflow.cli._common import UserError
    from crystalicl_jobflow.evaluation.energies import load_predictor, load_references
    from crystalicl_jobflow.evaluation.energies.predictors import FormationEnergyPredictor

    found = load_predictor(name, predictor)
    if references is None:
        return found
    if not isinstance(found, FormationEnergyPredictor):
        raise UserError(f"--references belong to an energy model, not to {found.name} of {name}")
    return FormationEnergyPredictor(found.model, load_references(found.model, references))


def _write(
    out: Path,
    ids: list[str],
    known: list[float],
    values: list[float | None],
    document: dict[str, object],
) -> None:
    import pandas as pd

    from crystalicl_jobflow.cli import _output

    _output.write_json(out / ERRORS, document)
    rows = pd.DataFrame({"material_id": ids, "known": known, "predicted": values})
    rows.to_csv(out / PREDICTIONS, index=False)
