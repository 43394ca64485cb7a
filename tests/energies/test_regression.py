"""Errors with their denominators, and a baseline that learns what composition tells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from crystalicl_jobflow.energies.prediction_errors import magpie_baseline, regression_errors


def test_only_what_was_answered_counts_and_the_rest_is_told() -> None:
    errors = regression_errors([1.0, None, 4.0, float("nan")], [0.0, 5.0, 1.0, 2.0])
    assert (errors.mae, errors.of, errors.asked, errors.unanswered) == (2.0, 2, 4, 2)
    assert errors.rmse == pytest.approx(np.sqrt(5))


def test_no_answer_at_all_has_no_error() -> None:
    errors = regression_errors([None, None], [1.0, 2.0])
    assert (errors.mae, errors.rmse, errors.of, errors.asked) == (None, None, 0, 2)
    assert regression_errors([], []).asked == 0


ERRORS = st.floats(-10, 10, allow_subnormal=False)


@given(st.lists(st.tuples(ERRORS, ERRORS), min_size=1))
def test_errors_are_those_of_numpy(pairs: list[tuple[float, float]]) -> None:
    predicted, true = (np.array(column) for column in zip(*pairs, strict=True))
    errors = regression_errors(predicted, true)
    assert errors.mae == pytest.approx(np.mean(np.abs(predicted - true)))
    assert errors.rmse is not None
    assert errors.mae is not None
    assert errors.mae <= errors.rmse + 1e-12


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 true values"):
        regression_errors([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="true value 1 is missing"):
        regression_errors([1.0, 2.0], [1.0, float("nan")])


ANIONS, CATIONS = ("F", "Cl", "Br", "I", "O", "S", "Se"), ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca")


def test_the_baseline_learns_what_composition_decides() -> None:
    train = [Composition(f"{c}{n}{a}") for c in CATIONS for a in ANIONS for n in (1, 2, 3)]
    values = [comp.average_electroneg for comp in train]
    test = [Composition(f"{c}{a}2") for c in CATIONS for a in ANIONS]
    true = [comp.average_electroneg for comp in test]
    found = magpie_baseline(train, values, test)
    guess = regression_errors(np.full(len(true), np.median(values)), true).mae
    error = regression_errors(found, true).mae
    assert error is not None
    assert guess is not None
    assert error < guess / 2
    assert (magpie_baseline(train, values, test) == found).all()


def test_compositions_without_features_have_no_prediction() -> None:
    train = [Composition(f"{c}{a}") for c in CATIONS for a in ANIONS]
    found = magpie_baseline(train, np.arange(len(train)), [Composition("NaCl"), Composition("Nh")])
    assert np.isfinite(found[0])
    assert np.isnan(found[1])
    with pytest.raises(ValueError, match="no crystal to learn from"):
        magpie_baseline([Composition("Nh")], [1.0], train)
    assert len(magpie_baseline(train, np.arange(len(train)), [])) == 0
