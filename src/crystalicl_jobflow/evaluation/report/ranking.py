"""Which candidates the report shows first."""

from __future__ import annotations

import math
from typing import Any

from crystalicl_jobflow.evaluation.report.run import Run

ORDER = (
    "valid and as asked first, then valid, then read as a crystal but not valid; within these the"
    " lowest energy above the hull, then the lowest formation energy where known; then those that"
    " match their reference, by displacement; one of each set of duplicates, and the conditions"
    " take turns"
)
"""The order in words, for the page."""


def best_candidates(run: Run, top: int) -> list[int]:
    """Return the places of the candidates to show, the best first.

    Conditions take turns, so that one easy condition does not fill the page; a repeated
    crystal is shown once.

    Parameters
    ----------
    run
        The run.
    top
        Most candidates to return.
    """
    drawable = [i for i, c in enumerate(run.candidates) if c.structure is not None]
    drawable = _without_duplicates(run, drawable)
    drawable.sort(key=lambda place: (*_key(run, place), place))
    turns: dict[str, int] = {}
    ranked = []
    for rank, place in enumerate(drawable):
        asked = run.candidates[place].condition.label()
        turns[asked] = turns.get(asked, -1) + 1
        ranked.append((_grade(run, place), turns[asked], rank, place))
    return [place for *_, place in sorted(ranked)[:top]]


def _without_duplicates(run: Run, places: list[int]) -> list[int]:
    if any("unique" in row or "duplicate_of" in row for row in run.columns):
        return [
            i
            for i in places
            if not run.columns[i].get("duplicate_of") and run.columns[i].get("unique") is not False
        ]
    # without a comparison of the crystals: equal texts are the same crystal
    seen: set[tuple[str, str]] = set()
    kept = []
    for place in places:
        candidate = run.candidates[place]
        key = (candidate.condition.label(), candidate.text.strip())
        if key not in seen:
            seen.add(key)
            kept.append(place)
    return kept


def _grade(run: Run, place: int) -> int:
    candidate = run.candidates[place]
    if not candidate.valid:
        return 3
    return {True: 0, None: 1, False: 2}[candidate.joint_success]


def _key(run: Run, place: int) -> tuple[float, ...]:
    return (
        _grade(run, place),
        _number(run.value(place, "e_above_hull")),
        _number(run.value(place, "formation_energy_per_atom")),
        0.0 if run.value(place, "match") else 1.0,
        _number(run.value(place, "rms")),
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.inf
