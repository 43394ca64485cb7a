"""Which candidates go on to the next, more expensive step: new ones, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from crystalicl_jobflow.selection.ranking import (
    AFTER_RELAXATION,
    BEFORE_RELAXATION,
    Contender,
    parse_ranking,
    rank_contenders,
)
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData


def select_candidates(
    candidates: Sequence[Candidate],
    *,
    number: int | None = None,
    ranking: str | Sequence[str] | None = None,
    known: CrystalData | None = None,
    relaxations: Sequence[CandidateRelaxation] | None = None,
    valid: bool = True,
    successful: bool = False,
    unique: bool = True,
    novel: bool | None = None,
    max_e_above_hull: float | None = None,
    per_condition: int | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[list[SelectionRow], list[ChosenCrystal]]:
    """Choose the candidates that go on.

    Parameters
    ----------
    candidates
        Candidates, valid or not.
    number
        How many go on, at most; None for all that can.
    ranking
        One or several names of :data:`~crystalicl_jobflow.selection.ranking.RANKINGS`; a
        later one decides where all before it are equal, and the candidates' order at the
        end. ``BEFORE_RELAXATION`` or ``AFTER_RELAXATION`` by default.
    known
        Known crystals that novelty is against.
    relaxations
        Relaxations of the candidates: those without one that counts do not go on, and the
        relaxed crystals are compared and go on.
    valid
        Whether only valid crystals go on; else all that are crystals.
    successful
        Whether only those go on that meet all that was asked for.
    unique
        Whether of several that are the same crystal only the first in rank goes on.
    novel
        Whether known crystals stay behind; None: where there are known ones.
    max_e_above_hull
        Energy above the hull in eV/atom up to which relaxed crystals go on.
    per_condition
        How many of one condition go on, at most.
    processes
        Processes that share the comparisons.
    progress
        Called with (done, of) while known crystals are compared.

    Returns
    -------
    rows, chosen
        What was decided about each candidate, in their order; those that go on, by rank.

    Raises
    ------
    ValueError
        If a ranking is not known, a number is negative, or novelty is asked for without
        known crystals; one line.
    """
    for name, value in (("number", number), ("per_condition", per_condition)):
        if value is not None and value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")
    if novel and known is None:
        raise ValueError("novel candidates need known crystals")
    if novel is None:
        novel = known is not None
    default = BEFORE_RELAXATION if relaxations is None else AFTER_RELAXATION
    scores = parse_ranking(default if ranking is None else ranking)
    relaxed = None if relaxations is None else best_relaxations(relaxations)
    rows = [SelectionRow(candidate_id=item.candidate_id) for item in candidates]
    crystals: dict[int, Structure] = {}
    for place, candidate in enumerate(candidates):
        refused, crystal = _refuse(
            candidate, relaxed, valid=valid, successful=successful, limit=max_e_above_hull
        )
        if refused is not None:
            rows[place].reason, rows[place].message = refused
        elif crystal is not None:
            crystals[place] = crystal
    _mark_known(rows, crystals, known if novel else None, processes, progress)
    groups = _group(crystals, processes)
    sizes = Counter(groups.values())
    contenders = [
        Contender(
            candidates[place],
            place,
            sizes[groups[place]],
            None if relaxed is None else relaxed.get(candidates[place].candidate_id),
        )
        for place in crystals
    ]
    chosen: list[ChosenCrystal] = []
    first: dict[int, str] = {}
    taken: Counter[str] = Counter()
    rank = 0
    for item in rank_contenders(contenders, scores):
        row = rows[item.place]
        row.times_drawn = item.times_drawn
        row.scores = {name: score(item) for name, (score, _) in scores.items()}
        if row.reason is not None:
            continue
        group = groups[item.place]
        if unique and group in first:
            row.reason, row.duplicate_of = SelectionReason.DUPLICATE, first[group]
            row.message = f"The same crystal as {first[group]}."
            continue
        first.setdefault(group, row.candidate_id)
        rank += 1
        row.rank = rank
        asked = item.candidate.condition.label()
        if number is not None and len(chosen) >= number:
            row.reason, row.message = SelectionReason.BEYOND_BUDGET, f"Only {number} go on."
        elif per_condition is not None and taken[asked] >= per_condition:
            row.reason = SelectionReason.BEYOND_BUDGET
            row.message = f"Only {per_condition} of one condition go on."
        else:
            taken[asked] += 1
            row.selected = True
            chosen.append(
                ChosenCrystal(
                    candidate_id=row.candidate_id,
                    formula=item.candidate.formula or "",
                    structure=crystals[item.place],
                    rank=rank,
                )
            )
    return rows, chosen


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
    are no crystal, each in the order of their samples.

    Parameters
    ----------
    candidates
        Candidates of any conditions, told apart by ``provenance.request_index``.
    ranking
        See :func:`select_candidates`.
    processes
        Processes that share the conditions.
    progress
        Called with (conditions done, of).

    Raises
    ------
    ValueError
        If a ranking is not known; one line.
    """
    asked: dict[int, list[int]] = {}
    for place, candidate in enumerate(candidates):
        asked.setdefault(candidate.provenance.request_index, []).append(place)
    for members in asked.values():  # where nothing else decides, the sample drawn first
        members.sort(key=lambda place: candidates[place].provenance.sample_index)
    answers = map_list(
        partial(_order_of_one, ranking=ranking),
        [[candidates[place] for place in members] for members in asked.values()],
        processes=processes,
        progress=progress,
    )
    places = [0] * len(candidates)
    for members, order in zip(asked.values(), answers, strict=True):
        for found, number in enumerate(order):
            places[members[number]] = found
    return places


