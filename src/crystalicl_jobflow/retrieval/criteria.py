"""Which demonstrations meet a condition, and how near the others come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from crystalicl_jobflow.crystal.wyckoff_letters import positions_key
from crystalicl_jobflow.retrieval.columns import Codes, element_bits
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.schemas import Condition, Range
from crystalicl_jobflow.text.sgs import read_wyckoff

RELAXATION_ORDER = (
    "num_sites",
    "properties",
    "elements",
    "chemsys",
    "wyckoff",
    "space_group",
    "formula",
)
"""What is given up first where too few demonstrations meet a condition.

The stoichiometry and the space group decide which Wyckoff positions a text may use, so a
demonstration that shares them says most about the text to write; they go last. The chemistry
comes before them, then ranges of properties, then the size of the cell.
"""

_RANKED_AT_MOST = 2_000
"""With several continuous properties, exact ranks are taken among so many rows at most."""


@dataclass(frozen=True)
class Criterion:
    """One part of a condition and the rows that meet it, shape (n,)."""

    name: str
    rows: NDArray[np.bool_]


def criteria(index: DemonstrationIndex, condition: Condition) -> list[Criterion]:
    """Return the parts of a condition that a demonstration meets or not.

    Single values of continuous properties are no such parts: they rank (see
    :func:`ranked`). A formula is compared by its anonymised form (CaTiO3 as ABC3), as the
    CrystalICL paper does in section 3.2, Wyckoff letters whatever the elements; a property
    counts as met within its range.
    """
    columns = index.columns
    found: list[Criterion] = []
    if condition.anonymized is not None:
        found.append(Criterion("formula", columns.anonymous_formula.equal(condition.anonymized)))
    if condition.chemsys is not None:
        found.append(Criterion("chemsys", columns.chemsys.equal(condition.chemsys)))
    if condition.elements is not None:
        low, high = (np.uint64(word) for word in element_bits(condition.elements))
        rows = (columns.elements[:, 0] & low) == low
        if high:
            rows &= (columns.elements[:, 1] & high) == high
        found.append(Criterion("elements", rows))
    if condition.space_groups is not None:
        rows = columns.space_group == condition.space_groups[0]
        for number in condition.space_groups[1:]:
            rows = rows | (columns.space_group == number)
        found.append(Criterion("space_group", rows))
    if condition.num_sites is not None:
        found.append(Criterion("num_sites", _within(columns.num_sites, condition.num_sites)))
    if condition.wyckoff is not None:
        found.append(Criterion("wyckoff", _on_positions(index, condition)))
    for name, wanted in condition.properties.items():
        values = columns.properties.get(name)
        if isinstance(wanted, Range):
            rows = np.zeros(len(index), dtype=bool) if values is None else _within(values, wanted)
        elif values is None:
            rows = np.zeros(len(index), dtype=bool)
        else:
            rows = ~np.isnan(values)
        found.append(Criterion(f"properties.{name}", rows))
    return found


def _within(values: NDArray[Any], wanted: float | Range) -> NDArray[np.bool_]:
    if not isinstance(wanted, Range):
        return np.asarray(values == wanted)
    rows = np.ones(len(values), dtype=bool)
    if wanted.min is not None:
        rows &= values >= wanted.min  # NaN compares false
    if wanted.max is not None:
        rows &= values <= wanted.max
    return rows


def _on_positions(index: DemonstrationIndex, condition: Condition) -> NDArray[np.bool_]:
    """Return the rows whose elements lie on the Wyckoff positions asked for, whichever they are."""
    rows = np.zeros(len(index), dtype=bool)
    number, letters, asked = condition.space_group, condition.wyckoff, condition.anonymized
    if isinstance(number, int) and letters is not None and asked is not None:
        columns = index.columns
        alike = columns.anonymous_formula.equal(asked)
        wanted = positions_key(letters, number)
        for row in np.flatnonzero(alike & (columns.space_group == number)).tolist():
            rows[row] = _positions(index.demonstration(row).text) == wanted
    return rows


@lru_cache(maxsize=100_000)
def _positions(text: str) -> tuple[tuple[str, ...], ...] | None:
    """Return the Wyckoff positions of a text's orbits, see `positions_key`; None for none."""
    found = read_wyckoff(text)
    return None if found is None else positions_key(found[1], found[0])


def excluded(
    index: DemonstrationIndex, condition: Condition, exclude_ids: tuple[str, ...] | frozenset[str]
) -> NDArray[np.intp]:
    """Return the rows that may never be chosen: the asked-for crystal itself.

    With a formula and a space group asked for, that is every demonstration of that reduced
    formula in one of those groups; other polymorphs of the formula may be shown. With a
    formula alone any polymorph would be an answer, so the whole formula is left out.
    Without a formula nothing says which crystal is meant, and only `exclude_ids` count.
    """
    columns = index.columns
    rows: set[int] = set()
    if condition.formula is not None:
        same = np.flatnonzero(columns.formula.equal(condition.formula))
        if condition.space_groups is not None:
            same = same[np.isin(columns.space_group[same], condition.space_groups)]
        rows.update(same.tolist())
    for identifier in exclude_ids:
        row = index.row(identifier)
        if row is not None:
            rows.add(row)
    return np.array(sorted(rows), dtype=np.intp)


def tiers(parts: list[Criterion]) -> list[tuple[list[Criterion], str | None]]:
    """Return ever weaker sets of criteria and what each one gives up.

    The first holds all; each further one lacks one more, in :data:`RELAXATION_ORDER`; the
    last holds none.
    """
    left = list(parts)
    steps: list[tuple[list[Criterion], str | None]] = [(list(left), None)]
    for group in RELAXATION_ORDER:
        for part in [part for part in left if part.name.split(".")[0] == group]:
            left = [other for other in left if other is not part]
            steps.append((list(left), part.name))
    return steps


