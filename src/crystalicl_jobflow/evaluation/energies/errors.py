"""How far predictions lie from known values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crystalicl_jobflow.evaluation.regression import regression_errors
from crystalicl_jobflow.evaluation.thresholds import meets_value


@dataclass(frozen=True)
class PredictionErrors:
    """Errors of predictions of one property, in its unit.

    Parameters
    ----------
    count
        Crystals with a known value.
    predicted
        Of these, crystals with a prediction; the errors are theirs.
    mae, median, rmse, mean
        Mean and median absolute error, root of the mean square, mean signed error
        (predicted − known).
    met
        Share of all crystals whose prediction meets the known value by the rule of
        conditional success: the same sign for a formation energy, within 0.5 eV for a band
        gap. It bounds what a perfect generator could be credited with.
    baseline_mae
        MAE of answering the median of the known values every time.
    nonzero, nonzero_mae, nonzero_met
        Crystals whose known value is not 0, and their MAE and share met: most crystals have
        no band gap, and those that have one are the harder ones.
    """

    count: int
    predicted: int
    mae: float | None
    median: float | None
    rmse: float | None
    mean: float | None
    met: float | None
    baseline_mae: float | None
    nonzero: int = 0
    nonzero_mae: float | None = None
    nonzero_met: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def prediction_errors(
    property_name: str, predicted: Sequence[float | None], known: Sequence[float]
) -> PredictionErrors:
    """Compare predictions with known values.

    Parameters
    ----------
    property_name
        Which property: it decides what ``met`` means.
    predicted
        (n,), None or NaN where there is none.
    known
        (n,), in the same unit.

    Raises
    ------
    ValueError
        If they are of different lengths, or a known value is missing.
    """
    if len(predicted) != len(known):
        raise ValueError(f"{len(predicted)} predictions for {len(known)} known values")
    errors = regression_errors(predicted, known)
    if not errors.of:
        return PredictionErrors(len(known), 0, None, None, None, None, None, None)
    pairs = [
        (value, truth)
        for value, truth in zip(predicted, known, strict=True)
        if value is not None and not math.isnan(value)
    ]
    gaps = np.array([value - truth for value, truth in pairs])
    truths = np.asarray(known, dtype=float)
    met = [meets_value(property_name, value, truth) for value, truth in pairs]
    gapped = [place for place, (_, truth) in enumerate(pairs) if truth != 0]
    nonzero = int(np.count_nonzero(truths))
    return PredictionErrors(
        count=errors.asked,
        predicted=errors.of,
        mae=errors.mae,
        median=float(np.median(np.abs(gaps))),
        rmse=errors.rmse,
        mean=float(gaps.mean()),
        met=sum(met) / len(known),
        baseline_mae=regression_errors(np.full(len(truths), np.median(truths)), truths).mae,
        nonzero=nonzero,
        nonzero_mae=float(np.abs(gaps[gapped]).mean()) if gapped else None,
        nonzero_met=sum(met[place] for place in gapped) / nonzero if nonzero else None,
    )
