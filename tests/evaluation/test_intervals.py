"""Wilson's interval of a share."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.evaluation import (
    interval_text,
    rate_with_interval,
    share_text,
    value_text,
    wilson_interval,
)
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


@pytest.mark.parametrize(
    ("value", "spread", "uncertainty", "shown"),
    [
        (0.8036, 0.0053, None, "0.804 ± 0.005"),
        (0.7218, 0.0135, None, "0.722 ± 0.013"),
        (0.5, 0.3536, None, "0.5 ± 0.4"),
        (12.34, 3.2, None, "12 ± 3"),
        (1.0, 0.0, 0.0321, "1.00 ± 0.00"),
        (1.0, 0.0, None, "1.00 ± 0"),
        (0.8036, None, 0.024, "0.80"),
        (0.875, None, 0.22, "0.9"),
        (0.0432519, None, None, "0.0433"),
        (123.456, None, None, "123"),
        (0.0, None, None, "0.00"),
        (None, None, None, "-"),
    ],
)
def test_a_table_shows_the_digits_that_the_spread_allows(
    value: float | None, spread: float | None, uncertainty: float | None, shown: str
) -> None:
    assert value_text(value, spread, uncertainty=uncertainty) == shown


@pytest.mark.parametrize(
    ("count", "of", "share", "between"),
    [
        (7, 8, "88 %", "53 to 98 %"),
        (0, 8, "0 %", "0 to 32 %"),
        (813, 1000, "81 %", "79 to 84 %"),
        (8036, 10_000, "80.4 %", "79.6 to 81.1 %"),
        (0, 0, "not judged", "-"),
    ],
)
def test_a_share_has_no_more_digits_than_its_interval(
    count: int, of: int, share: str, between: str
) -> None:
    assert (share_text(count, of), interval_text(count, of)) == (share, between)
