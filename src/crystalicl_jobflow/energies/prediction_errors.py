"""How far predictions lie from known values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition

from crystalicl_jobflow.crystal.formula import whole_composition
from crystalicl_jobflow.thresholds import meets_value

MET_WORDS = {"formation_energy_per_atom": "right sign", "band_gap": "within 0.5 eV"}
"""What ``met`` means for a property, see :func:`~crystalicl_jobflow.thresholds.meets_value`."""


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


@dataclass(frozen=True)
class RegressionErrors:
    """How far predictions are from the truth, with the denominator.

    Parameters
    ----------
    mae, rmse
        Mean absolute and root mean squared error in the property's unit, over the crystals
        that have a prediction; None where there is none.
    of
        Crystals with a prediction.
    asked
        All crystals, those without a prediction included.
    """

    mae: float | None
    rmse: float | None
    of: int
    asked: int

    @property
    def unanswered(self) -> int:
        """Number of crystals without a prediction."""
        return self.asked - self.of


def regression_errors(
    predicted: Sequence[float | None] | NDArray[np.float64], true: ArrayLike
) -> RegressionErrors:
    """Compare predictions with true values.

    Parameters
    ----------
    predicted
        One per crystal, shape (n,); None or NaN for no prediction.
    true
        Shape (n,), in the same unit.

    Raises
    ------
    ValueError
        If the lengths differ or a true value is missing.
    """
    values = np.array([np.nan if value is None else value for value in predicted], dtype=float)
    truth = np.asarray(true, dtype=float)
    if values.shape != truth.shape:
        raise ValueError(f"{len(values)} predictions for {len(truth)} true values")
    if np.isnan(truth).any():
        raise ValueError(f"true value {int(np.argmax(np.isnan(truth)))} is missing")
    there = ~np.isnan(values)
    gaps = np.abs(values - truth)[there]
    if not len(gaps):
        return RegressionErrors(None, None, 0, len(truth))
    return RegressionErrors(
        float(gaps.mean()), float(np.sqrt((gaps**2).mean())), len(gaps), len(truth)
    )


def magpie_baseline(
    train: Sequence[Composition],
    values: ArrayLike,
    test: Sequence[Composition],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Predict a property by gradient boosting on Magpie features of the composition.

    Scikit-learn's ``HistGradientBoostingRegressor`` with its defaults. It knows nothing of
    the structure. (With the absolute error as its loss it does worse on band gaps, most of
    which are zero.)

    Parameters
    ----------
    train
        Compositions to learn from; those without features (Nh and heavier) are left out.
    values
        Their property, shape (n,).
    test
        Compositions to predict.
    seed
        Seed of the regressor.

    Returns
    -------
    numpy.ndarray
        Shape (len(test),); NaN for a composition without features.

    Raises
    ------
    ValueError
        If nothing is left to learn from.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    features, targets = _features(train), np.asarray(values, dtype=float)
    known = ~np.isnan(features).all(axis=1) & ~np.isnan(targets)
    if not known.any():
        raise ValueError("the baseline has no crystal to learn from")
    model = HistGradientBoostingRegressor(random_state=seed)
    model.fit(features[known], targets[known])
    asked = _features(test)
    predicted = np.full(len(asked), np.nan)
    can = ~np.isnan(asked).all(axis=1)
    if can.any():
        predicted[can] = model.predict(asked[can])
    return predicted


def _features(compositions: Sequence[Composition]) -> NDArray[np.float64]:
    """Return Magpie features, shape (n, 132); rows of NaN where there are none."""
    from crystalicl_jobflow.comparison.fingerprint_sets import (
        COMPOSITION_FINGERPRINT_SIZE,
        composition_fingerprint,
    )

    found: dict[str, NDArray[np.float64]] = {}
    for composition in compositions:
        name = whole_composition(composition).reduced_formula
        if name not in found:
            try:
                found[name] = composition_fingerprint(composition)
            except ValueError:
                found[name] = np.full(COMPOSITION_FINGERPRINT_SIZE, np.nan)
    rows = [found[whole_composition(composition).reduced_formula] for composition in compositions]
    return np.array(rows).reshape(-1, COMPOSITION_FINGERPRINT_SIZE)
