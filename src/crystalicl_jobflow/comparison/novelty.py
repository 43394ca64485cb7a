"""Unique, novel, stable: how many new crystals there are among the samples."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalicl_jobflow.comparison.matching import (
    UNIQUE,
    MatchTolerances,
    PairMatcher,
    formula_buckets,
    unique_groups,
)
from crystalicl_jobflow.schemas import Rate
from crystalicl_jobflow.thresholds import (
    HULL_ROUNDING,
    METASTABLE_E_ABOVE_HULL,
    STABLE_E_ABOVE_HULL,
)
from crystalicl_jobflow.utils.parallel import ITEMS_PER_PROCESS, map_list, parallel_map
from crystalicl_jobflow.utils.progress import Progress

Energies = Sequence[float | None] | NDArray[np.float64] | Mapping[int, float | None]
"""Energies above the hull in eV/atom by place: None or NaN (or absent) where it was not judged,
infinite where it was, and its energy failed."""

_MatchTask = tuple[list[Structure | None], list[Structure], MatchTolerances]

logger = logging.getLogger(__name__)

_LARGE = 2000  # pairs of one formula, some seconds: worth the start of another process

DISCOVERY_MEANINGS: dict[str, str] = {
    "unique": "different crystals / samples",
    "novel": "crystals that match no reference crystal / samples",
    "unique_novel": "different crystals that match no reference crystal / samples",
    "stable": "energy above hull ≤ 0 / crystals that could be judged",
    "metastable": "energy above hull ≤ 0.1 eV/atom / crystals that could be judged",
    "sun": "different crystals that are stable and novel / crystals that could be judged",
    "metastable_sun": "different crystals that are metastable and novel / crystals that could be"
    " judged",
    "sun_of_all": "different crystals that are stable and novel / samples, those that could not be"
    " judged included",
    "metastable_sun_of_all": "different crystals that are metastable and novel / samples, those"
    " that could not be judged included",
}
"""What each rate of :func:`discover` divides by what.

