"""How far a rate may lie from the one that many more samples would give."""

from __future__ import annotations

import math
from typing import Final

from crystalicl_jobflow.schemas import Rate

CONFIDENCE: Final = 0.95
"""Confidence of all intervals."""

MOST_DECIMALS: Final = 4
"""Most digits after the point that a table shows."""


def wilson_interval(
    count: int, of: int, *, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return Wilson's score interval of a share.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927). It stays within [0, 1] and has a width
    where all or nothing was counted. It takes the cases as independent: samples of one
    condition are less so than it says.

    Parameters
    ----------
    count, of
        Cases counted, and cases in all.
    confidence
        Between 0 and 1.

    Returns
    -------
    tuple of float or None
        Lower and upper end; None of no cases.

    Raises
    ------
    ValueError
        If the count is not between 0 and all, or the confidence not between 0 and 1.

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.490 to 0.943
    """
    if not 0 <= count <= of:
        raise ValueError(f"a share needs 0 <= count <= of, got {count} of {of}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if of == 0:
        return None
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def rate_with_interval(
    rate: Rate, *, confidence: float = CONFIDENCE
) -> dict[str, float | int | None]:
    """Return a rate as a document with its interval: rate, count, of, low, high."""
    interval = wilson_interval(rate.count, rate.of, confidence=confidence)
    low, high = interval if interval is not None else (None, None)
    return {**rate.model_dump(), "low": low, "high": high}


def half_width(count: int, of: int) -> float | None:
    """Return half the width of the interval of a share; None of no cases."""
    interval = wilson_interval(count, of)
    return None if interval is None else (interval[1] - interval[0]) / 2


def decimals(spread: float | None, *, most: int = MOST_DECIMALS) -> int:
    """Return how many digits after the point a value has that is uncertain by a spread.

    The last digit is at the place of the spread's first one, or of its second where the first
    is a 1: what stands after it is noise.

    Parameters
    ----------
    spread
        Standard deviation or half an interval, in the value's unit; None where none is known.
    most
        Most digits, also where there is no spread.

    Examples
    --------
    >>> decimals(0.0053), decimals(0.0135), decimals(0.22), decimals(14.0), decimals(None)
    (3, 3, 1, 0, 4)
    """
    if spread is None or not math.isfinite(spread) or spread <= 0:
        return most
    place = math.floor(math.log10(spread))
    more = spread < 2 * 10.0**place
    return min(max(more - place, 0), most)


def value_text(
    value: float | None, spread: float | None = None, *, uncertainty: float | None = None
) -> str:
    """Return a value with as many digits as its spread allows, for a table.

    Parameters
    ----------
    value
        The value; None where there is none.
    spread
        Its standard deviation, which is shown; None where none is known.
    uncertainty
        What decides the digits where there is no standard deviation, or one of 0: half the
        width of an interval. It is not shown.

    Examples
    --------
    >>> value_text(0.8036, 0.0053)
    '0.804 ± 0.005'
    >>> value_text(0.875, uncertainty=0.22)
    '0.9'
    >>> value_text(0.043251), value_text(None)
    ('0.0433', '-')
    """
    if value is None:
        return "-"
    if not spread and not uncertainty:
        # three digits, as nothing tells how many are right
        size = 0 if value == 0 else math.floor(math.log10(abs(value)))
        text = f"{value:.{min(max(2 - size, 0), MOST_DECIMALS)}f}"
        return text if spread is None else f"{text} ± 0"
    digits = decimals(spread or uncertainty)
    text = f"{value:.{digits}f}"
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def share_text(count: int, of: int) -> str:
    """Return a share in percent with as many digits as its interval allows.

    Parameters
    ----------
    count, of
        Cases counted, and cases in all.

    Examples
    --------
    >>> share_text(7, 8), share_text(813, 1000), share_text(8036, 10000), share_text(0, 0)
    ('88 %', '81 %', '80.4 %', 'not judged')
    """
    width = half_width(count, of)
    if width is None:
        return "not judged"
    share = 100 * count / of
    return f"{share:.{decimals(100 * width, most=1)}f} %"


def interval_text(count: int, of: int) -> str:
    """Return the interval of a share in percent; '-' of no cases.

    Parameters
    ----------
    count, of
        Cases counted, and cases in all.

    Examples
    --------
    >>> interval_text(7, 8)
    '53 to 98 %'
    """
    interval = wilson_interval(count, of)
    if interval is None:
        return "-"
    low, high = interval
    digits = decimals(50 * (high - low), most=1)
    return " to ".join(f"{100 * end:.{digits}f}" for end in interval) + " %"
