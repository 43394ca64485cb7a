"""Whether two crystals are the same, and how many different ones there are in a set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation._parallel import Progress, run_chunks
from crystalicl_jobflow.evaluation.thresholds import (
    MATCH_ANGLE_TOL,
    MATCH_LTOL,
    MATCH_STOL,
    UNIQUE_ANGLE_TOL,
    UNIQUE_LTOL,
    UNIQUE_STOL,
)

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher


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
    stol: float = MATCH_STOL,
    ltol: float = MATCH_LTOL,
    angle_tol: float = MATCH_ANGLE_TOL,
) -> MatchResult:
    """Compare two crystals with pymatgen's ``StructureMatcher``.

    The matcher is asked with its reduction to primitive cells first, and without it where
    that finds no match: the reduction breaks for a few of a thousand crystals that are
    right.

    Parameters
    ----------
    prediction, reference
        The crystals.
    stol, ltol, angle_tol
        The matcher's site, length and angle tolerances (fractions of (volume per
        atom)^(1/3) and of a length; degrees).

    Returns
    -------
    MatchResult
        No match, too, where the matcher fails on a degenerate prediction.
    """
    if not _same_composition(prediction, reference):
        return NO_MATCH
    for primitive_cell in (True, False):
        matcher = _matcher(stol, ltol, angle_tol, primitive_cell)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = matcher.get_rms_dist(prediction, reference)
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
    """Compare pairs of (prediction, reference), see :func:`match_structures`."""
    return run_chunks(_match_pair, pairs, processes=processes, progress=progress)


def unique_groups(
    structures: Sequence[Structure],
    *,
    stol: float = UNIQUE_STOL,
    ltol: float = UNIQUE_LTOL,
    angle_tol: float = UNIQUE_ANGLE_TOL,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[int]:
    """Group crystals that are the same.

    Only crystals of one reduced formula are compared. Each one joins the first group whose
    founder it matches, and founds a group otherwise, so the cost is crystals times groups
    of one formula, not crystals squared.

    Parameters
    ----------
    structures
        The crystals.
    stol, ltol, angle_tol
        The matcher's tolerances.
    processes
        Processes to share the formulas among.
    progress
        Called with (formulas done, formulas in all).

    Returns
    -------
    list of int
        For each crystal, the index of its group's founder; its own index for a founder.
        The number of different crystals is the number of different values.
    """
    by_formula: dict[str, list[int]] = {}
    for index, structure in enumerate(structures):
        formula = structure.composition.element_composition.reduced_formula
        by_formula.setdefault(formula, []).append(index)
    tasks = [
        ([structures[index] for index in members], stol, ltol, angle_tol)
        for members in by_formula.values()
    ]
    answers = run_chunks(_group_one_formula, tasks, processes=processes, progress=progress)
    founders = [0] * len(structures)
    for members, local in zip(by_formula.values(), answers, strict=True):
        for index, founder in zip(members, local, strict=True):
            founders[index] = members[founder]
    return founders


def _match_pair(pair: tuple[Structure, Structure]) -> MatchResult:
    return match_structures(*pair)


def _group_one_formula(task: tuple[list[Structure], float, float, float]) -> list[int]:
    structures, stol, ltol, angle_tol = task
    if len(structures) == 1:
        return [0]
    matcher = _matcher(stol, ltol, angle_tol, True)
    founders: list[int] = []
    found: list[int] = []
    reduced: list[Structure] = []
    seen: dict[tuple[bytes, bytes, tuple[object, ...]], int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, structure in enumerate(structures):
            key = _identity(structure)
            reduced.append(_reduce(matcher, structure))
            if key in seen:  # the very same crystal, as texts at a low temperature often are
                found.append(seen[key])
                continue
            founder = next((f for f in founders if _same(matcher, reduced[f], reduced[-1])), None)
            if founder is None:
                founders.append(index)
                founder = index
            seen[key] = founder
            found.append(founder)
    return found


def _identity(structure: Structure) -> tuple[bytes, bytes, tuple[object, ...]]:
    species = tuple(site.species for site in structure)
    return structure.lattice.matrix.tobytes(), structure.frac_coords.tobytes(), species


def _reduce(matcher: StructureMatcher, structure: Structure) -> Structure:
    """Reduce once what the matcher would reduce at every comparison."""
    try:
        return matcher._get_reduced_structure(structure, matcher._primitive_cell)
    except Exception:  # a degenerate cell stays as it is
        return structure


def _same(matcher: StructureMatcher, first: Structure, second: Structure) -> bool:
    if len(first) != len(second):
        return False
    try:
        return bool(matcher.fit(first, second, skip_structure_reduction=True))
    except Exception:  # degenerate cells match nothing
        return False


def _same_composition(first: Structure, second: Structure) -> bool:
    one, other = (s.composition.element_composition.reduced_composition for s in (first, second))
    return bool(one.almost_equals(other))


@lru_cache(maxsize=16)
def _matcher(stol: float, ltol: float, angle_tol: float, primitive_cell: bool) -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(
        stol=stol, ltol=ltol, angle_tol=angle_tol, primitive_cell=primitive_cell
    )
