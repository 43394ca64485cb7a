"""``crystalicl predict-property``: a property of given crystals, by the language model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, progress, say, stdout_console, table
from crystalicl_jobflow.cli._options import (
    check_model,
    format_option,
    model_options,
    read_generator,
    template_option,
)
from crystalicl_jobflow.cli._outputs import check_file
from crystalicl_jobflow.utils.files import replacing

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas.predictions import PropertyPrediction

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_SHOWN = 40
"""Most crystals that are printed; the file holds all."""


def prediction_options(command: Command) -> Command:
    """Add the options that say how properties are predicted."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--samples",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Answers per crystal; their median is taken. One is the likeliest answer.",
        ),
        click.option(
            "--temperature",
            type=click.FloatRange(0, min_open=True),
            help="Temperature of several answers.  [0.7]",
        ),
        format_option,
        template_option,
        click.option(
            "--constrain/--no-constrain",
            default=True,
            show_default=True,
            help="Let the model write only a number.",
        ),
        click.option("--seed", type=int, default=0, show_default=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_prediction(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options of :func:`prediction_options` ask for, seed apart.

    Raises
    ------
    ValueError
        If a temperature comes without several samples.
    """
    from crystalicl_jobflow.generation.property_prediction import DRAWN, GREEDY

    samples, temperature = options["samples"], options["temperature"]
    if temperature is not None and samples == 1:
        raise ValueError("--temperature needs several --samples: a single answer is the likeliest")
    sampling = GREEDY if samples == 1 else DRAWN
    changes = {"seed": options["seed"]}
    if temperature is not None:
        changes["temperature"] = temperature
    return {
        "samples": samples,
        "sampling": sampling.model_copy(update=changes),
        "text_format": options["text_format"],
        "template": options["template"],
        "constrain": options["constrain"],
    }


def write_predictions(
    path: Path, predictions: Sequence[PropertyPrediction], truths: Sequence[float | None]
) -> None:
    """Write one prediction a line, with the known value beside it."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8") as file:
        for prediction, truth in zip(predictions, truths, strict=True):
            row = {**prediction.model_dump(mode="json"), "known_value": truth}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@click.command(
    "predict-property",
    epilog="\b\ncrystalicl predict-property crystal.cif --property formation_energy_per_atom",
)
@click.argument("crystals", nargs=-1, required=True, metavar="CRYSTALS...")
@click.option("--property", "property_name", required=True, metavar="NAME")
@prediction_options
@model_options
@click.option("--limit", type=click.IntRange(1), help="Crystals of each source, at most.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSONL file for the predictions with their prompts and answers.",
)
def predict_property(crystals: tuple[str, ...], property_name: str, **options: Any) -> None:
    """Predict a property of crystals: CIF files, folders of them, CSV files or stores."""
    from itertools import islice

    if options["out"] is not None:
        check_file(options["out"])
    check_model(options)
    from crystalicl_jobflow.datasets.sources import open_source
    from crystalicl_jobflow.generation.property_prediction import MESSAGES
    from crystalicl_jobflow.generation.property_prediction import predict_property as predict
    from crystalicl_jobflow.schemas import find_property
    from crystalicl_jobflow.schemas.predictions import PropertyFailure

    spec = find_property(property_name)
    found: dict[str, Any] = {}
    unread: dict[str, str] = {}
    known: list[float | None] = []
    for source in crystals:
        for record in islice(open_source(source).records(), options["limit"]):
            name, number = record.record_id, 2
            while name in found:
                name, number = f"{record.record_id}#{number}", number + 1
            found[name] = record.crystal or ""
            if record.error is not None:
                unread[name] = record.error
            known.append(None if spec is None else record.properties.get(spec.name))
    with progress("Predict") as report:
        predictions = predict(
            found,
            property_name,
            lambda: read_generator(options),
            progress=report,
            **read_prediction(options),
        )
    for prediction in predictions:
        if prediction.crystal_id in unread:
            why = unread[prediction.crystal_id]
            prediction.message = f"{MESSAGES[PropertyFailure.NOT_READ]}: {why}"
    _print(predictions, known, asked_for=options["out"] is None)
    if options["out"] is not None:
        write_predictions(options["out"], predictions, known)
        note(f"Written: {options['out']}")
    if predictions and all(item.reason == PropertyFailure.NOT_READ for item in predictions):
        raise UserError(f"no crystal of {', '.join(crystals)} could be read")


def _print(
    predictions: Sequence[PropertyPrediction], known: Sequence[float | None], *, asked_for: bool
) -> None:
    from crystalicl_jobflow.energies.prediction_errors import regression_errors
    from crystalicl_jobflow.schemas import PROPERTIES

    spec = PROPERTIES[predictions[0].property_name]
    unit = f" ({spec.unit})" if spec.unit else ""
    has_known = any(value is not None for value in known)
    columns = ["Crystal", "Formula", f">Predicted{unit}", *([">Known"] if has_known else []), "Why"]
    shown = table(*columns, title=spec.phrase)
    for prediction, truth in list(zip(predictions, known, strict=True))[:MAX_SHOWN]:
        shown.add_row(
            prediction.crystal_id,
            prediction.formula or "-",
            "-" if prediction.value is None else spec.format(prediction.value),
            *(["-" if truth is None else spec.format(truth)] if has_known else []),
            prediction.message or "",
        )
    stdout_console(asked_for=asked_for).print(shown)
    if len(predictions) > MAX_SHOWN:
        note(f"{len(predictions) - MAX_SHOWN} more crystals are not shown")
    answered = sum(prediction.value is not None for prediction in predictions)
    say(f"{answered} of {len(predictions)} answered")
    pairs = [(p.value, t) for p, t in zip(predictions, known, strict=True) if t is not None]
    errors = regression_errors([value for value, _ in pairs], [truth for _, truth in pairs])
    if errors.mae is not None:
        say(f"Mean absolute error {errors.mae:.4f} {spec.unit} over {errors.of} known values")
