"""Errors of predictions, by hand."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.energies import prediction_errors


def test_by_hand() -> None:
    errors = prediction_errors("band_gap", [0.0, 1.6, None, 3.0], [0.0, 1.0, 2.0, 3.4])
    assert (errors.count, errors.predicted) == (4, 3)
    assert errors.mae == pytest.approx((0 + 0.6 + 0.4) / 3)
    assert errors.median == pytest.approx(0.4)
    assert errors.rmse == pytest.approx(((0.36 + 0.16) / 3) ** 0.5)
    assert errors.mean == pytest.approx(0.2 / 3)
    # within 0.5 eV: the first and the last; the one without prediction counts against
    assert errors.met == pytest.approx(2 / 4)
    # without the first: |0.6| and |-0.4| of three, one of them met
    assert errors.nonzero == 3
    assert errors.nonzero_mae == pytest.approx(0.5)
    assert errors.nonzero_met == pytest.approx(1 / 3)
    # the median of the known values is 1.5
    assert errors.baseline_mae == pytest.approx((1.5 + 0.5 + 0.5 + 1.9) / 4)


def test_formation_energies_meet_by_their_sign() -> None:
    errors = prediction_errors("formation_energy_per_atom", [-1.0, 0.2], [-3.0, -0.1])
    assert errors.met == pytest.approx(0.5)


def test_no_predictions() -> None:
    errors = prediction_errors("band_gap", [None], [1.0])
    assert errors.as_dict() == {
        "count": 1, "predicted": 0, "mae": None, "median": None, "rmse": None, "mean": None,
        "met": None, "baseline_mae": None, "nonzero": 0, "nonzero_mae": None, "nonzero_met": None,
    }  # fmt: skip


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 known values"):
        prediction_errors("band_gap", [1.0], [1.0, 2.0])
