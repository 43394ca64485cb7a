"""Demonstrations, known crystals and space groups of a pool for one condition or many."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from maggma.core import Store

from crystalicl_jobflow.retrieval import criteria
from crystalicl_jobflow.retrieval.groups import group_shares, probable_groups
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.opening import open_pool
from crystalicl_jobflow.retrieval.strategies import check_choice, select
from crystalicl_jobflow.schemas import Condition, Demonstration, Retrieval, Strategy
from crystalicl_jobflow.schemas.retrieval import GroupChoice
from crystalicl_jobflow.stores import StoreSpec
from crystalicl_jobflow.utils.numbers import whole_number

FEW_TEMPLATES = 3
"""Templates that even the least probable space group gets, where there are so many."""


def retrieve(
    pool: StoreSpec | Sequence[Any] | DemonstrationIndex | None,
    condition: Condition | Mapping[str, Any] | str,
    *,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int = 0,
    exclude_ids: Collection[str] = (),
    templates: int = 0,
    groups: int = 0,
) -> Retrieval:
    """Choose demonstrations for a condition.

    Parameters
    ----------
    pool
        An opened pool, or what :func:`~crystalicl_jobflow.retrieval.open_pool` opens: a store,
        crystals in files or at hand, ``"prototypes"``.
    condition
        What is asked for; also as a mapping of its fields or a formula.
    strategy
        ``C``: those that meet the condition; ``F``: a random anchor and its nearest
        neighbours by CrystalNN fingerprint; ``CF``: the same among those that meet the
        condition; ``R``: at random; ``CR``, ``FR``, ``CFR``: the same choice in shuffled
        order (CrystalICL, section 3.2 and table 4). ``CE``, our own: as C, those with the
        most similar elements first (`matching.element_distances`); without a formula, C.
    shots
        Number of demonstrations, 0 to 5.
    seed
        The same seed gives the same choice, whatever the order of the store.
    exclude_ids
        Demonstrations that may not be chosen, beside the asked-for crystal itself.
    templates
        Further known crystals for substitution, at most (`find_templates`).
    groups
        Where a formula is asked for without a space group: groups, at most, to draw from, each
        with demonstrations and templates of its own (`find_groups`).

    Returns
    -------
    Retrieval
        The demonstrations in the order in which a prompt shows them, nearest first but for
        the shuffled strategies, and what had to be given up to find them.

    Raises
    ------
    ValueError
        If strategy or shots do not exist, or a fingerprint strategy meets a pool without
        fingerprints; one line.
    """
    return retrieve_many(
        pool,
        [condition],
        strategy=strategy,
        shots=shots,
        seed=seed,
        exclude_ids=exclude_ids,
        templates=templates,
        groups=groups,
    )[0]


def retrieve_many(
    pool: StoreSpec | Sequence[Any] | DemonstrationIndex | None,
    conditions: Iterable[Condition | Mapping[str, Any] | str],
    *,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int | Sequence[int] = 0,
    exclude_ids: Collection[str] = (),
    templates: int = 0,
    groups: int = 0,
) -> list[Retrieval]:
    """Choose demonstrations for many conditions, with one look at the store.

    Each choice is the one that :func:`retrieve` makes with the same seed; different
    conditions draw independently. See there for parameters and errors; `seed` may also be
    one for each condition.
    """
    wanted = [Condition.parse(condition) for condition in conditions]
    shots = check_choice(strategy, shots)
    if isinstance(seed, Iterable) and not isinstance(seed, str):
        seeds = list(seed)
    else:
        seeds = [whole_number(seed, "seed", least=None)] * len(wanted)
    if len(seeds) != len(wanted):
        raise ValueError(f"{len(seeds)} seeds were given for {len(wanted)} conditions")
    index = _index(pool, strategy)
    retrievals = []
    for condition, one in zip(wanted, seeds, strict=True):
        chosen = select(
            index, condition, strategy=strategy, shots=shots, seed=one, exclude_ids=exclude_ids
        )
        choices = Choices(strategy, shots, one, frozenset(exclude_ids), templates)
        retrievals.append(
            Retrieval(
                condition=condition,
                strategy=strategy,
                shots=shots,
                seed=one,
                demonstrations=[index.demonstration(row) for row in chosen.rows],
                num_matching=chosen.num_matching,
                relaxed=chosen.relaxed,
                templates=find_templates(index, condition, templates, exclude_ids=exclude_ids),
                groups=find_groups(index, condition, groups, choices),
                pool_size=len(index),
                pool=index.label,
            )
        )
    return retrievals


def _index(
    pool: StoreSpec | Sequence[Any] | DemonstrationIndex | None, strategy: str
) -> DemonstrationIndex:
    if isinstance(pool, Store):  # may be empty: a pool that is still to be filled
        return DemonstrationIndex.from_store(pool)
    return open_pool(pool, strategy)


def find_templates(
    index: DemonstrationIndex,
    condition: Condition,
    count: int,
    *,
    exclude_ids: Collection[str] = (),
) -> list[Demonstration]:
    """Return the crystals of a pool whose elements may be replaced by those asked for.

    Parameters
    ----------
    index
        The pool.
    condition
        What is asked for; without a formula there are none.
    count
        Templates, at most.
    exclude_ids
        Demonstrations that may not be chosen.

    Returns
    -------
    list of Demonstration
        Those of the same anonymised formula that meet everything else asked for, without
        those of the formula itself, most similar elements first
        (`criteria.element_distances`), equal ones by id.
    """
    if condition.formula is None or count < 1:
        return []
    mask = criteria.meet_all(criteria.criteria(index, condition))
    assert mask is not None  # the formula is a criterion
    rows = np.flatnonzero(mask & ~index.columns.formula.equal(condition.formula))
    forbidden = [row for row in map(index.row, exclude_ids) if row is not None]
    rows = rows[~np.isin(rows, forbidden)]
    gaps = criteria.element_distances(index, condition, rows)
    assert gaps is not None
    order = np.argsort(gaps, kind="stable")  # rows are in the order of their ids
    chosen = [row for row in order[:count].tolist() if np.isfinite(gaps[row])]
    return [index.demonstration(int(rows[row])) for row in chosen]


@dataclass(frozen=True)
class Choices:
    """How demonstrations are chosen; see :func:`retrieve`."""

    strategy: Strategy
    shots: int
    seed: int
    exclude_ids: frozenset[str]
    templates: int


def find_groups(
    index: DemonstrationIndex, condition: Condition, count: int, choices: Choices
) -> list[GroupChoice]:
    """Return the space groups that are probable for a formula, with what a prompt for each shows.

    Parameters
    ----------
    index
        The pool.
    condition
        What is asked for; without a formula, or with a space group, there are none.
    count
        Groups, at most.
    choices
        How demonstrations are chosen. Crystals of the formula itself are never among them,
        whatever their group.

    Returns
    -------
    list of GroupChoice
        Most probable first (`groups.group_shares`). A group that may get few of the texts has
        fewer templates.
    """
    if condition.formula is None or condition.space_group is not None or count < 1:
        return []
    shares = group_shares(index, condition, exclude_ids=choices.exclude_ids)
    found = []
    for number, share in probable_groups(shares, count):
        narrowed = condition.model_copy(update={"space_group": number})
        chosen = select(
            index,
            narrowed,
            strategy=choices.strategy,
            shots=choices.shots,
            seed=choices.seed,
            exclude_ids=choices.exclude_ids,
            asked=condition,
        )
        templates = min(choices.templates, round(choices.templates * share) + FEW_TEMPLATES)
        found.append(
            GroupChoice(
                space_group=number,
                share=round(share, 6),
                demonstrations=[index.demonstration(row) for row in chosen.rows],
                num_matching=chosen.num_matching,
                relaxed=chosen.relaxed,
                templates=find_templates(
                    index, narrowed, templates, exclude_ids=choices.exclude_ids
                ),
            )
        )
    return found
