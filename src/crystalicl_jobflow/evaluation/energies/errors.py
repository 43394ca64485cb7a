"""How far predictions lie from known values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
        (n,), None where there is none.
    known
        (n,), in the same unit.

    Raises
    ------
    ValueError
        If they are of different lengths.
    """
    if len(predicted) != len(known):
        raise ValueError(f"{len(predicted)} predictions for {len(known)} known values")
    pairs = [
        (value, truth) for value, truth in zip(predicted, known, strict=True) if value is not None
    ]
    if not pairs:
        return PredictionErrors(len(known), 0, None, None, None, None, None, None)
    error = np.array([value - truth for value, truth in pairs])
    truths = np.asarray(known, dtype=float)
    met = [meets_value(property_name, value, truth) for value, truth in pairs]
    gapped = np.array([truth != 0 for _, truth in pairs])
    nonzero = int(np.count_nonzero(truths))
    return PredictionErrors(
        count=len(known),
        predicted=len(pairs),
        mae=float(np.abs(error).mean()),
        median=float(np.median(np.abs(error))),
        rmse=float(np.sqrt((error**2).mean())),
        mean=float(error.mean()),
        met=sum(met) / len(known),
        baseline_mae=float(np.abs(truths - np.median(truths)).mean()),
        nonzero=nonzero,
        nonzero_mae=float(np.abs(error[gapped]).mean()) if gapped.any() else None,
        nonzero_met=float(np.array(met)[gapped].sum() / nonzero) if nonzero else None,
    )
