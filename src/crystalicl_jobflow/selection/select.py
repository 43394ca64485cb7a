"""Which candidates are selected for a more expensive step: new ones, the best first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from crystalicl_jobflow.energies.relaxations import best_relaxations
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.discovery import (
    ChosenCrystal,
    SelectionReason,
    SelectionRow,
)
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.selection.evidence import count_drawn, evidence_by_place
from crystalicl_jobflow.selection.ranking import (
    AFTER_RELAXATION,
    BEFORE_RELAXATION,
    EVIDENCE,
    WITH_PATTERN,
    WITHOUT_ENERGY,
    Contender,
    parse_ranking,
    rank_contenders,
)
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelectionRules:
    """Which candidates may be selected, how many, and in what order.

    Parameters
    ----------
    number
        How many are selected at most; None for all that may be.
    ranking
        One or several names of :data:`~crystalicl_jobflow.selection.ranking.RANKINGS`; a
        later one decides where all before it are equal, and the candidates' order at the
        end. None for ``AFTER_RELAXATION`` where there are relaxations, else
        ``BEFORE_RELAXATION``, or ``WITH_PATTERN`` where there is a measured pattern.
    valid
        Whether only valid crystals are selected; else all that are crystals.
    successful
        Whether only crystals that meet their whole condition are selected.
    unique
        Whether of several that are the same crystal only the first in rank is selected.
    novel
        Whether known crystals are left out; None: where there are known ones.
    max_energy_above_hull
        Largest energy above the hull of a relaxed crystal in eV/atom; None for any. A crystal
        that nothing competes with has none, and is not selected then.
    per_condition
        How many of one condition are selected at most; None for any number.

    Raises
    ------
    ValueError
        If a ranking is not known or a number is negative; one line.
    """

    number: int | None = None
    ranking: str | Sequence[str] | None = None
    valid: bool = True
    successful: bool = False
    unique: bool = True
    novel: bool | None = None
    max_energy_above_hull: float | None = None
    per_condition: int | None = None

    def __post_init__(self) -> None:
        for name in ("number", "per_condition"):
            value = getattr(self, name)
            if value is not None:
                whole_number(value, name, least=0)
        if self.ranking is not None:
            parse_ranking(self.ranking)

    def rankings(self, *, relaxed: bool, pattern: bool = False) -> tuple[str, ...]:
        """Return the names to rank by, the default ones where none were given.

        Parameters
        ----------
        relaxed
            Whether the candidates were relaxed.
        pattern
            Whether they were compared with a measured powder pattern.
        """
        unrelaxed = WITH_PATTERN if pattern else BEFORE_RELAXATION
        default = AFTER_RELAXATION if relaxed else unrelaxed
        chosen = default if self.ranking is None else self.ranking
        return (chosen,) if isinstance(chosen, str) else tuple(chosen)


def select_candidates(
    candidates: Sequence[Candidate],
    rules: SelectionRules | None = None,
    *,
    known: CrystalData | None = None,
    relaxations: Sequence[CandidateRelaxation] | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[list[SelectionRow], list[ChosenCrystal]]:
    """Choose the candidates for the next step.

    Parameters
    ----------
    candidates
        Candidates, valid or not.
    rules
        Which may be selected, how many, and in what order; None for the default rules.
    known
        Known crystals; one that matches a candidate makes it not novel.
    relaxations
        Relaxations of the candidates. Only candidates with one that counts are selected
        then, and the relaxed crystals are compared and returned.
    processes
        Processes that share the comparisons.
    progress
        Called with (done, of) while known crystals are compared.

    Returns
    -------
    rows, chosen
        What was decided about each candidate, in their order; the selected ones, by rank.

    Raises
    ------
    ValueError
        If only novel crystals are wanted and there are no known ones; one line.
    """
    rules = rules or SelectionRules()
    if isinstance(candidates, str) or not isinstance(candidates, Iterable):
        raise ValueError(f"candidates are a list of them, not {type(candidates).__name__}")
    candidates = list(candidates)
    if rules.novel and known is None:
        raise ValueError("novel candidates need known crystals")
    scores = parse_ranking(
        rules.rankings(relaxed=relaxations is not None, pattern=has_pattern(candidates))
    )
    relaxed = None if relaxations is None else best_relaxations(relaxations)
    rows = [SelectionRow(candidate_id=item.candidate_id) for item in candidates]
    crystals: dict[int, Structure] = {}
    for place, candidate in enumerate(candidates):
        found = _crystal_or_refusal(candidate, relaxed, rules)
        if isinstance(found, Structure):
            crystals[place] = found
        else:
            rows[place].reason, rows[place].message = found
    if known is not None and rules.novel is not False:
        _mark_known(rows, crystals, known, processes, progress)
    groups = _group(crystals, processes)
    sizes = Counter(groups.values())
    evidence, without_energy = (
        evidence_by_place(
            {place: candidates[place] for place in crystals},
            groups,
            count_drawn(candidates),
            energies=name == EVIDENCE,
        )
        if name in {asked.removeprefix("-") for asked in scores}
        else {}
        for name in (EVIDENCE, WITHOUT_ENERGY)
    )
    contenders = [
        Contender(
            candidates[place],
            place,
            sizes[groups[place]],
            None if relaxed is None else relaxed.get(candidates[place].candidate_id),
            evidence.get(place),
            without_energy.get(place),
        )
        for place in crystals
    ]
    ranked = rank_contenders(contenders, scores)
    for item in ranked:
        rows[item.place].times_drawn = item.times_drawn
        rows[item.place].scores = {name: score(item) for name, (score, _) in scores.items()}
    if rules.unique:
        _mark_duplicates(rows, ranked, groups)
    return rows, _take(rows, ranked, crystals, rules)


def has_pattern(candidates: Sequence[Candidate]) -> bool:
    """Return whether candidates were compared with a measured powder pattern."""
    return any(item.xrd is not None for item in candidates)


def _mark_duplicates(
    rows: Sequence[SelectionRow], ranked: Sequence[Contender], groups: Mapping[int, int]
) -> None:
    """Refuse crystals that are the same as one of a better rank."""
    first: dict[int, str] = {}
    for item in ranked:
        row = rows[item.place]
        if row.reason is not None:
            continue
        group = groups[item.place]
        if group in first:  # two equal draws have one id, so ids do not tell
            row.reason, row.duplicate_of = SelectionReason.DUPLICATE, first[group]
            row.message = f"The same crystal as {first[group]}."
        else:
            first[group] = row.candidate_id


def _take(
    rows: Sequence[SelectionRow],
    ranked: Sequence[Contender],
    crystals: Mapping[int, Structure],
    rules: SelectionRules,
) -> list[ChosenCrystal]:
    """Give ranks to what was not refused, and select as many as the rules allow."""
    chosen: list[ChosenCrystal] = []
    taken: Counter[str] = Counter()
    eligible = [item for item in ranked if rows[item.place].reason is None]
    for rank, item in enumerate(eligible, start=1):
        row = rows[item.place]
        row.rank = rank
        condition = item.candidate.condition.label()
        if rules.number is not None and len(chosen) >= rules.number:
            row.reason = SelectionReason.BEYOND_BUDGET
            row.message = f"Only {rules.number} go on."
        elif rules.per_condition is not None and taken[condition] >= rules.per_condition:
            row.reason = SelectionReason.BEYOND_BUDGET
            row.message = f"Only {rules.per_condition} of one condition go on."
        else:
            taken[condition] += 1
            row.selected = True
            chosen.append(
                ChosenCrystal(
                    candidate_id=row.candidate_id,
                    formula_pretty=item.candidate.formula_pretty or "",
                    structure=crystals[item.place],
                    rank=rank,
                )
            )
    return chosen


def ranked_places(
    candidates: Sequence[Candidate],
    *,
    ranking: str | Sequence[str] | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[int]:
    """Return where each candidate stands among those of its condition, from 0.

    The different crystals come first, in the order in which :func:`select_candidates` takes
    them, valid or not; then those that are the same crystal as one before, then texts that
    are not crystals, each in the order of their samples.

    Parameters
    ----------
    candidates
        Candidates of any conditions; ``provenance.request_index`` names the condition.
    ranking
        See :class:`SelectionRules`.
    processes
        Processes that share the conditions.
    progress
        Called with (conditions done, of).

    Raises
    ------
    ValueError
        If a ranking is not known; one line.
    """
    by_request: dict[int, list[int]] = {}
    for place, candidate in enumerate(candidates):
        by_request.setdefault(candidate.provenance.request_index, []).append(place)
    for members in by_request.values():  # where nothing else decides, the sample drawn first
        members.sort(key=lambda place: candidates[place].provenance.sample_index)
    answers = map_list(
        partial(_order_of_one, ranking=ranking),
        [[candidates[place] for place in members] for members in by_request.values()],
        processes=processes,
        progress=progress,
        on_death=_order_died,
    )
    places = [0] * len(candidates)
    for members, order in zip(by_request.values(), answers, strict=True):
        for found, number in enumerate(order):
            places[members[number]] = found
    return places


def _order_of_one(
    candidates: Sequence[Candidate], *, ranking: str | Sequence[str] | None
) -> list[int]:
    """Return the numbers of one condition's candidates in the order in which they stand."""
    rows, _ = select_candidates(candidates, SelectionRules(ranking=ranking, valid=False))

    def standing(number: int) -> tuple[bool, int, bool]:
        rank = rows[number].rank
        return rank is None, rank or 0, not candidates[number].parsed

    return sorted(range(len(candidates)), key=standing)


