"""Compositions that a condition may request: a formula, an anonymised one, a set of elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from crystalicl_jobflow.generation.constraints.budget import (
    ELEMENTS,
    Budget,
    Counts,
    Steps,
    Target,
    amounts_of,
    anonymous_amounts,
    without,
)
from crystalicl_jobflow.generation.constraints.feasibility import (
    Copies,
    can_hold,
    can_share,
    fewest_orbits,
    group_sites,
    least_uses,
    orbit_counts,
)
from crystalicl_jobflow.schemas import Condition


def _multiples(unit: int, written: int, least: int, most: int) -> range:
    """Return the numbers of formula units that are within the limits."""
    first = max(1, -(-max(least, written) // unit))
    return range(first, most // unit + 1)


def _fits(number: int, remainders: Iterable[int], copies: Copies, budget: Budget) -> bool:
    """Return whether orbits can hold the remaining atoms of each element."""
    left = [n for n in remainders if n]
    if not can_hold(number, left, copies):
        return False
    # each orbit holds at least one atom
    return sum(left) <= budget.orbits or (
        fewest_orbits(number, tuple(sorted(left, reverse=True)), copies) <= budget.orbits
    )


@dataclass(frozen=True)
class FormulaTarget:
    """Any number of formula units: amounts per element without common divisor."""

    amounts: tuple[tuple[str, int], ...]

    @cached_property
    def _amounts(self) -> dict[str, int]:
        return dict(self.amounts)

    @cached_property
    def _unit(self) -> int:
        return sum(self._amounts.values())

    def elements(self, _counts: Counts, /) -> Collection[str]:
        """Return the elements of the formula."""
        return self._amounts

    def kind(self, element: str, _counts: Counts, /) -> Hashable:
        """Return the element itself."""
        return element

    def least_atoms(self) -> int:
        """Return the atoms of one formula unit."""
        return self._unit

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether the atoms are a whole number of formula units."""
        written = dict(counts)
        total = sum(written.values())
        times, rest = divmod(total, self._unit)
        return (
            rest == 0
            and budget.least <= total <= budget.most
            and all(written.get(name, 0) == times * n for name, n in self.amounts)
            and times > 0
        )

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether some number of formula units can be completed."""
        written = dict(counts)
        if any(name not in self._amounts for name in written):
            return False
        for times in _multiples(self._unit, sum(written.values()), budget.least, budget.most):
            left = [times * n - written.get(name, 0) for name, n in self.amounts]
            if min(left) >= 0 and _fits(number, left, copies, budget):
                return True
        return False

    def next_steps(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> Steps:
        """Return the same as the function `next_steps`, but faster: work is shared among orbits.

        Ignores the limit on orbits.
        """
        written = dict(counts)
        # the same amounts of other elements give the same steps
        order = sorted((n, written.get(name, 0), name) for name, n in self.amounts)
        found = _formula_steps(
            number,
            tuple((n, have) for n, have, _ in order),
            copies,
            (budget.least, budget.most),
        )
        steps = {name: kinds for (_, _, name), kinds in zip(order, found, strict=True)}
        return {name: steps[name] for name, _ in self.amounts if steps[name][0] or steps[name][1]}


@dataclass(frozen=True)
class GrowingTarget(FormulaTarget):
    """A formula whose further orbits are of some of its elements only.

    Attributes
    ----------
    growth
        Elements of further orbits.
    """

    growth: frozenset[str] = frozenset()

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether the formula can be completed with these elements."""
        written = dict(counts)
        if any(name not in self._amounts for name in written):
            return False
        for times in _multiples(self._unit, sum(written.values()), budget.least, budget.most):
            left = {name: times * n - written.get(name, 0) for name, n in self.amounts}
            grows = all(n == 0 or (n > 0 and name in self.growth) for name, n in left.items())
            if grows and _fits(number, left.values(), copies, budget):
                return True
        return False


