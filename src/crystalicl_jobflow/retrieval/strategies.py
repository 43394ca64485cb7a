"""The selection strategies: C, F, CF, R, the shuffled CR, FR, CFR, and CE."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from operator import index as as_index
from typing import SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.retrieval import criteria
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.schemas import Condition, Strategy

MAX_SHOTS = 5
"""Most demonstrations of one prompt, as the CrystalICL paper's experiments go."""

NEIGHBOURHOOD = 100
"""CF with continuous values: the anchor is drawn among so many nearest to them."""

_ROUNDING = 1e-4
"""More than single precision may err in a squared distance of fingerprints (of order 1)."""


@dataclass(frozen=True)
class Selection:
    """Rows chosen from an index, in order."""

    rows: list[int]
    num_matching: int
    relaxed: list[str]


def check_choice(strategy: str, shots: int) -> int:
    """Return the number of shots as an integer.

    Raises
    ------
    ValueError
        If there is no such strategy or number of shots; one line.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(
            f"strategy {strategy!r} does not exist; choose {', '.join(get_args(Strategy))}"
        )
    if isinstance(shots, bool) or not isinstance(shots, SupportsIndex):
        raise ValueError(f"shots must be a whole number from 0 to {MAX_SHOTS}, got {shots!r}")
    number = as_index(shots)
    if not 0 <= number <= MAX_SHOTS:
        raise ValueError(f"shots must be from 0 to {MAX_SHOTS}, got {shots}")
    return number


def select(
    index: DemonstrationIndex,
    condition: Condition,
    *,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int = 0,
    exclude_ids: Collection[str] = (),
    asked: Condition | None = None,
) -> Selection:
    """Choose rows of an index; see `choosing.retrieve` for parameters and errors.

    With `asked`, the crystals that would answer that condition are left out instead of those
    that would answer `condition`.
    """
    check_choice(strategy, shots)
    base = strategy.removesuffix("R") or "R"
    if "F" in base and not index.num_fingerprints and shots:
        raise ValueError(
            f"strategy {strategy} needs fingerprints and {index.label or 'the pool'} has none;"
            " compute them with: crystalicl pool fingerprints --store STORE"
        )
    if shots == 0 or not len(index):
        return Selection([], 0, [])
    rng = _generator(seed, condition)
    forbidden = criteria.excluded(index, asked or condition, frozenset(exclude_ids))
    if base in ("R", "F"):
        usable = _usable(index, None, forbidden, fingerprinted=base == "F")
        if base == "R":
            rows = _draw(rng, usable, shots)
        else:
            rows = _anchor_and_neighbours(index, rng, usable, usable, shots)
        chosen = Selection(rows.tolist(), 0, [])
    else:
        chosen = _conditional(index, condition, rng, forbidden, base, shots)
    if strategy in ("CR", "FR", "CFR"):
        order = rng.permutation(len(chosen.rows))
        chosen = Selection([chosen.rows[i] for i in order], chosen.num_matching, chosen.relaxed)
    return chosen


def _generator(seed: int, condition: Condition) -> np.random.Generator:
    # by content, so that a condition draws the same alone and among others
    digest = hashlib.blake2b(condition.model_dump_json().encode(), digest_size=16).digest()
    words = np.frombuffer(digest, dtype=np.uint32).tolist()
    return np.random.default_rng([seed & 0xFFFF_FFFF_FFFF_FFFF, *words])


def _usable(
    index: DemonstrationIndex,
    mask: NDArray[np.bool_] | None,
    forbidden: NDArray[np.intp],
    *,
    fingerprinted: bool,
) -> NDArray[np.intp]:
    """Return the rows of a mask (None: all) that may be chosen, ascending."""
    has = index.columns.fingerprinted if fingerprinted else None
    if mask is None:
        rows = np.arange(len(index)) if has is None else np.flatnonzero(has)
    else:
        rows = np.flatnonzero(mask)
        if has is not None:
            rows = rows[has[rows]]
    if len(forbidden) and len(rows):
        places = np.searchsorted(rows, forbidden)
        places = places[places < len(rows)]
        rows = np.delete(rows, places[np.isin(rows[places], forbidden)])
    return rows


def _draw(rng: np.random.Generator, rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return rows[rng.choice(len(rows), size=min(count, len(rows)), replace=False)]


def _conditional(
    index: DemonstrationIndex,
    condition: Condition,
    rng: np.random.Generator,
    forbidden: NDArray[np.intp],
    base: str,
    shots: int,
) -> Selection:
    """Choose among those that meet the condition; fill up from weaker conditions."""
    picked: list[int] = []
    relaxed: list[str] = []
    num_matching = 0
    for step, (parts, given_up) in enumerate(criteria.tiers(criteria.criteria(index, condition))):
        if given_up is not None:
            relaxed.append(given_up)
        mask = criteria.meet_all(parts)
        rows = _usable(index, mask, forbidden, fingerprinted=False)
        if step == 0:
            num_matching = len(rows)
        if base == "CF":
            has = index.columns.fingerprinted
            assert has is not None
            rows = rows[has[rows]]
        if picked:
            rows = rows[~np.isin(rows, picked)]
        if not len(rows):
            continue
        missing = shots - len(picked)
        met = [part.name for part in parts]
        gaps = criteria.distances(index, condition, rows, met)
        if base == "CE":
            gaps = criteria.rank_sum(gaps, criteria.element_distances(index, condition, rows))
        if base in ("C", "CE"):
            new = _nearest(rng, rows, gaps, missing)
        else:
            near = rows if gaps is None else _nearest(rng, rows, gaps, NEIGHBOURHOOD)
            anchor = picked[0] if picked else None
            new = _anchor_and_neighbours(index, rng, near, np.sort(near), missing, anchor)
        picked += new.tolist()
        if len(picked) >= shots:
            break
    return Selection(picked, num_matching, relaxed)


def _nearest(
    rng: np.random.Generator,
    rows: NDArray[np.intp],
    gaps: NDArray[np.float64] | None,
    count: int,
) -> NDArray[np.intp]:
    """Return the rows with the smallest gaps, nearest first; equal ones at random."""
    if gaps is None:
        return _draw(rng, rows, count)
    if len(rows) > count:
        last = np.partition(gaps, count - 1)[count - 1]
        nearer = np.flatnonzero(gaps < last)
        # many may be equally far, such as all metals with a gap of 0: draw among them
        equal = np.flatnonzero(gaps == last)
        keep = np.concatenate([nearer, _draw(rng, equal, count - len(nearer))])
        rows, gaps = rows[keep], gaps[keep]
    order = rng.permutation(len(rows))
    return rows[order[np.argsort(gaps[order], kind="stable")]]


def _anchor_and_neighbours(
    index: DemonstrationIndex,
    rng: np.random.Generator,
    anchors: NDArray[np.intp],
    rows: NDArray[np.intp],
    count: int,
    anchor: int | None = None,
) -> NDArray[np.intp]:
    """Return a random anchor and its nearest neighbours by Euclidean distance.

    With an `anchor` given, only its neighbours among the rows are returned.
    """
    chosen: list[int] = []
    if anchor is None:
        if not len(anchors):
            return np.array([], dtype=np.intp)
        anchor = int(anchors[rng.integers(len(anchors))])
        chosen, count = [anchor], count - 1
    if count:
        near, gaps = _neighbours(index, anchor, rows, count + 1)
        others = near != anchor
        chosen += _nearest(rng, near[others], gaps[others], count).tolist()
    return np.array(chosen, dtype=np.intp)


def _neighbours(
    index: DemonstrationIndex, anchor: int, rows: NDArray[np.intp], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows that may be among the nearest `count` to the anchor, and how far.

    A matrix-vector product gives squared distances to about 1e-5, which would order equal
    fingerprints by noise; those near the smallest `count` are computed again.
    """
    matrix = index.columns.fingerprints
    assert matrix is not None
    target = np.asarray(matrix[anchor])
    if len(rows) == len(matrix):
        rough = matrix @ target
        rough *= -2
        rough += index.squared_norms
    elif len(rows) * 4 > len(matrix):
        # one pass over the whole matrix costs less than copying many rows out of it
        rough = index.squared_norms[rows] - 2 * (matrix @ target)[rows]
    else:
        rough = index.squared_norms[rows] - 2 * (matrix[rows] @ target)
    if len(rows) > count:
        limit = np.partition(rough, count - 1)[count - 1] + _ROUNDING
        rows = rows[rough <= limit]
    exact = matrix[rows].astype(float) - target.astype(float)
    return rows, np.round(np.sqrt(np.einsum("ij,ij->i", exact, exact)), 6)