def _order_died(candidates: Sequence[Candidate]) -> list[int]:
    """Leave the candidates of a condition in the order in which they were drawn."""
    condition = candidates[0].condition.label()
    logger.warning("%s: the process that ranked its candidates ended; not ranked", condition)
    return list(range(len(candidates)))


def _crystal_or_refusal(
    candidate: Candidate,
    relaxed: Mapping[str, CandidateRelaxation] | None,
    rules: SelectionRules,
) -> Structure | tuple[SelectionReason, str]:
    """Return the crystal that may be selected, or why none may."""
    crystal = candidate.structure
    if crystal is None or (rules.valid and not candidate.valid):
        message = candidate.failure_message or "It is no valid crystal."
        return SelectionReason.NOT_VALID, message
    if rules.successful and candidate.joint_success is not True:
        message = candidate.failure_message or "Not all that was asked for is met."
        return SelectionReason.CONDITION_NOT_MET, message
    if relaxed is None:
        return crystal
    found = relaxed.get(candidate.candidate_id)
    if found is None:
        return SelectionReason.NO_RELAXATION, "There is no relaxation of it."
    if not found.counts or found.structure is None:
        message = found.failure_message or "The relaxation did not converge."
        return SelectionReason.RELAXATION_FAILED, message
    above = found.energy_above_hull
    if rules.max_energy_above_hull is None or (
        above is not None and above <= rules.max_energy_above_hull
    ):
        return found.structure
    if above is None:
        message = found.no_hull_reason or "no energy above the hull"
        return SelectionReason.NOT_JUDGED, f"{message[0].upper()}{message[1:]}."
    return SelectionReason.ABOVE_LIMIT, f"{above:.3f} eV/atom above the hull."


def _mark_known(
    rows: Sequence[SelectionRow],
    crystals: Mapping[int, Structure],
    known: CrystalData,
    processes: int,
    progress: Progress | None,
) -> None:
    if not crystals:
        return
    from crystalicl_jobflow.comparison.novelty import match_reference

    matched = match_reference(
        list(crystals.values()), known.structures, processes=processes, progress=progress
    )
    for place, found in zip(crystals, matched, strict=True):
        if found is not None:
            rows[place].reason = SelectionReason.KNOWN
            rows[place].known_as = known.ids[found]
            rows[place].message = f"It is the known crystal {known.ids[found]}."


def _group(crystals: Mapping[int, Structure], processes: int) -> dict[int, int]:
    from crystalicl_jobflow.comparison.novelty import unique_crystals

    groups = unique_crystals(list(crystals.values()), processes=processes)
    return {
        place: -1 if group is None else group for place, group in zip(crystals, groups, strict=True)
    }