@lru_cache(maxsize=1 << 16)
def _formula_steps(
    number: int,
    elements: tuple[tuple[int, int], ...],
    copies: Copies,
    limits: tuple[int, int],
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Return the kinds of orbits that may come next, for each element.

    Parameters
    ----------
    number
        Space-group number.
    elements
        Amount of each element in the formula, and its atoms written.
    copies
        Fixed positions left, per multiplicity.
    limits
        Least and largest number of atoms.
    """
    have = [written for _, written in elements]
    kinds = _orbit_kinds(number, copies)
    pending = [list(kinds) for _ in have]
    found: list[tuple[list[int], list[int]]] = [([], []) for _ in have]
    for times in _multiples(sum(n for n, _ in elements), sum(have), *limits):
        left = [times * n - written for n, written in elements]
        if min(left) < 0:
            continue
        uses = [least_uses(number, n) for n in left]
        if not all(uses):
            continue
        # elements that need fixed positions
        needing = [(i, use) for i, use in enumerate(uses) if any(use[0])]
        for i, most in enumerate(left):
            others = [use for j, use in needing if j != i]
            still = []
            for kind in pending[i]:
                is_fixed, k, size, rest = kind
                use = least_uses(number, most - size) if size <= most else ()
                if use and any(use[0]):
                    good = can_share((*others, use), rest)
                else:
                    good = bool(use) and (not others or can_share(tuple(others), rest))
                if good:
                    found[i][is_fixed].append(k)
                else:
                    still.append(kind)
            pending[i] = still
        if not any(pending):
            break
    return tuple((tuple(free), tuple(fixed)) for free, fixed in found)


@lru_cache(maxsize=1 << 14)
def _orbit_kinds(number: int, copies: Copies) -> tuple[tuple[int, int, int, Copies], ...]:
    """Return for each kind of orbit: fixed or not, its index, its size, the copies after it."""
    sites = group_sites(number)
    free = [(0, k, size, copies) for k, size in enumerate(sites.free_multiplicities)]
    fixed = [
        (1, k, size, without(copies, k))
        for k, size in enumerate(sites.fixed_multiplicities)
        if copies[k]
    ]
    return (*free, *fixed)


@dataclass(frozen=True)
class AnonymousTarget:
    """An anonymised formula: amounts without common divisor, elements open.

    Attributes
    ----------
    amounts
        Amounts of the letters.
    allowed
        Elements that may be used.
    required
        Elements that must be.
    """

    amounts: tuple[int, ...]
    allowed: frozenset[str]
    required: frozenset[str] = frozenset()

    def elements(self, counts: Counts, /) -> Collection[str]:
        """Return the elements present, and others while a letter is left for them."""
        present = {name for name, _ in counts}
        letters_left = len(self.amounts) - len(present)
        missing = self.required - present
        if letters_left <= 0:
            return present
        return present | missing if len(missing) >= letters_left else self.allowed

    def kind(self, element: str, counts: Counts, /) -> Hashable:
        """Return how many atoms there are of it, and whether it must be there."""
        return dict(counts).get(element, 0), element in self.required

    def least_atoms(self) -> int:
        """Return the atoms of one formula unit."""
        return sum(self.amounts)

    def _may_become(self, counts: Counts) -> bool:
        present = {name for name, _ in counts}
        letters_left = len(self.amounts) - len(present)
        return present <= self.allowed and letters_left >= len(self.required - present)

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether the atoms are a whole number of formula units of some assignment."""
        written = sorted(n for _, n in counts)
        divisor = math.gcd(*written) if written else 0
        return (
            divisor > 0
            and [n // divisor for n in written] == sorted(self.amounts)
            and budget.least <= sum(written) <= budget.most
            and self._may_become(counts)
        )

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether some assignment of elements to letters can be completed."""
        if not self._may_become(counts):
            return False
        written = sorted(n for _, n in counts)
        unit = sum(self.amounts)
        for times in _multiples(unit, sum(written), budget.least, budget.most):
            for letters in set(itertools.permutations(self.amounts, len(written))):
                left = [times * n - w for n, w in zip(letters, written, strict=True)]
                if left and min(left) < 0:
                    continue
                others = list(self.amounts)
                for n in letters:
                    others.remove(n)
                left += [times * n for n in others]
                if _fits(number, left, copies, budget):
                    return True
        return False


@dataclass(frozen=True)
class SystemTarget:
    """A set of elements, in any amounts.

    Attributes
    ----------
    allowed
        Elements that may be used.
    required
        Elements that must be.
    """

    allowed: frozenset[str]
    required: frozenset[str] = frozenset()

    def elements(self, _counts: Counts, /) -> Collection[str]:
        """Return the elements that may be used."""
        return self.allowed

    def kind(self, element: str, counts: Counts, /) -> Hashable:
        """Return how many atoms there are of it, and whether it must be there."""
        return dict(counts).get(element, 0), element in self.required

    def least_atoms(self) -> int:
        """Return one atom for each element that must be there."""
        return max(1, len(self.required))

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether all required elements are present, within the limits."""
        present = {name for name, _ in counts}
        return (
            bool(present)
            and self.required <= present <= self.allowed
            and budget.least <= sum(n for _, n in counts) <= budget.most
        )

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether the missing elements and the asked number of atoms can be reached."""
        present = {name for name, _ in counts}
        if not present <= self.allowed:
            return False
        missing = max(len(self.required - present), 0 if present else 1)
        if missing > budget.orbits:
            return False
        # possible numbers of orbits, as bits: from `missing` to `budget.orbits`
        wanted = (1 << (budget.orbits + 1)) - (1 << missing)
        written = sum(n for _, n in counts)
        return any(
            orbit_counts(number, total - written, copies) & wanted
            for total in range(max(budget.least, written), budget.most + 1)
        )


def target_of(condition: Condition, writable: Collection[str] = ELEMENTS) -> Target:
    """Return the composition that a condition requests.

    Parameters
    ----------
    condition
        The requested condition.
    writable
        Elements that the model can write.
    """
    if condition.formula is not None:
        return FormulaTarget(tuple(sorted(amounts_of(condition.formula).items())))
    required = frozenset(condition.elements or ())
    allowed = frozenset(writable)
    if condition.chemsys is not None:
        required = allowed = frozenset(condition.chemsys.split("-"))
    if condition.anonymous_formula is not None:
        return AnonymousTarget(anonymous_amounts(condition.anonymous_formula), allowed, required)
    return SystemTarget(allowed, required)
