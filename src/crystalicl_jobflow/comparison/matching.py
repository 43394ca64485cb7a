"""Whether two crystals are the same, and how many different ones there are in a set."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pymatgen.core import Element, Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.thresholds import (
    MATCH_ANGLE_TOL,
    MATCH_LTOL,
    MATCH_STOL,
    MATCH_TIMEOUT,
    UNIQUE_ANGLE_TOL,
    UNIQUE_LTOL,
    UNIQUE_STOL,
)
from crystalicl_jobflow.utils.parallel import map_list, time_limit
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher

logger = logging.getLogger(__name__)


class MatchTolerances(NamedTuple):
    """``StructureMatcher``'s tolerances.

    Parameters
    ----------
    stol
        Of sites, as a fraction of (volume per atom)^(1/3).
    ltol
        Of lengths, as a fraction.
    angle_tol
        Of angles, in degrees.
    """

    stol: float
    ltol: float
    angle_tol: float


MATCH = MatchTolerances(MATCH_STOL, MATCH_LTOL, MATCH_ANGLE_TOL)
"""Tolerances of structure prediction."""

UNIQUE = MatchTolerances(UNIQUE_STOL, UNIQUE_LTOL, UNIQUE_ANGLE_TOL)
"""Tolerances of uniqueness and novelty."""


@dataclass(frozen=True)
class MatchResult:
    """Whether two crystals match, and how well.

    Parameters
    ----------
    matched
        Whether they are the same within the tolerances.
    rms
        Root-mean-square displacement, normalised by (volume per atom)^(1/3); None without
        a match.
    max_distance
        Largest displacement, normalised likewise; None without a match.
    reduced
        Whether the match was found after the matcher's reduction to primitive cells, which
        is how published figures are made.
    """

    matched: bool
    rms: float | None = None
    max_distance: float | None = None
    reduced: bool = False


NO_MATCH = MatchResult(False)


def match_structures(
    prediction: Structure,
    reference: Structure,
    *,
    tolerances: MatchTolerances = MATCH,
) -> MatchResult:
    """Compare two crystals with pymatgen's ``StructureMatcher``.

    The matcher compares with its reduction to primitive cells first, and without it where
    that finds no match: the reduction breaks for a few of a thousand crystals that are
    right.

    Parameters
    ----------
    prediction, reference
        The crystals.
    tolerances
        How far sites, lengths and angles may differ.

    Returns
    -------
    MatchResult
        No match, too, where the matcher fails on a degenerate prediction, or takes longer than
        :data:`~crystalicl_jobflow.thresholds.MATCH_TIMEOUT`; a warning says so.
    """
    if not _same_composition(prediction, reference):
        return NO_MATCH
    prediction, reference = map(without_oxidation_states, (prediction, reference))
    for primitive_cell in (True, False):
        matcher = _matcher(tolerances, primitive_cell)
        try:
            with time_limit(MATCH_TIMEOUT), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = matcher.get_rms_dist(prediction, reference)
        except TimeoutError:
            _warn_of_time(prediction)
            return NO_MATCH
        except Exception:  # degenerate cells end in errors of many kinds: they match nothing
            continue
        if found is not None:
            return MatchResult(True, float(found[0]), float(found[1]), reduced=primitive_cell)
    return NO_MATCH


def match_many(
    pairs: Sequence[tuple[Structure, Structure]],
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[MatchResult]:
    """Compare pairs of (prediction, reference), see :func:`match_structures`.

    A pair that comes again, as samples at a low temperature do, is compared once. A pair at
    which a worker process ends does not match; a warning names it.

    Parameters
    ----------
    pairs
        Prediction and reference of each pair.
    processes
        Worker processes.
    progress
        Called with (different pairs done, of).
    """
    names: dict[int, str] = {}  # a reference is named once for all its samples
    first: dict[tuple[str, str], int] = {}
    places: list[int] = []
    for place, pair in enumerate(pairs):
        for crystal in pair:
            if id(crystal) not in names:
                names[id(crystal)] = structure_hash(crystal)
        key = (names[id(pair[0])], names[id(pair[1])])
        places.append(first.setdefault(key, place))
    different = [pairs[place] for place in first.values()]
    answers = map_list(
        _match_pair, different, processes=processes, progress=progress, on_death=_pair_died
    )
    by_place = dict(zip(first.values(), answers, strict=True))
    return [by_place[place] for place in places]


def unique_groups(
    structures: Sequence[Structure],
    *,
    tolerances: MatchTolerances = UNIQUE,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[int]:
    """Group crystals that are the same.

    Only crystals of one reduced formula are compared. Each one joins the first group whose
    founder it matches, and founds a group otherwise, so the cost is crystals times groups
    of one formula, not crystals squared. Crystals are taken in the order of their hashes, so
    the groups do not depend on the order in which they are given. Where a worker process ends,
    only identical crystals of that formula are grouped, and a warning names it.

    Parameters
    ----------
    structures
        The crystals.
    tolerances
        How far sites, lengths and angles may differ.
    processes
        Processes to share the formulas among.
    progress
        Called with (formulas done, formulas in all).

    Returns
    -------
    list of int
        For each crystal, the index of the first one of its group; its own index for the
        first. The number of different crystals is the number of different values.
    """
    by_formula = formula_buckets(structures)
    tasks = [
        ([structures[index] for index in members], tolerances) for members in by_formula.values()
    ]
    answers = map_list(
        _group_one_formula,
        tasks,
        processes=processes,
        progress=progress,
        on_death=_formula_died,
    )
    founders = [0] * len(structures)
    for members, local in zip(by_formula.values(), answers, strict=True):
        for index, founder in zip(members, local, strict=True):
            founders[index] = members[founder]
    return founders


def formula_buckets(structures: Sequence[Structure | None]) -> dict[str, list[int]]:
    """Return the places of the crystals of each reduced formula, in order.

    Crystals of different reduced formulas are different to ``StructureMatcher``, which
    compares fractional compositions before anything else. None has no place.
    """
    buckets: dict[str, list[int]] = {}
    for index, structure in enumerate(structures):
        if structure is not None:
            formula = crystal_composition(structure).reduced_formula
            buckets.setdefault(formula, []).append(index)
    return buckets


@dataclass(frozen=True)
class Prepared:
    """A crystal as :class:`PairMatcher` compares it.

    Parameters
    ----------
    name
        Hash of its cell and sites.
    plain
        Without oxidation states.
    reduced
        Its reduced primitive cell.
    """

    name: str
    plain: Structure
    reduced: Structure

    @cached_property
    def whole(self) -> Structure:
        """The given cell, Niggli-reduced, with all its sites."""
        if len(self.reduced) == len(self.plain):
            return self.reduced
        return _reduce(self.plain, primitive=False)


class PairMatcher:
    """``StructureMatcher`` for many comparisons: every crystal is reduced only once.

    Crystals are compared as primitive cells, and, where that reduction changed the number of
    sites of one of them, as the cells they are: for a few of a thousand crystals one is
    reduced and the other, the same but for rounding, is not.

    Parameters
    ----------
    tolerances
        How far sites, lengths and angles may differ.
    """

    def __init__(self, tolerances: MatchTolerances) -> None:
        self._matcher = _matcher(tolerances, True)

    def prepare(self, structure: Structure) -> Prepared:
        """Return what is needed to compare a crystal often."""
        plain = without_oxidation_states(structure)
        return Prepared(structure_hash(plain), plain, _reduce(plain, primitive=True))

    def same(self, first: Prepared, second: Prepared) -> bool:
        """Tell whether two crystals match."""
        if first.name == second.name or _fit(self._matcher, first.reduced, second.reduced):
            return True
        if len(first.plain) != len(second.plain):
            return False
        kept = first.whole is first.reduced and second.whole is second.reduced
        return not kept and _fit(self._matcher, first.whole, second.whole)


def _match_pair(pair: tuple[Structure, Structure]) -> MatchResult:
    return match_structures(*pair)


def _pair_died(pair: tuple[Structure, Structure]) -> MatchResult:
    logger.warning("%s: the process that compared a crystal ended; no match", pair[0].formula)
    return NO_MATCH


def _formula_died(task: tuple[list[Structure], MatchTolerances]) -> list[int]:
    """Group by equal cells and sites only."""
    structures, _ = task
    logger.warning(
        "%s: the process that compared %d crystals ended; only identical ones are grouped",
        structures[0].reduced_formula,
        len(structures),
    )
    first: dict[str, int] = {}
    return [
        first.setdefault(structure_hash(without_oxidation_states(structure)), place)
        for place, structure in enumerate(structures)
    ]


def _group_one_formula(task: tuple[list[Structure], MatchTolerances]) -> list[int]:
    structures, tolerances = task
    if len(structures) == 1:
        return [0]
    matcher = PairMatcher(tolerances)
    members: dict[str, list[int]] = {}  # the very same crystal comes often at a low temperature
    prepared: dict[str, Prepared] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, structure in enumerate(structures):
            name = structure_hash(without_oxidation_states(structure))
            members.setdefault(name, []).append(index)
            if name not in prepared:
                prepared[name] = matcher.prepare(structure)
        # matching is not transitive: in an order of their own, the groups are the same
        # however the crystals are shuffled
        groups: dict[str, list[str]] = {}
        for name in sorted(prepared):
            founder = next((f for f in groups if matcher.same(prepared[f], prepared[name])), name)
            groups.setdefault(founder, []).append(name)
    found = [0] * len(structures)
    for names in groups.values():
        places = [index for name in names for index in members[name]]
        for index in places:
            found[index] = min(places)
    return found


def without_oxidation_states(structure: Structure) -> Structure:
    """Return the crystal of elements: Fe2+ and Fe are the same atom to every comparison."""
    if all(isinstance(specie, Element) for specie in structure.composition):
        return structure
    plain = structure.copy()
    plain.remove_oxidation_states()
    return plain


def _reduce(structure: Structure, *, primitive: bool) -> Structure:
    """Do once what the matcher would do at every comparison, where that ends."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    try:
        with time_limit(MATCH_TIMEOUT):
            return StructureMatcher._get_reduced_structure(structure, primitive)
    except Exception:  # a degenerate cell stays as it is
        return structure


def _fit(matcher: StructureMatcher, first: Structure, second: Structure) -> bool:
    """Compare reduced crystals."""
    if len(first) != len(second):
        return False
    try:
        with time_limit(MATCH_TIMEOUT):
            return bool(matcher.fit(first, second, skip_structure_reduction=True))
    except TimeoutError:
        _warn_of_time(first)
        return False
    except Exception:  # degenerate cells match nothing
        return False


def _warn_of_time(crystal: Structure) -> None:
    logger.warning(
        "%s, %d atoms: not compared within %g s; no match",
        crystal.reduced_formula,
        len(crystal),
        MATCH_TIMEOUT,
    )


def _same_composition(first: Structure, second: Structure) -> bool:
    return crystal_composition(first) == crystal_composition(second)


@lru_cache(maxsize=16)
def _matcher(tolerances: MatchTolerances, primitive_cell: bool) -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(**tolerances._asdict(), primitive_cell=primitive_cell)
