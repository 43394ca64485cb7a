"""Predicted properties beside the known ones of a data set."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

    from crystalicl_jobflow.energies import (
        Answer,
        Correction,
        Energy,
        EnergyModel,
        PredictionErrors,
        PropertyPredictor,
        Relaxation,
    )
    from crystalicl_jobflow.energies.corrections import CorrectionKind
    from crystalicl_jobflow.utils.progress import Progress


KIND = "energies"
"""What the figures of `EnergyBenchmark` are called where they are stored."""

CHUNK = 64
"""Crystals predicted between two reports of progress."""


@dataclass(frozen=True)
class ComparedPredictor:
    """What one predictor answered for the crystals of a data set.

    Parameters
    ----------
    name, version
        Of the predictor.
    answers
        One per crystal, in the property's unit, or with the reason why there is none.
    errors
        How far they lie from the known ones.
    seconds
        Wall time.
    packages
        Versions of the packages that it rests on.
    """

    name: str
    version: str
    answers: list[Answer]
    errors: PredictionErrors
    seconds: float
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def predicted(self) -> list[float | None]:
        """One value per crystal; None where it gave none."""
        return [answer.value for answer in self.answers]

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class EnergyBenchmark:
    """Predicted properties beside the known ones of a data set.

    Parameters
    ----------
    property_name, unit
        What was predicted; the unit is empty for a property that is not registered.
    dataset
        Name of the file.
    ids, known
        The crystals, and their known values.
    predictors
        What each predictor answered; at least one.
    failed
        Id and reason of the rows that could not be read.
    """

    property_name: str
    unit: str
    dataset: str
    ids: list[str]
    known: list[float]
    predictors: list[ComparedPredictor]
    failed: list[tuple[str, str]]

    def metrics(self) -> dict[str, Any]:
        """Return the errors as plain data."""
        return {
            "kind": KIND,
            "property": self.property_name,
            "unit": self.unit,
            "dataset": self.dataset,
            "not_read": dict(self.failed),
            "predictors": [
                {
                    "predictor": item.name,
                    "version": item.version,
                    "packages": dict(item.packages),
                    "seconds": round(item.seconds, 2),
                    "crystals_per_second": round(len(self.ids) / item.seconds, 2)
                    if item.seconds
                    else None,
                    **item.errors.as_dict(),
                    "not_predicted": dict(
                        Counter(answer.reason for answer in item.answers if answer.value is None)
                    ),
                }
                for item in self.predictors
            ],
        }

    def table(self) -> pd.DataFrame:
        """Return every crystal's known and predicted values, and why there is none."""
        import pandas as pd

        values: dict[str, Sequence[Any]] = {item.label: item.predicted for item in self.predictors}
        for item in self.predictors:
            if any(answer.reason for answer in item.answers):
                values[f"{item.label}: why not"] = [answer.reason for answer in item.answers]
        return pd.DataFrame({"material_id": self.ids, "known": self.known, **values})


