"""How far a rate may lie from the one that many more samples would give."""

from __future__ import annotations

from typing import Final

from crystalicl_jobflow.schemas import Rate

CONFIDENCE: Final = 0.95
"""Confidence of all intervals."""


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
