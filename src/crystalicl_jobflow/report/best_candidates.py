"""Which candidates the report shows first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from crystalicl_jobflow.report.different_crystals import same_crystals
from crystalicl_jobflow.report.run import Run

ORDER = (
    "Valid and as asked for first; within that by similarity to a measured pattern, by energy"
    " above the hull and formation energy where they are known, then by displacement from the true"
    " crystal and by how often it was drawn. Repeated crystals are shown once, and the conditions"
    " take turns."
)
"""The order in words, for the page."""

COMPARED_PER_CRYSTAL = 10
"""Crystals compared for each one shown, where the run did not look for duplicates itself."""


def best_first(run: Run) -> list[int]:
    """Return the places of all candidates with a crystal, the best first."""
    drawable = [i for i, c in enumerate(run.candidates) if c.structure is not None]
    return sorted(drawable, key=lambda place: (*_key(run, place), place))


def best_candidates(
    run: Run, top: int, crystals: Mapping[int, Sequence[int]] | None = None
) -> list[int]:
    """Return the places of the candidates to show, the best first.

    Conditions take turns, so that one easy condition does not fill the page; a repeated
    crystal is shown once: the best of its draws, which need not be the first.

    Parameters
    ----------
    run
        The run.
    top
        Most candidates to return.
    crystals
        Best draw of each crystal → all its draws, where they are known.
    """
    draws = crystals or {}
    compared = best_first(run)
    if not any("unique" in row or "duplicate_of" in row for row in run.columns):
        compared = compared[: COMPARED_PER_CRYSTAL * top]  # the page needs no more than its best
    drawable = list(dict.fromkeys(same_crystals(run, compared)))
    drawable.sort(key=lambda place: (*_key(run, place), -len(draws.get(place, ())), place))
    turns: dict[str, int] = {}
    ranked = []
    for rank, place in enumerate(drawable):
        label = run.candidates[place].condition.label()
        turns[label] = turns.get(label, -1) + 1
        ranked.append((_grade(run, place), turns[label], rank, place))
    return [place for *_, place in sorted(ranked)[:top]]


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
