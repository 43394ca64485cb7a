"""Which of the known crystals of its composition a crystal is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymatgen.core import Structure

from crystalicl_jobflow.comparison.matching import (
    MATCH,
    formula_buckets,
    match_many,
    unique_groups,
)
from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.schemas import Rate
from crystalicl_jobflow.thresholds import MAX_POLYMORPH_PAIRS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PolymorphMatches:
    """Which distinct reference crystals were matched.

    Parameters
    ----------
    rates
        ``polymorphs``: matched / distinct; ``polymorphs_of_many``: the same for
        compositions with several distinct reference crystals. Their rate is None
        where nothing was counted.
    num_polymorphs
        Distinct reference crystals.
    best
        Place of a crystal → place of the distinct reference that it matches with the
        lowest RMS. Crystals that match none are absent.
    """

    rates: dict[str, Rate]
    num_polymorphs: int
    best: dict[int, int] = field(default_factory=dict)


def match_polymorphs(
    crystals: Sequence[Structure | None],
    references: Sequence[Structure],
    *,
    compared: Mapping[tuple[int, int], float | None] | None = None,
    processes: int = 1,
) -> PolymorphMatches:
    """Compare crystals with all reference crystals of their reduced formula.

    As METRe does ("match everyone to reference", Martirossyan et al., arXiv:2509.12178, 2025): a
    reference is found if *any* crystal matches it, whatever its condition, and a crystal may
    match several. A formula with more than
    :data:`~crystalicl_jobflow.thresholds.MAX_POLYMORPH_PAIRS` comparisons is left out, with a
    warning.

    Parameters
    ----------
    crystals
        The crystals; None where there is none.
    references
        Known crystals. Those that are the same within the match tolerances count once.
    compared
        RMS (None without a match) by place of the crystal and ``id`` of the reference,
        where it is known already.
    processes
        Processes for the comparisons.
    """
    counted = _countable(crystals, references)
    groups = unique_groups(
        [references[place] for place in counted], tolerances=MATCH, processes=processes
    )
    founders = [counted[group] for group in groups]
    by_formula: dict[str, list[int]] = {}
    for founder in dict.fromkeys(founders):
        by_formula.setdefault(_formula(references[founder]), []).append(founder)
    rms: dict[tuple[int, int], float | None] = {}
    todo: list[tuple[int, int]] = []
    for at, crystal in enumerate(crystals):
        if crystal is None:
            continue
        for member in by_formula.get(_formula(crystal), []):
            known = (at, id(references[member]))
            if compared is not None and known in compared:
                rms[at, member] = compared[known]
            else:
                todo.append((at, member))
    pairs = [(crystals[at], references[member]) for at, member in todo]
    answers = match_many(pairs, processes=processes)  # type: ignore[arg-type]
    rms.update({pair: answer.rms for pair, answer in zip(todo, answers, strict=True)})

    hits: dict[int, list[tuple[float, int]]] = {}
    for (at, member), value in rms.items():
        if value is not None:
            hits.setdefault(at, []).append((value, member))
    matched = {member for found in hits.values() for _, member in found}
    many = [member for members in by_formula.values() if len(members) > 1 for member in members]
    distinct = len(set(founders))
    return PolymorphMatches(
        rates={
            "polymorphs": Rate.from_counts(len(matched), distinct),
            "polymorphs_of_many": Rate.from_counts(sum(m in matched for m in many), len(many)),
        },
        num_polymorphs=distinct,
        best={at: min(found)[1] for at, found in hits.items()},
    )


def _countable(crystals: Sequence[Structure | None], references: Sequence[Structure]) -> list[int]:
    """Return the places of the references whose formula does not take too many comparisons."""
    present = formula_buckets(crystals)
    places: list[int] = []
    for formula, members in formula_buckets(references).items():
        pairs = len(members) * (len(members) // 2 + len(present.get(formula, ())))
        if pairs > MAX_POLYMORPH_PAIRS:
            logger.warning(
                "%s: %d comparisons for its polymorphs; they are not counted", formula, pairs
            )
        else:
            places += members
    return sorted(places)


def _formula(structure: Structure) -> str:
    return str(crystal_composition(structure).reduced_formula)
