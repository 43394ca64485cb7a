"""``crystalicl benchmark property``: predicted properties against the truth and baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._console import say, stages, stdout_console, table
from crystalicl_jobflow.cli._options import check_model, model_options, read_generator
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli.predict import prediction_options, read_prediction, write_predictions
from crystalicl_jobflow.utils.files import write_json

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.property_prediction import PropertyBenchmark


@click.command(
    epilog="\b\ncrystalicl benchmark property --dataset test.csv.gz \\\n"
    "    --property formation_energy_per_atom --train train.csv.gz --limit 500 --out run"
)
@click.option(
    "--dataset", required=True, metavar="CSV", help="Crystals with known values of the property."
)
@click.option("--property", "property_name", required=True, metavar="NAME")
@click.option("--limit", type=click.IntRange(1), help="Crystals drawn from the data set.  [all]")
@click.option(
    "--baseline",
    type=click.Choice(["magpie", "median", "none"]),
    default="magpie",
    show_default=True,
    help="Gradient boosting on Magpie features, beside the training values' median.",
)
@click.option(
    "--train", "train", multiple=True, metavar="CSV", help="What the baselines learn from."
)
@prediction_options
@model_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for metrics.json and predictions.jsonl.",
)
def property_command(**options: Any) -> None:
    """Predict a property of the crystals of a data set; mean absolute error."""
    from crystalicl_jobflow.benchmarks.property_prediction import property_benchmark
    from crystalicl_jobflow.cli.benchmark._options import model_identity
    from crystalicl_jobflow.utils.hashing import file_hash

    check_folder(options["out"])
    check_model(options)
    with stages() as report:
        result = property_benchmark(
            options["dataset"],
            options["property_name"],
            generator=lambda: read_generator(options),
            limit=options["limit"],
            baseline=options["baseline"],
            train=options["train"],
            progress=report,
            seed=options["seed"],
            **read_prediction(options),
        )
    out: Path = options["out"]
    write_predictions(out / "predictions.jsonl", result.predictions, result.truths)
    first = result.predictions[0]
    metrics = {
        **result.metrics,
        "dataset": Path(options["dataset"]).name,
        "dataset_sha256": file_hash(options["dataset"]),
        "limit": options["limit"],
        "seed": options["seed"],
        "samples": options["samples"],
        "text_format": options["text_format"],
        "template": options["template"],
        "constraint": first.constraint,
        "sampling": None if first.sampling is None else first.sampling.model_dump(),
        "identity": model_identity(options),
        "versions": first.versions,
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }
    write_json(out / "metrics.json", metrics)
    _print(result)
    say(f"Written: {out / 'metrics.json'}, {out / 'predictions.jsonl'}")


def _print(result: PropertyBenchmark) -> None:
    metrics = result.metrics
    unit = metrics["unit"] or "1"
    shown = table(
        "Predicted by", f">MAE ({unit})", ">RMSE", ">Of", ">Unanswered",
        title=f"{metrics['property']} of {metrics['asked']} crystals",
    )  # fmt: skip
    for name, row in (("language model", metrics["model"]), *metrics["baselines"].items()):
        shown.add_row(
            name,
            "-" if row["mae"] is None else f"{row['mae']:.4f}",
            "-" if row["rmse"] is None else f"{row['rmse']:.4f}",
            str(row["of"]),
            str(row["unanswered"]),
        )
    stdout_console().print(shown)
