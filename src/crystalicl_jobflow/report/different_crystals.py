"""Which candidates of a run are the same crystal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from crystalicl_jobflow.comparison.matching import unique_groups
from crystalicl_jobflow.report.run import Run

MOST_COMPARISONS = 5_000
"""Pairs of different texts of one formula beyond which a page does not look for equal crystals: a
hundred texts of one formula. A pair of ten atoms takes some 10 ms, and so all of them a minute."""


def same_crystals(run: Run, places: Sequence[int]) -> list[int]:
    """Return for each candidate the first of those that are the same crystal.

    From the run's own table where it looked for duplicates; compared now otherwise.

    Parameters
    ----------
    run
        The run.
    places
        Places of candidates with a crystal, in an order of the caller's.

    Returns
    -------
    list of int
        One of the places each.
    """
    if any("unique" in row or "duplicate_of" in row for row in run.columns):
        first: dict[str, int] = {}
        founders = []
        for place in places:
            own = run.candidates[place].candidate_id
            key = str(run.columns[place].get("duplicate_of") or own)
            founders.append(first.setdefault(key, place))
        return founders
    structures = [run.candidates[place].structure for place in places]
    ranks = unique_groups([item for item in structures if item is not None])
    return [places[rank] for rank in ranks]


def valid_crystals(run: Run, best_first: Sequence[int]) -> dict[int, list[int]] | None:
    """Return the different valid crystals, each with all its draws.

    Parameters
    ----------
    run
        The run.
    best_first
        Places of the candidates with a crystal, in the order in which they are shown.

    Returns
    -------
    dict of int to list of int, or None
        Place of the best draw → places of all its draws. None where there are too many of one
        formula to compare them.
    """
    places = [place for place in best_first if run.candidates[place].valid]
    texts = {(run.candidates[place].formula_pretty, run.candidates[place].text) for place in places}
    formulas = Counter(formula for formula, _ in texts)
    known = any("unique" in row or "duplicate_of" in row for row in run.columns)
    if not known and sum(count**2 for count in formulas.values()) > 2 * MOST_COMPARISONS:
        return None
    found: dict[int, list[int]] = {}
    for place, founder in zip(places, same_crystals(run, places), strict=True):
        found.setdefault(founder, []).append(place)
    return found