def _order_of_one(
    candidates: Sequence[Candidate], *, ranking: str | Sequence[str] | None
) -> list[int]:
    """Return the numbers of one condition's candidates in the order in which they stand."""
    rows, _ = select_candidates(candidates, ranking=ranking, valid=False)

    def standing(number: int) -> tuple[bool, int, bool]:
        rank = rows[number].rank
        return rank is None, rank or 0, not candidates[number].parsed

    return sorted(range(len(candidates)), key=standing)


def _refuse(
    candidate: Candidate,
    relaxed: Mapping[str, CandidateRelaxation] | None,
    *,
    valid: bool,
    successful: bool,
    limit: float | None,
) -> tuple[tuple[SelectionReason, str] | None, Structure | None]:
    """Return why a candidate cannot go on, or the crystal that does."""
    crystal = candidate.structure
    if crystal is None or (valid and not candidate.valid):
        said = candidate.failure_message or "It is no valid crystal."
        return (SelectionReason.NOT_VALID, said), None
    if successful and candidate.joint_success is not True:
        said = candidate.failure_message or "Not all that was asked for is met."
        return (SelectionReason.CONDITION_NOT_MET, said), None
    if relaxed is None:
        return None, crystal
    found = relaxed.get(candidate.candidate_id)
    if found is None:
        return (SelectionReason.NO_RELAXATION, "There is no relaxation of it."), None
    if not found.counts:
        said = found.failure_message or "The relaxation did not converge."
        return (SelectionReason.RELAXATION_FAILED, said), None
    above = found.energy_above_hull
    if limit is not None and (above is None or above > limit):
        said = (
            "no energy above the hull" if above is None else f"{above:.3f} eV/atom above the hull"
        )
        return (SelectionReason.ABOVE_LIMIT, f"{said[:1].upper()}{said[1:]}."), None
    return None, found.structure


def _mark_known(
    rows: Sequence[SelectionRow],
    crystals: Mapping[int, Structure],
    known: CrystalData | None,
    processes: int,
    progress: Progress | None,
) -> None:
    if known is None or not crystals:
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
