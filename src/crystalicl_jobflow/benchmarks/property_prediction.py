"""Property prediction measured on a data set, beside what simple models reach."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition

from crystalicl_jobflow.energies.prediction_errors import magpie_baseline, regression_errors
from crystalicl_jobflow.schemas import PROPERTIES, find_property
from crystalicl_jobflow.schemas.predictions import PropertyPrediction
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.records import Record
    from crystalicl_jobflow.generation import TextGenerator

BASELINES = ("magpie", "median", "none")
"""What a model is compared with: gradient boosting on Magpie features beside the median of
the training values; that median alone; nothing."""


@dataclass
class PropertyBenchmark:
    """What a property benchmark measured.

    Parameters
    ----------
    metrics
        Errors of the model and of the baselines with their denominators.
    predictions
        One per crystal asked about, those without a value included.
    truths
        The true value of each.
    seconds
        Wall time of each part.
    """

    metrics: dict[str, Any]
    predictions: list[PropertyPrediction]
    truths: list[float]
    seconds: dict[str, float] = field(default_factory=dict)


def property_benchmark(
    dataset: str | Path,
    property_name: str,
    *,
    generator: TextGenerator | Callable[[], TextGenerator],
    limit: int | None = None,
    seed: int = 0,
    baseline: str = "magpie",
    train: Sequence[str | Path] = (),
    progress: StageProgress | None = None,
    **prediction: Any,
) -> PropertyBenchmark:
    """Predict a property of the crystals of a data set, and compare with the truth.

    Parameters
    ----------
    dataset
        A CSV with CIFs and the property, or any other source of crystals.
    property_name
        Name or alias of a registered property.
    generator
        The language model, or what loads it.
    limit
        Crystals whose property is predicted, drawn with the seed from those whose value is
        known; None for all of them.
    seed
        Seed of the crystals and of the baseline.
    baseline
        One of `BASELINES`; all but 'none' need ``train``.
    train
        Sources that the baselines learn from.
    progress
        Called with (what, done, total).
    **prediction
        Samples, sampling, text format, template and constraint: options of
        `crystalicl_jobflow.generation.property_prediction.predict_property`.

    Raises
    ------
    ValueError
        If the property is not known or the data set has no value of it, there is no such
        baseline, or it has nothing to learn from; one line.
    """
    from crystalicl_jobflow.generation.property_prediction import predict_property

    report = progress or (lambda _what, _done, _total: None)
    spec = find_property(property_name)
    if spec is None:
        raise ValueError(
            f"property {property_name!r} is not known; there are {', '.join(PROPERTIES)}"
        )
    if baseline not in BASELINES:
        raise ValueError(f"baseline {baseline!r} is not one of {', '.join(BASELINES)}")
    if baseline != "none" and not train:
        raise ValueError(f"the baseline {baseline} needs training data (--train CSV)")
    started = time.perf_counter()
    records = known_records(dataset, spec.name)
    if not records:
        raise ValueError(f"{dataset} has no {spec.name}")
    order = np.random.default_rng(seed).permutation(len(records))[:limit]
    chosen = [records[place] for place in order]
    truths = [record.properties[spec.name] for record in chosen]
    seconds = {"read_dataset": time.perf_counter() - started}

    references: dict[str, Any] = {}
    compositions = [_composition(record) for record in chosen]
    if baseline != "none":
        started = time.perf_counter()
        learned = [record for path in train for record in known_records(path, spec.name)]
        references = _baselines(learned, compositions, truths, spec.name, baseline, seed, train)
        seconds["baseline"] = time.perf_counter() - started
        report("Baseline", len(learned), len(learned))

    started = time.perf_counter()
    predictions = predict_property(
        {record.record_id: record.crystal or "" for record in chosen},
        spec.name,
        generator,
        **prediction,
        progress=lambda done, total: report("Predict", done, total),
    )
    seconds["predict"] = time.perf_counter() - started
    values = [item.value for item in predictions]
    reasons = dict(Counter(item.reason for item in predictions if item.reason is not None))
    model = {**_errors(values, truths), "reasons": reasons}
    answered = [place for place, value in enumerate(values) if value is not None]
    for reference in references.values():
        # the model's crystals only, so that a model gains nothing by not answering
        guesses = reference.pop("predicted")
        reference["where_the_model_answered"] = _errors(
            [guesses[place] for place in answered], [truths[place] for place in answered]
        )
    metrics = {
        "property": spec.name,
        "unit": spec.unit,
        "asked": len(chosen),
        "known_in_dataset": len(records),
        "model": model,
        "baselines": references,
    }
    return PropertyBenchmark(metrics, predictions, truths, seconds)


def known_records(source: str | Path, property_name: str) -> list[Record]:
    """Return the records of a source whose property is known, each id once.

    Raises
    ------
    ValueError
        If the source cannot be opened; one line.
    """
    from crystalicl_jobflow.datasets.sources import open_source

    found: dict[str, Record] = {}
    for record in open_source(source).records():
        if property_name in record.properties:
            found.setdefault(record.record_id, record)
    return list(found.values())


def _baselines(
    learned: Sequence[Record],
    compositions: Sequence[Composition | None],
    truths: Sequence[float],
    name: str,
    baseline: str,
    seed: int,
    train: Sequence[str | Path],
) -> dict[str, Any]:
    if not learned:
        raise ValueError(f"the training data have no {name}")
    values = np.array([record.properties[name] for record in learned])
    guesses = {"median": np.full(len(truths), np.median(values))}
    if baseline == "magpie":
        known = [_composition(record) for record in learned]
        kept = [place for place, item in enumerate(known) if item is not None]
        asked = [place for place, item in enumerate(compositions) if item is not None]
        guesses["magpie"] = np.full(len(truths), np.nan)
        guesses["magpie"][asked] = magpie_baseline(
            [item for item in known if item is not None],
            values[kept],
            [item for item in compositions if item is not None],
            seed=seed,
        )
    return {
        name: {
            **_errors(guessed, truths),
            "trained_on": [Path(path).name for path in train],
            "num_train": len(learned),
            "predicted": guessed,
        }
        for name, guessed in guesses.items()
    }


def _errors(values: Any, truths: Sequence[float]) -> dict[str, Any]:
    errors = regression_errors(values, truths)
    return {**asdict(errors), "unanswered": errors.unanswered}


def _composition(record: Record) -> Composition | None:
    """Return what a record is made of, or None where it cannot be read."""
    from crystalicl_jobflow.datasets.records import read_crystal

    if record.crystal is None:
        return None
    try:
        return read_crystal(record.crystal).composition.element_composition
    except ValueError:
        return None