def energy_benchmark(
    dataset: str | Path,
    property_name: str = "formation_energy_per_atom",
    *,
    predictors: Sequence[str] = (),
    references: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> EnergyBenchmark:
    """Predict a property of the crystals of a data set as they are, and compare.

    Parameters
    ----------
    dataset
        A CSV with CIFs and the property, or any other source of crystals.
    property_name
        Name or alias of the property.
    predictors, references
        See `compared_predictors`.
    limit
        Rows drawn with the seed; None for all.
    seed
        Seed of the rows.
    progress
        Called with ('Predict', crystals done, crystals).

    Raises
    ------
    ValueError
        If the data set has no value of the property, or a predictor does not exist; one
        line.
    """
    from crystalicl_jobflow.datasets.crystal_data import read_data_set
    from crystalicl_jobflow.energies import answers_of, model_versions, prediction_errors
    from crystalicl_jobflow.schemas import find_property

    spec = find_property(property_name)
    name = property_name if spec is None else spec.name
    models = compared_predictors(name, predictors, references)
    data = read_data_set(dataset, required=[name], limit=limit, seed=seed)
    answers: list[list[Answer]] = [[] for _ in models]
    seconds = [0.0] * len(models)
    for start in range(0, len(data), CHUNK):
        crystals = data.structures[start : start + CHUNK]
        for place, model in enumerate(models):
            began = time.perf_counter()
            answers[place] += answers_of(model, crystals)
            seconds[place] += time.perf_counter() - began
        if progress is not None:
            progress("Predict", start + len(crystals), len(data))
    known = [properties[name] for properties in data.properties]
    compared = [
        ComparedPredictor(
            model.name,
            model.version,
            row,
            prediction_errors(name, [answer.value for answer in row], known),
            spent,
            model_versions([model]),
        )
        for model, row, spent in zip(models, answers, seconds, strict=True)
    ]
    return EnergyBenchmark(
        name,
        "" if spec is None else spec.unit,
        Path(dataset).name,
        list(data.ids),
        known,
        compared,
        list(data.failed),
    )


def correction_benchmark(
    dataset: str | Path,
    property_name: str,
    *,
    predictor: str,
    kind: CorrectionKind = "anion",
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Correction, list[tuple[str, str]]]:
    """Fit the bias of a predictor on a data set.

    Parameters
    ----------
    dataset, property_name, limit, seed
        As in `energy_benchmark`.
    predictor
        Name as in `load_predictor`.
    kind
        See `Correction`.
    progress
        Called with (crystals done, crystals).

    Returns
    -------
    tuple
        The correction with its origin; id and reason of the rows that could not be read.

    Raises
    ------
    ValueError
        If there are no values, or no such predictor; one line.
    """
    from crystalicl_jobflow.datasets.crystal_data import read_data_set
    from crystalicl_jobflow.energies import answers_of, fit_correction, load_predictor
    from crystalicl_jobflow.schemas import find_property
    from crystalicl_jobflow.utils.hashing import file_hash

    spec = find_property(property_name)
    name = property_name if spec is None else spec.name
    model = load_predictor(name, predictor)
    data = read_data_set(dataset, required=[name], limit=limit, seed=seed)
    answers: list[Answer] = []
    for start in range(0, len(data), CHUNK):
        answers += answers_of(model, data.structures[start : start + CHUNK])
        if progress is not None:
            progress(len(answers), len(data))
    fitted = fit_correction(
        model,
        data.structures,
        [properties[name] for properties in data.properties],
        kind=kind,
        predicted=answers,
        minimum=0.0 if name == "band_gap" else None,
        origin={
            "dataset": Path(dataset).name,
            "dataset_sha256": file_hash(dataset),
            "limit": limit,
            "seed": seed,
        },
    )
    return fitted, list(data.failed)


def error_table(metrics: Mapping[str, Any]) -> str:
    """Return the errors of an `EnergyBenchmark` as a Markdown table.

    Parameters
    ----------
    metrics
        What `EnergyBenchmark.metrics` returned, also as read from a file.
    """
    from crystalicl_jobflow.energies.prediction_errors import MET_WORDS
    from crystalicl_jobflow.utils.markdown import markdown_table

    unit = f", {metrics['unit']}" if metrics["unit"] else ""
    met = MET_WORDS.get(metrics["property"], "met")
    heads = ["predictor", "crystals", f"mean absolute error{unit}", "median", "RMS", "signed mean"]
    heads += [f"{met}, %", "crystals per second"]
    rows: list[list[str]] = []
    for item in metrics["predictors"]:
        label = f"`{item['predictor']}` {item['version']}"
        numbers = [_number(item[name]) for name in ("mae", "median", "rmse", "mean")]
        share, speed = item["met"], item.get("crystals_per_second")
        rows.append(
            [
                label,
                f"{item['predicted']} of {item['count']}",
                *numbers,
                "-" if share is None else f"{100 * share:.1f}",
                "-" if speed is None else f"{speed:.1f}",
            ]
        )
        if 0 < (item["nonzero"] or 0) < item["count"] and item["nonzero_met"] is not None:
            apart = f"the same, {item['nonzero']} crystals whose value is not 0"
            shown = [_number(item["nonzero_mae"]), "", "", "", f"{100 * item['nonzero_met']:.1f}"]
            rows.append([apart, "", *shown, ""])
    median = metrics["predictors"][0]["baseline_mae"]
    if median is not None:
        rows.append(["the median of all", "", _number(median), "", "", "", "", ""])
    return markdown_table(heads, rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


class _Once:
    """An energy model that computes the same crystals once, whatever the references."""

    def __init__(self, model: EnergyModel) -> None:
        self.model = model
        self.name, self.version = model.name, model.version
        self.last: tuple[Sequence[Structure | None], list[Energy]] | None = None

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energies of the last call again, if the crystals are the same."""
        if self.last is None or self.last[0] is not structures:
            self.last = (structures, self.model.energies(structures, progress=progress))
        return self.last[1]

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = 0.1,
        max_steps: int = 500,
        progress: Progress | None = None,
    ) -> list[Relaxation]:
        """Relax with the model.

        Parameters
        ----------
        structures, fmax, max_steps, progress
            See `EnergyModel`.
        """
        return self.model.relax(structures, fmax=fmax, max_steps=max_steps, progress=progress)


def compared_predictors(
    name: str, predictors: Sequence[str], references: Sequence[str]
) -> list[PropertyPredictor]:
    """Return the predictors to compare, one for each set of elemental references.

    Parameters
    ----------
    name
        Name of the property.
    predictors
        Names as in `load_predictor`; none for the property's first one.
    references
        Names as in `load_references`, for predictors that are energy models.

    Raises
    ------
    ValueError
        If references are named and no predictor is an energy model.
    """
    from crystalicl_jobflow.energies import load_predictor, load_references
    from crystalicl_jobflow.energies.predictors import FormationEnergyPredictor

    found: list[PropertyPredictor] = []
    energetic = False
    for predictor in predictors or (None,):
        loaded = load_predictor(name, predictor)
        if references and isinstance(loaded, FormationEnergyPredictor):
            energetic = True
            model = _Once(loaded.model)
            found += [
                FormationEnergyPredictor(model, load_references(model, kind)) for kind in references
            ]
        else:
            found.append(loaded)
    if references and not energetic:
        names = ", ".join(item.name for item in found)
        raise ValueError(f"--references belong to an energy model, not to {names} of {name}")
    return found