A crystal can be judged where it has an energy, or failed to get one, and known phases compete
with it. The rates ``…_of_all`` are over all samples, as others publish them: they are too low
by what could not be judged.
"""


@dataclass(frozen=True)
class Discovery:
    """What is new among the samples. All arrays have one entry per sample.

    Parameters
    ----------
    rates
        See :data:`DISCOVERY_MEANINGS`; those that need energies or references only with
        them.
    groups
        Place of the first sample that is the same crystal (its own place for the first);
        None where there is no crystal.
    unique
        Whether it is the first of its group.
    matched_reference
        Place of the first reference crystal that it matches, or None. None throughout
        without references.
    novel
        Whether it is a crystal and matches no reference crystal; None without references.
    judged
        Whether the sample is a crystal with a verdict of the hull. None without energies.
    stable, metastable
        By energy above the hull, False where it was not judged. None without energies.
    sun, metastable_sun
        Stable (metastable) and novel, and the one of lowest energy among such samples of its
        group. None without energies or references.
    """

    rates: dict[str, Rate]
    groups: list[int | None]
    unique: NDArray[np.bool_]
    matched_reference: list[int | None]
    novel: NDArray[np.bool_] | None = None
    judged: NDArray[np.bool_] | None = None
    stable: NDArray[np.bool_] | None = None
    metastable: NDArray[np.bool_] | None = None
    sun: NDArray[np.bool_] | None = None
    metastable_sun: NDArray[np.bool_] | None = None
    tolerances: dict[str, float] = field(default_factory=dict)


def discover(
    structures: Sequence[Structure | None],
    *,
    references: Sequence[Structure] | None = None,
    energy_above_hull: Energies | None = None,
    groups: Sequence[int | None] | None = None,
    tolerances: MatchTolerances = UNIQUE,
    processes: int = 1,
    progress: Progress | None = None,
) -> Discovery:
    """Count unique, novel and stable crystals among samples, and S.U.N. ones.

    Parameters
    ----------
    structures
        One per sample, relaxed ones where there are energies; None for a text that is not
        a crystal. They stay in every denominator.
    references
        Known crystals, the training set as a rule.
    energy_above_hull
        Energies above the hull, eV/atom. None or NaN: it was not judged, and is left out of
        the rates of stability. ``math.inf``: it was, and its relaxation failed; it counts as
        unstable.
    groups
        The answer of :func:`unique_crystals`, where it is known already.
    tolerances
        ``StructureMatcher``'s tolerances of both comparisons: pymatgen's defaults, as
        MatterGen and FlowMM use. Volumes are scaled to each other.
    processes
        Processes to share the formulas among.
    progress
        Called with (tasks done, tasks) while references are compared.

    Raises
    ------
    ValueError
        If a sequence has not one entry per sample.
    """
    count = len(structures)
    if groups is None:
        groups = unique_crystals(structures, tolerances=tolerances, processes=processes)
    elif len(groups) != count:
        raise ValueError(f"{len(groups)} groups for {count} samples")
    unique = np.array([group == index for index, group in enumerate(groups)], dtype=bool)
    rates = {"unique": _rate(unique)}
    matched: list[int | None] = [None] * count
    novel = None
    if references is not None:
        matched = match_reference(
            structures,
            references,
            tolerances=tolerances,
            processes=processes,
            progress=progress,
        )
        novel = np.array(
            [s is not None and m is None for s, m in zip(structures, matched, strict=True)],
            dtype=bool,
        )
        rates["novel"] = _rate(novel)
        rates["unique_novel"] = Rate.from_counts(_groups_with(novel, groups), count)
    judged = stable = metastable = sun = metastable_sun = None
    if energy_above_hull is not None:
        energies = _energies(energy_above_hull, count)
        energies[[s is None for s in structures]] = np.nan
        judged = ~np.isnan(energies)
        of = int(np.sum(judged))
        stable, metastable = is_stable(energies), is_metastable(energies)
        rates["stable"], rates["metastable"] = _rate(stable, of), _rate(metastable, of)
        if novel is not None:
            sun = _best_of_groups(stable & novel, groups, energies)
            metastable_sun = _best_of_groups(metastable & novel, groups, energies)
            rates["sun"], rates["metastable_sun"] = _rate(sun, of), _rate(metastable_sun, of)
            if of:  # over all samples there is no rate, either, where none was judged
                rates["sun_of_all"] = _rate(sun)
                rates["metastable_sun_of_all"] = _rate(metastable_sun)
    return Discovery(
        rates=rates,
        groups=list(groups),
        unique=unique,
        matched_reference=matched,
        novel=novel,
        judged=judged,
        stable=stable,
        metastable=metastable,
        sun=sun,
        metastable_sun=metastable_sun,
        tolerances=tolerances._asdict(),
    )


def unique_crystals(
    structures: Sequence[Structure | None],
    *,
    tolerances: MatchTolerances = UNIQUE,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[int | None]:
    """Group samples that are the same crystal, see :func:`unique_groups`.

    Parameters
    ----------
    structures
        One per sample; None where there is no crystal.
    tolerances, processes, progress
        As for :func:`unique_groups`.

    Returns
    -------
    list
        Place of the first sample of the same crystal; None where there is no crystal.
    """
    places = [index for index, structure in enumerate(structures) if structure is not None]
    founders = unique_groups(
        [s for s in structures if s is not None],
        tolerances=tolerances,
        processes=processes,
        progress=progress,
    )
    groups: list[int | None] = [None] * len(structures)
    for place, founder in zip(places, founders, strict=True):
        groups[place] = places[founder]
    return groups


def match_reference(
    structures: Sequence[Structure | None],
    references: Sequence[Structure],
    *,
    tolerances: MatchTolerances = UNIQUE,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[int | None]:
    """Find the first reference crystal that each sample matches.

    Only crystals of one reduced formula are compared, as the matcher itself would refuse
    all others; a crystal that repeats exactly is compared once.

    Parameters
    ----------
    structures
        One per sample; None where there is no crystal.
    references
        Known crystals.
    tolerances
        ``StructureMatcher``'s tolerances.
    processes
        Processes to share the formulas among, and the samples of one that has many.
    progress
        Called with (tasks done, tasks): a task is a formula, or a part of one.

    Returns
    -------
    list
        Place of the reference crystal, None for none. A sample at which a worker process ends
        matches none; a warning names it.
    """
    generated = formula_buckets(structures)
    known = formula_buckets(references)
    portions: list[tuple[str, list[int]]] = []
    for formula, places in generated.items():
        if formula in known:
            # all of carbon is one formula: a large one is shared among the processes
            large = processes > 1 and len(places) * len(known[formula]) > _LARGE
            step = -(-len(places) // (ITEMS_PER_PROCESS * processes)) if large else len(places)
            portions += [
                (formula, places[start : start + step]) for start in range(0, len(places), step)
            ]
    tasks: list[_MatchTask] = [
        (
            [structures[place] for place in places],
            [references[place] for place in known[formula]],
            tolerances,
        )
        for formula, places in portions
    ]
    answers = map_list(
        _match_one_formula,
        tasks,
        processes=processes,
        progress=progress,
        on_death=partial(_match_one_by_one, processes=processes),
    )
    matched: list[int | None] = [None] * len(structures)
    for (formula, places), local in zip(portions, answers, strict=True):
        for place, found in zip(places, local, strict=True):
            matched[place] = None if found is None else known[formula][found]
    return matched


def is_stable(energy_above_hull: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where the energy above the hull is ≤ 0 eV/atom; not where it is NaN."""
    return np.asarray(energy_above_hull <= STABLE_E_ABOVE_HULL + HULL_ROUNDING, dtype=bool)


