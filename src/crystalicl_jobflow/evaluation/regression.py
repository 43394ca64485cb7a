"""Errors of predicted properties, and what a simple model reaches on the same crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition


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
    from crystalicl_jobflow.evaluation.fingerprints import (
        COMPOSITION_FINGERPRINT_SIZE,
        composition_fingerprint,
    )

    found: dict[str, NDArray[np.float64]] = {}
    for composition in compositions:
        name = composition.reduced_formula
        if name not in found:
            try:
                found[name] = composition_fingerprint(composition)
            except ValueError:
                found[name] = np.full(COMPOSITION_FINGERPRINT_SIZE, np.nan)
    rows = [found[composition.reduced_formula] for composition in compositions]
    return np.array(rows).reshape(-1, COMPOSITION_FINGERPRINT_SIZE)
