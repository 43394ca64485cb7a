"""Which candidates the report shows first."""

from __future__ import annotations

import math
from typing import Any

from crystalicl_jobflow.comparison.matching import unique_groups
from crystalicl_jobflow.report.run import Run

ORDER = (
    "Valid and as asked for first; within that by similarity to a measured pattern, by energy"
    " above the hull and formation energy where they are known, then by displacement from the true"
    " crystal. Repeated crystals are shown once, and the conditions take turns."
)
"""The order in words, for the page."""

COMPARED_PER_CRYSTAL = 10
"""Crystals compared for each one shown, where the run did not look for duplicates itself."""


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
    drawable.sort(key=lambda place: (*_key(run, place), place))
    drawable = _without_duplicates(run, drawable, top)
    turns: dict[str, int] = {}
    ranked = []
    for rank, place in enumerate(drawable):
        label = run.candidates[place].condition.label()
        turns[label] = turns.get(label, -1) + 1
        ranked.append((_grade(run, place), turns[label], rank, place))
    return [place for *_, place in sorted(ranked)[:top]]


def _without_duplicates(run: Run, places: list[int], top: int) -> list[int]:
    """Return one of each set of equal crystals, the best, of places in their order.

    That need not be the one that was drawn first: another of the set may have been relaxed.
    """
    if any("unique" in row or "duplicate_of" in row for row in run.columns):
        first: dict[str, int] = {}
        for place in places:
            own = run.candidates[place].candidate_id
            first.setdefault(str(run.columns[place].get("duplicate_of") or own), place)
        return list(first.values())
    compared = places[: COMPARED_PER_CRYSTAL * top]  # the page needs no more than its best
    structures = [run.candidates[i].structure for i in compared]
    founders = unique_groups([item for item in structures if item is not None])
    return [place for rank, place in enumerate(compared) if founders[rank] == rank]


def _grade(run: Run, place: int) -> int:
    candidate = run.candidates[place]
    if not candidate.valid:
        return 3
    return {True: 0, None: 1, False: 2}[candidate.joint_success]


def _key(run: Run, place: int) -> tuple[float, ...]:
    failed = run.value(place, "relaxed") is False  # then its energies decide nothing
    return (
        _grade(run, place),
        -_similarity(run, place),
        math.inf if failed else _number(run.value(place, "energy_above_hull")),
        math.inf if failed else _number(run.value(place, "formation_energy_per_atom")),
        0.0 if run.value(place, "match") else 1.0,
        _number(run.value(place, "rms")),
    )


def _similarity(run: Run, place: int) -> float:
    fit = run.candidates[place].xrd
    return 0.0 if fit is None or fit.similarity is None else fit.similarity


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.inf
