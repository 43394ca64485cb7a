"""Wilson's interval of a share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from crystalicl_jobflow.evaluation import rate_with_interval, wilson_interval
from crystalicl_jobflow.schemas import Rate


@given(st.integers(1, 500), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_scipy_says_the_same(of: int, data: st.DataObject, confidence: float) -> None:
    count = data.draw(st.integers(0, of))
    expected = binomtest(count, of).proportion_ci(confidence, method="wilson")
    low, high = wilson_interval(count, of, confidence=confidence) or (None, None)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_all_or_nothing_still_has_a_width() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)


def test_nothing_counted_has_no_interval() -> None:
    assert wilson_interval(0, 0) is None
    assert rate_with_interval(Rate.from_counts(0, 0)) == {
        "rate": None,
        "count": 0,
        "of": 0,
        "low": None,
        "high": None,
    }


@pytest.mark.parametrize(("count", "of", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_impossible_shares_are_refused(count: int, of: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"needs 0 <= count <= of|between 0 and 1"):
        wilson_interval(count, of, confidence=confidence)