def is_metastable(energy_above_hull: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where the energy above the hull is ≤ 0.1 eV/atom; not where it is NaN."""
    return np.asarray(energy_above_hull <= METASTABLE_E_ABOVE_HULL + HULL_ROUNDING, dtype=bool)


def _match_one_formula(
    task: _MatchTask,
) -> list[int | None]:
    samples, references, tolerances = task
    matcher = PairMatcher(tolerances)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = [matcher.prepare(reference) for reference in references]
        seen: dict[str, int | None] = {}
        found: list[int | None] = []
        for sample in samples:
            assert sample is not None  # only crystals have a formula
            prepared = matcher.prepare(sample)
            if prepared.name not in seen:
                seen[prepared.name] = next(
                    (i for i, other in enumerate(known) if matcher.same(prepared, other)), None
                )
            found.append(seen[prepared.name])
    return found


def _match_one_by_one(task: _MatchTask, *, processes: int) -> list[int | None]:
    """Compare each sample by itself: the one that ends its process matches nothing."""
    samples, references, tolerances = task
    if len(samples) == 1:
        return _sample_died(task)
    singles: list[_MatchTask] = [([sample], references, tolerances) for sample in samples]
    found = parallel_map(
        _match_one_formula, singles, processes=processes, batch_size=1, on_death=_sample_died
    )
    return [place for places in found for place in places]


def _sample_died(task: _MatchTask) -> list[int | None]:
    sample = task[0][0]
    assert sample is not None  # only crystals have a formula
    logger.warning(
        "%s: the process that compared a crystal with the references ended; no match",
        sample.formula,
    )
    return [None]


def _best_of_groups(
    wanted: NDArray[np.bool_],
    groups: Sequence[int | None],
    energies: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Keep one of the wanted samples of each group: that of lowest energy."""
    best: dict[int, int] = {}
    for index in np.flatnonzero(wanted).tolist():
        group = groups[index]
        if group is None:
            continue
        if group not in best or energies[index] < energies[best[group]]:
            best[group] = index
    kept = np.zeros(len(wanted), dtype=bool)
    kept[list(best.values())] = True
    return kept


def _groups_with(wanted: NDArray[np.bool_], groups: Sequence[int | None]) -> int:
    return len({groups[index] for index in np.flatnonzero(wanted).tolist()} - {None})


def _energies(given: Energies, count: int) -> NDArray[np.float64]:
    if isinstance(given, Mapping):
        values = [given.get(index) for index in range(count)]
    else:
        if len(given) != count:
            raise ValueError(f"{len(given)} energies for {count} samples")
        values = list(given)
    return np.array(
        [math.nan if value is None else float(value) for value in values], dtype=np.float64
    )


def _rate(flags: NDArray[np.bool_], of: int | None = None) -> Rate:
    return Rate.from_counts(int(np.sum(flags)), len(flags) if of is None else of)
