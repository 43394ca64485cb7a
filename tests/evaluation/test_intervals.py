"""Wilson's interval of a share."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.evaluation import rate_with_interval, wilson_interval
from crystalicl_jobflow.schemas import Rate


@given(st.integers(1, 500), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ends_are_the_rates_that_the_share_just_does_not_contradict(
    of: int, data: st.DataObject, confidence: float
) -> None:
    share = data.draw(st.integers(0, of)) / of
    ends = wilson_interval(round(share * of), of, confidence=confidence)
    assert ends is not None
    deviations = NormalDist().inv_cdf(0.5 + confidence / 2)
    for rate in ends:  # Wilson's definition
        spread = math.sqrt(rate * (1 - rate) / of)
        assert abs(share - rate) == pytest.approx(deviations * spread, abs=1e-9)
    assert ends[0] <= share <= ends[1]


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