def meet_all(parts: list[Criterion]) -> NDArray[np.bool_] | None:
    """Return the rows that meet every criterion; None stands for all rows."""
    if not parts:
        return None
    rows = parts[0].rows
    for part in parts[1:]:
        rows = rows & part.rows
    return rows


def distances(
    index: DemonstrationIndex,
    condition: Condition,
    rows: NDArray[np.intp],
    met: Collection[str] = (),
) -> NDArray[np.float64] | None:
    """Return how far rows are from the continuous values asked for, as something to sort by.

    Parameters
    ----------
    index
        The pool.
    condition
        What is asked for.
    rows
        Rows to judge, shape (m,).
    met
        Names of the criteria that all these rows meet: a range among them is no distance.

    Returns
    -------
    numpy.ndarray or None
        Shape (m,). With one property |value − target| in its unit (outside a range the
        distance to it, inside 0); with several the sum of the ranks by each. Unknown
        values come last. None where no property is asked for.
    """
    each = []
    for name, wanted in condition.properties.items():
        column = index.columns.properties.get(name)
        if column is None or (isinstance(wanted, Range) and f"properties.{name}" in met):
            continue
        values = column if len(rows) == len(index) else column[rows]
        if isinstance(wanted, Range):
            gap = np.zeros(len(values))
            if wanted.min is not None:
                gap = np.maximum(gap, wanted.min - values)
            if wanted.max is not None:
                gap = np.maximum(gap, values - wanted.max)
        else:
            gap = np.abs(values - wanted)
        if f"properties.{name}" not in met:  # those that meet it have a value
            gap[np.isnan(gap)] = np.inf
        each.append((name, gap))
    if not each:
        return None
    if len(each) == 1:
        return each[0][1]
    score = np.zeros(len(rows))
    for name, gap in each:
        score += gap / index.scale(name)
    near = np.arange(len(rows))
    if len(rows) > _RANKED_AT_MOST:
        near = np.argpartition(score, _RANKED_AT_MOST)[:_RANKED_AT_MOST]
    total = np.full(len(rows), np.inf)
    total[near] = 0.0
    for _, gap in each:
        order = np.sort(gap[near])
        # equal gaps share a rank, whatever the order of the rows
        total[near] += np.searchsorted(order, gap[near])
        total[near[np.isinf(gap[near])]] = np.inf
    return total


def element_distances(
    index: DemonstrationIndex, condition: Condition, rows: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Return how unlike the elements of rows are to those of the formula asked for.

    Elements of equal amounts are put beside each other so that the sum of the differences
    of their Mendeleev numbers (D. G. Pettifor, Solid State Communications 51, 31 (1984),
    as pymatgen has them) is least; that sum is the distance.

    Parameters
    ----------
    index
        The pool.
    condition
        What is asked for.
    rows
        Rows to judge, shape (m,).

    Returns
    -------
    numpy.ndarray or None
        Shape (m,); infinite where the stoichiometry differs. None without a formula.
    """
    if condition.formula is None:
        return None
    amounts, wanted = _mendeleev(condition.formula)
    formulas = index.columns.formula
    known = _ELEMENTS.get(formulas)
    if known is None:
        known = _ELEMENTS[formulas] = _Elements(len(formulas.vocabulary))
    return known.distances(formulas.codes[rows], formulas.vocabulary, amounts, wanted)


class _Elements:
    """Mendeleev numbers of a column's formulas, looked up when first asked for.

    Parameters
    ----------
    count
        Number of different formulas.
    """

    def __init__(self, count: int) -> None:
        self._amounts: dict[tuple[float, ...], int] = {}
        # which amounts a formula has, -1 where that has not been looked up
        self._kind = np.full(count, -1, dtype=np.int32)
        self._numbers = np.zeros((count, 8))

    def distances(
        self,
        codes: NDArray[np.integer[Any]],
        vocabulary: Sequence[str],
        amounts: tuple[float, ...],
        wanted: tuple[float, ...],
    ) -> NDArray[np.float64]:
        """Return the sums of differences from what is asked; infinite for other amounts."""
        for code in np.unique(codes[self._kind[codes] < 0]).tolist():
            found, numbers = _mendeleev(vocabulary[code])
            if len(numbers) > self._numbers.shape[1]:
                wider = np.zeros((len(self._numbers), len(numbers)))
                wider[:, : self._numbers.shape[1]] = self._numbers
                self._numbers = wider
            self._kind[code] = self._amounts.setdefault(found, len(self._amounts))
            # both are sorted within equal amounts, which is the best one-to-one matching
            self._numbers[code, : len(numbers)] = numbers
        gaps = np.full(len(codes), np.inf)
        same = np.flatnonzero(self._kind[codes] == self._amounts.get(amounts, -2))
        if len(same):
            gaps[same] = np.abs(self._numbers[codes[same], : len(wanted)] - wanted).sum(1)
        return gaps


_ELEMENTS: WeakKeyDictionary[Codes, _Elements] = WeakKeyDictionary()


@lru_cache(maxsize=200_000)
def _mendeleev(formula: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the amounts, ascending, and the Mendeleev numbers, ascending for each amount."""
    pairs = sorted(
        (amount, float(element.mendeleev_no or 0))
        for element, amount in Composition(formula).items()
    )
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def rank_sum(
    first: NDArray[np.float64] | None, second: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Return the sum of the ranks by two distances, or the one that there is."""
    if first is None or second is None:
        return second if first is None else first
    total = np.zeros(len(first))
    for gap in (first, second):
        total += np.searchsorted(np.sort(gap), gap)
    return total
