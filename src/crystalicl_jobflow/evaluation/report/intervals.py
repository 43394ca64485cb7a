"""Confidence intervals of rates."""

from __future__ import annotations

from statistics import NormalDist

CONFIDENCE = 0.95
"""Confidence of every interval on the page."""


def wilson_interval(
    count: int, of: int, *, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return Wilson's score interval of a rate.

    It stays within [0, 1] and keeps a width at rates of 0 and 1, where the normal
    approximation has none. Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927); without
    continuity correction. It assumes independent candidates: several samples of one condition
    are not quite that, and the true interval is then wider.

    Parameters
    ----------
    count, of
        Successes and the denominator.
    confidence
        Two-sided confidence level, between 0 and 1.

    Returns
    -------
    tuple of float or None
        Lower and upper bound as shares; None where ``of`` is 0.

    Raises
    ------
    ValueError
        If the count is negative or above the denominator.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no rate")
    if of == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = count / of
    centre = share + z * z / (2 * of)
    half = z * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    scale = 1 + z * z / of
    # at 0 and at all of them one bound is exact; rounding must not push it outside
    low = 0.0 if count == 0 else (centre - half) / scale
    high = 1.0 if count == of else (centre + half) / scale
    return low, high
