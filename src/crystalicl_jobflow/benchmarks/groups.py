"""Fit the weights with which a pool's crystals tell the space group of a formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.retrieval.groups import (
    ELEMENT_FEATURES,
    GroupWeights,
    element_features,
    group_shares,
    paired_elements,
)
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    import torch

QUERIES = 48
"""Crystals of one stoichiometry in a step of the fit."""

LEARNING_RATE = 0.06
"""Of Adam at the first step, on the logarithms of the weights; falls to 0 linearly."""


@dataclass(frozen=True)
class _Block:
    """The crystals of a pool that have the same amounts in their formula.

    Parameters
    ----------
    numbers
        Atomic numbers in the order of pairing, shape (n, pairs).
    groups
        Space groups from 0, shape (n,).
    formulas
        Number of each crystal's formula, shape (n,).
    queries
        Places of those that may be learned from.
    """

    numbers: NDArray[np.int64]
    groups: NDArray[np.int64]
    formulas: NDArray[np.int64]
    queries: NDArray[np.int64]


def fit_groups(
    index: DemonstrationIndex,
    *,
    held_out: int = 1000,
    steps: int = 450,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[GroupWeights, dict[str, float]]:
    """Fit weights to the groups of a pool's own crystals, each without its own formula.

    Parameters
    ----------
    index
        The pool.
    held_out
        Formulas that are not learned from, but measured on.
    steps
        Steps of Adam on the mean logarithm of the right group's share.
    seed
        Seed of the formulas held out and of the order.
    progress
        Called with (steps done, of).

    Returns
    -------
    tuple
        The weights, and what they reach on the formulas held out: see `measure_groups`.

    Raises
    ------
    ValueError
        If the pool holds too few crystals.
    """
    import torch

    generator = np.random.default_rng(seed)
    formulas = generator.permutation(len(index.columns.formula.vocabulary))
    held = formulas[: min(held_out, len(formulas) // 5)]
    blocks = _blocks(index, set(held.tolist()))
    if not blocks:
        raise ValueError(f"{index.label or 'the pool'} holds too few crystals to fit weights on")
    sizes = np.array([len(block.queries) for block in blocks], dtype=float)
    features = torch.tensor(element_features(), dtype=torch.float32)
    pool = np.bincount(index.columns.space_group.astype(int) - 1, minlength=230) + 0.5
    overall = torch.tensor(pool / pool.sum(), dtype=torch.float32)
    # logarithms of the scales, then of shape, weight of the formula, weight of the pool
    logs = torch.nn.Parameter(
        torch.tensor([-0.5] * len(ELEMENT_FEATURES) + [0.0, -1.5, 3.0], dtype=torch.float32)
    )
    optimizer = torch.optim.Adam([logs], lr=LEARNING_RATE)
    for step in range(steps):
        block = blocks[generator.choice(len(blocks), p=sizes / sizes.sum())]
        size = min(QUERIES, len(block.queries))
        chosen = generator.choice(block.queries, size=size, replace=False)
        loss = -_log_shares(block, chosen, logs, features, overall).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        if progress is not None:
            progress(step + 1, steps)
    values = [round(math.exp(value), 4) for value in logs.detach().tolist()]
    scales = dict(zip(ELEMENT_FEATURES, values, strict=False))
    shape, formula, whole = values[len(ELEMENT_FEATURES) :]
    weights = GroupWeights(scales, shape=shape, formula=formula, pool=whole)
    rows = np.flatnonzero(np.isin(index.columns.formula.codes, held))
    return weights, measure_groups(index, rows, weights)


def measure_groups(
    index: DemonstrationIndex, rows: NDArray[np.intp], weights: GroupWeights | None = None
) -> dict[str, float]:
    """Return how well a pool tells the groups of its own crystals, each without its formula.

    Parameters
    ----------
    index
        The pool.
    rows
        The crystals, shape (n,).
    weights
        As `group_shares` takes them.

    Returns
    -------
    dict
        ``crystals``, those of an anonymised formula that others in the pool have; ``log_share``,
        mean natural logarithm of the right group's share; ``first``, how often the most probable
        group is right, and ``first_share``, its mean share: equal where shares are calibrated;
        ``among_5``, how often it is among the five most probable.
    """
    logs, first, shares, among = [], [], [], []
    for row in rows.tolist():
        found = group_shares(index, Condition(formula=index.columns.formula[row]), weights=weights)
        if not found.any():
            continue
        right = int(index.columns.space_group[row]) - 1
        order = np.argsort(-found, kind="stable")
        logs.append(math.log(found[right]))
        shares.append(found[order[0]])
        first.append(order[0] == right)
        among.append(right in order[:5])
    means = {"log_share": logs, "first": first, "first_share": shares, "among_5": among}
    return {
        "crystals": len(logs),
        **{name: round(float(np.mean(found)), 4) for name, found in means.items() if found},
    }


def _blocks(index: DemonstrationIndex, held: set[int]) -> list[_Block]:
    """Return the stoichiometries that several formulas of the pool have."""
    places: dict[tuple[float, ...], list[int]] = {}
    numbers = []
    for row in range(len(index)):
        amounts, elements = paired_elements(index.columns.formula[row])
        places.setdefault(amounts, []).append(row)
        numbers.append(elements)
    blocks = []
    for rows in places.values():
        codes = np.asarray(index.columns.formula.codes)[rows].astype(np.int64)
        queries = np.flatnonzero([code not in held for code in codes.tolist()])
        if len(set(codes.tolist())) > 1 and len(queries):
            blocks.append(
                _Block(
                    np.array([numbers[row] for row in rows]),
                    np.asarray(index.columns.space_group)[rows].astype(np.int64) - 1,
                    codes,
                    queries,
                )
            )
    return blocks


def _log_shares(
    block: _Block,
    queries: NDArray[np.int64],
    logs: torch.Tensor,
    features: torch.Tensor,
    overall: torch.Tensor,
) -> torch.Tensor:
    """Return the logarithm of the right group's share for some crystals, shape (queries,).

    As `group_shares` computes it, in a form that torch differentiates.
    """
    import torch

    count = len(ELEMENT_FEATURES)
    shape, formula, pool = logs[count:].exp()
    # (crystals, pairs, features)
    scaled = (features * logs[:count].exp())[torch.tensor(block.numbers)]
    chosen = torch.tensor(queries)
    gaps = ((scaled[chosen][:, None] - scaled[None]) ** 2).sum(-1).add(1e-6).sqrt().sum(-1)
    codes = torch.tensor(block.formulas)
    others = (codes[chosen][:, None] != codes[None]).float()  # (queries, crystals)
    groups = torch.tensor(block.groups)
    empty = torch.zeros(len(queries), 230)
    near = empty.index_add(1, groups, torch.exp(-(gaps**shape)) * others)
    counts = empty.index_add(1, groups, others)
    prior = (counts + pool * overall) / (counts.sum(1, keepdim=True) + pool)
    shares = (near + formula * prior) / (near.sum(1, keepdim=True) + formula)
    right: torch.Tensor = shares[torch.arange(len(queries)), groups[chosen]]
    return torch.log(right)
