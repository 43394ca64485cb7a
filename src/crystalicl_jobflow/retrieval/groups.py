"""How probable each space group is for a formula, learned from a pool's crystals.

Each crystal of the pool with the same anonymised formula counts for its group, the more the more
similar its elements are; few or dissimilar crystals leave the decision to how often a group occurs
for this anonymised formula, and in the whole pool.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from crystalicl_jobflow.retrieval import criteria
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.settings import SETTINGS

MAX_GROUPS = 20
"""Space groups, at most, among which the texts of one condition are divided."""

ELEMENT_FEATURES = (
    "mendeleev_number",
    "electronegativity",
    "radius",
    "column",
    "row",
    "d_block",
    "f_block",
    "p_block",
    "oxidation_state",
)
"""What the difference of two elements is made of: Mendeleev number / 10, Pauling electronegativity,
atomic radius (Å), column / 6, row / 2, block (0 or 1 each), highest common oxidation state / 3."""

KNOWN_ELEMENTS = 103
"""Atomic number up to which pymatgen knows all of them; beyond it all are 0."""

UNKNOWN_RADIUS = 1.5
"""Å, for elements without a tabulated atomic radius (noble gases)."""

WEIGHTS = "group_weights.json"
"""File of the package with the weights, and how they were fitted."""


@dataclass(frozen=True)
class GroupWeights:
    """How crystals of a pool count for the space groups of a formula.

    With the elements of both formulas paired by their amounts and, among equal amounts, by their
    Mendeleev numbers, a crystal counts ``exp(-d ** shape)``, where ``d`` is the sum over the pairs
    of the length of the vector of ``scales[name] * difference[name]``. The share of group g is
    ``(k_g + formula p_g) / (sum of k + formula)``, where k_g is the sum over its crystals and
    ``p_g = (n_g + pool q_g) / (sum of n + pool)``: n_g crystals of the same anonymised formula,
    q_g its share in the whole pool (half a crystal added to each group).

    Parameters
    ----------
    scales
        By feature of an element, see `ELEMENT_FEATURES`; no unit.
    shape
        Exponent of the distance.
    formula
        Weight of the counts of the anonymised formula, in crystals of the same elements.
    pool
        Weight of the whole pool, in crystals of the same anonymised formula.
    origin
        What the weights were fitted on, and how well they tell groups.
    """

    scales: Mapping[str, float]
    shape: float
    formula: float
    pool: float
    origin: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def load(cls, path: str | Path | None = None) -> GroupWeights:
        """Read weights from a file; None: those of the package.

        Raises
        ------
        ValueError
            If the file is none of weights; one line.
        """
        if path is None:
            text = resources.files(__package__).joinpath(WEIGHTS).read_text(encoding="utf-8")
        else:
            text = Path(path).expanduser().read_text(encoding="utf-8")
        try:
            found = json.loads(text)
            scales = {name: float(found["scales"][name]) for name in ELEMENT_FEATURES}
            return cls(
                scales,
                shape=float(found["shape"]),
                formula=float(found["formula"]),
                pool=float(found["pool"]),
                origin=found.get("origin", {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no weights of space groups: {error}") from None


@cache
def group_weights(path: str | None = None) -> GroupWeights:
    """Return the weights of a file, read once; None: those of the package."""
    return GroupWeights.load(path)


@lru_cache(maxsize=200_000)
def paired_elements(formula: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the amounts of a formula, ascending, and its atomic numbers in the order of pairing.

    Parameters
    ----------
    formula
        Reduced formula.
    """
    found = sorted(
        (amount, float(element.mendeleev_no or 0), element.Z)
        for element, amount in Composition(formula).items()
    )
    return tuple(item[0] for item in found), tuple(item[2] for item in found)


@cache
def element_features() -> NDArray[np.float64]:
    """Return the features of every element, shape (119, features), by atomic number."""
    table = np.zeros((119, len(ELEMENT_FEATURES)))
    for number in range(1, KNOWN_ELEMENTS + 1):
        element = Element.from_Z(number)
        table[number] = (
            (element.mendeleev_no or 0) / 10,
            # noble gases have none, and pymatgen warns where it is asked for
            0.0 if element.is_noble_gas else element.X,
            element.atomic_radius or UNKNOWN_RADIUS,
            element.group / 6,
            element.row / 2,
            element.block == "d",
            element.block == "f",
            element.block == "p",
            max(element.common_oxidation_states or (0,)) / 3,
        )
    return table


def counted_rows(
    index: DemonstrationIndex, condition: Condition, exclude_ids: Collection[str] = ()
) -> NDArray[np.intp]:
    """Return the rows of a pool that count for the groups of a formula, shape (m,).

    They have its anonymised formula and the number of atoms asked for, if any. Crystals of the
    formula itself do not count: any of them would be an answer.
    """
    asked = Condition(formula=condition.formula, num_sites=condition.num_sites)
    mask = criteria.meet_all(criteria.criteria(index, asked))
    assert mask is not None  # the formula is a criterion
    rows = np.flatnonzero(mask & ~index.columns.formula.equal(str(condition.formula)))
    forbidden = [row for row in map(index.row, exclude_ids) if row is not None]
    return rows[~np.isin(rows, forbidden)]


def group_shares(
    index: DemonstrationIndex,
    condition: Condition,
    *,
    exclude_ids: Collection[str] = (),
    weights: GroupWeights | None = None,
) -> NDArray[np.float64]:
    """Return the probability of each space group for a formula.

    Parameters
    ----------
    index
        The pool.
    condition
        What is asked for, with a formula.
    exclude_ids
        Demonstrations that do not count.
    weights
        How crystals count; None for ``SETTINGS.GROUP_WEIGHTS``, by default those of the package.

    Returns
    -------
    numpy.ndarray
        Shape (230,), sum 1; entry n belongs to group n + 1. All 0 where no crystal of the pool has
        the anonymised formula: nothing is known then.
    """
    weights = weights or group_weights(SETTINGS.GROUP_WEIGHTS)
    rows = counted_rows(index, condition, exclude_ids)
    amounts, wanted = paired_elements(str(condition.formula))
    known = [paired_elements(index.columns.formula[row]) for row in rows.tolist()]
    kept = [place for place, (other, _) in enumerate(known) if other == amounts]
    if not kept:
        return np.zeros(230)
    groups = index.columns.space_group[rows[kept]].astype(int) - 1
    features = element_features() * [weights.scales[name] for name in ELEMENT_FEATURES]
    numbers = np.array([known[place][1] for place in kept])
    # (rows, pairs, features)
    gaps = features[numbers] - features[list(wanted)]
    distances = np.sqrt((gaps**2).sum(2)).sum(1)
    near = np.bincount(groups, weights=np.exp(-(distances**weights.shape)), minlength=230)
    counts = np.bincount(groups, minlength=230)
    pool = np.bincount(index.columns.space_group.astype(int) - 1, minlength=230) + 0.5
    prior = (counts + weights.pool * pool / pool.sum()) / (counts.sum() + weights.pool)
    shares: NDArray[np.float64] = (near + weights.formula * prior) / (near.sum() + weights.formula)
    return shares


def probable_groups(shares: NDArray[np.float64], count: int) -> list[tuple[int, float]]:
    """Return the most probable groups and their shares, most probable first.

    Parameters
    ----------
    shares
        As `group_shares` returns them.
    count
        Groups, at most.
    """
    order = np.argsort(-shares, kind="stable")[:count]
    return [(int(place) + 1, float(shares[place])) for place in order if shares[place] > 0]
