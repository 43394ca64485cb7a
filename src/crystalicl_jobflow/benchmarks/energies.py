"""Predicted properties beside the known ones of a data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

    from crystalicl_jobflow.energies import (
        Energy,
        EnergyModel,
        PredictionErrors,
        PropertyPredictor,
        Relaxation,
    )
    from crystalicl_jobflow.utils.progress import Progress


CHUNK = 64
"""Crystals predicted between two reports of progress."""


@dataclass(frozen=True)
class ComparedPredictor:
    """What one predictor answered for the crystals of a data set.

    Parameters
    ----------
    name, version
        Of the predictor.
    predicted
        One value per crystal, in the property's unit; None where it gave none.
    errors
        How far they lie from the known ones.
    seconds
        Wall time.
    """

    name: str
    version: str
    predicted: list[float | None]
    errors: PredictionErrors
    seconds: float

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
            "property": self.property_name,
            "unit": self.unit,
            "dataset": self.dataset,
            "not_read": dict(self.failed),
            "predictors": [
                {
                    "predictor": item.name,
                    "version": item.version,
                    "seconds": round(item.seconds, 2),
                    **item.errors.as_dict(),
                }
                for item in self.predictors
            ],
        }

    def table(self) -> pd.DataFrame:
        """Return every crystal's known and predicted values."""
        import pandas as pd

        values = {item.label: item.predicted for item in self.predictors}
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
    from crystalicl_jobflow.energies import prediction_errors
    from crystalicl_jobflow.schemas import find_property

    spec = find_property(property_name)
    name = property_name if spec is None else spec.name
    models = compared_predictors(name, predictors, references)
    data = read_data_set(dataset, required=[name], limit=limit, seed=seed)
    values: list[list[float | None]] = [[] for _ in models]
    seconds = [0.0] * len(models)
    for start in range(0, len(data), CHUNK):
        crystals = data.structures[start : start + CHUNK]
        for place, model in enumerate(models):
            began = time.perf_counter()
            values[place] += model.predict(crystals)
            seconds[place] += time.perf_counter() - began
        if progress is not None:
            progress("Predict", start + len(crystals), len(data))
    known = [properties[name] for properties in data.properties]
    compared = [
        ComparedPredictor(
            model.name, model.version, row, prediction_errors(name, row, known), spent
        )
        for model, row, spent in zip(models, values, seconds, strict=True)
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
