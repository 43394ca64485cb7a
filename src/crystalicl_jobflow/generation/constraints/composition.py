"""What the atoms of a crystal must add up to, as a target the orbits are held against."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from pymatgen.core import Composition, Element

from crystalicl_jobflow.generation.constraints.feasibility import (
    Copies,
    can_hold,
    can_share,
    fewest_orbits,
    group_sites,
    least_uses,
    orbit_counts,
)
from crystalicl_jobflow.schemas import Condition, Range

Counts = tuple[tuple[str, int], ...]
"""Atoms written so far per element, in the primitive cell, sorted by element."""

ELEMENTS: tuple[str, ...] = tuple(Element.from_Z(z).symbol for z in range(1, 119))
"""Elements in the order of their atomic numbers."""


@dataclass(frozen=True)
class Budget:
    """How much may be in one primitive cell.

    Attributes
    ----------
    least, most
        Atoms, in the end.
    orbits
        Orbits still to be written, at most.
    """

    least: int
    most: int
    orbits: int


class Target(Protocol):
    """What the composition must become."""

    def elements(self, counts: Counts) -> Collection[str]:
        """Return the elements of which an orbit may come next, as far as kinds go."""
        ...

    def kind(self, element: str, counts: Counts) -> Hashable:
        """Return what matters about an element: of equal kinds, all are equally possible."""
        ...

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether the atoms written are what is asked for."""
        ...

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether orbits of a group, fixed ones as left, can complete the atoms."""
        ...

    def least_atoms(self) -> int:
        """Return the fewest atoms in a primitive cell that can be what is asked for."""
        ...


def _multiples(unit: int, written: int, budget: Budget) -> range:
    """Return the numbers of formula units that are within the limits."""
    first = max(1, -(-max(budget.least, written) // unit))
    return range(first, budget.most // unit + 1)


def _fits(number: int, remainders: Iterable[int], copies: Copies, budget: Budget) -> bool:
    """Return whether orbits can hold what is left of each element."""
    left = [n for n in remainders if n]
    if not can_hold(number, left, copies):
        return False
    # each orbit holds an atom at least
    return sum(left) <= budget.orbits or (
        fewest_orbits(number, tuple(sorted(left, reverse=True)), copies) <= budget.orbits
    )


Steps = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""Per element that may come next, the multiplicities possible for it: indices into
`GroupSites.free_multiplicities` and into `GroupSites.fixed_multiplicities`."""


def next_steps(
    target: Target, number: int, counts: Counts, copies: Copies, budget: Budget
) -> Steps:
    """Return which orbits may come next, by trying each kind of orbit for each element.

    Parameters
    ----------
    target
        What the composition must become.
    number
        Space-group number.
    counts, copies
        What is written, and the fixed positions left.
    budget
        Limits with the next orbit taken.
    """
    sites = group_sites(number)
    written = dict(counts)
    known: dict[Hashable, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    steps: Steps = {}
    for name in target.elements(counts):
        kind = target.kind(name, counts)
        if kind not in known:

            def possible(size: int, copies: Copies, name: str = name) -> bool:
                after = counts_of(written | {name: written.get(name, 0) + size})
                return target.is_feasible(number, after, copies, budget)

            known[kind] = (
                tuple(
                    k for k, size in enumerate(sites.free_multiplicities) if possible(size, copies)
                ),
                tuple(
                    k
                    for k, size in enumerate(sites.fixed_multiplicities)
                    if copies[k] and possible(size, without(copies, k))
                ),
            )
        if any(known[kind]):
            steps[name] = known[kind]
    return steps


def without(copies: Copies, kind: int) -> Copies:
    """Return the copies with one fewer of a kind."""
    return (*copies[:kind], copies[kind] - 1, *copies[kind + 1 :])


@dataclass(frozen=True)
class FormulaTarget:
    """A formula, any number of times: amounts per element without common divisor."""

    amounts: tuple[tuple[str, int], ...]

    @cached_property
    def _amounts(self) -> dict[str, int]:
        return dict(self.amounts)

    @cached_property
    def _unit(self) -> int:
        return sum(self._amounts.values())

    def elements(self, counts: Counts) -> Collection[str]:
        """Return the elements of the formula."""
        return self._amounts

    def kind(self, element: str, counts: Counts) -> Hashable:
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
        for times in _multiples(self._unit, sum(written.values()), budget):
            left = [times * n - written.get(name, 0) for name, n in self.amounts]
            if min(left) >= 0 and _fits(number, left, copies, budget):
                return True
        return False

    def next_steps(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> Steps:
        """Return the same as the function `next_steps`, faster: shares work among orbits.

        Leaves the limit on orbits out of account.
        """
        written = dict(counts)
        have = [written.get(name, 0) for name, _ in self.amounts]
        kinds = _orbit_kinds(number, copies)
        pending = [list(kinds) for _ in have]
        found: list[tuple[list[int], list[int]]] = [([], []) for _ in have]
        for times in _multiples(self._unit, sum(have), budget):
            left = [times * n - w for (_, n), w in zip(self.amounts, have, strict=True)]
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
        return {
            name: (tuple(free), tuple(fixed))
            for (name, _), (free, fixed) in zip(self.amounts, found, strict=True)
            if free or fixed
        }


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
        Of the letters.
    allowed
        Elements that may be used.
    required
        Elements that must be.
    """

    amounts: tuple[int, ...]
    allowed: frozenset[str]
    required: frozenset[str] = frozenset()

    def elements(self, counts: Counts) -> Collection[str]:
        """Return the elements present, and others while a letter is left for them."""
        present = {name for name, _ in counts}
        letters_left = len(self.amounts) - len(present)
        missing = self.required - present
        if letters_left <= 0:
            return present
        return present | missing if len(missing) >= letters_left else self.allowed

    def kind(self, element: str, counts: Counts) -> Hashable:
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
        for times in _multiples(unit, sum(written), budget):
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
    """A set of elements, in whatever amounts.

    Attributes
    ----------
    allowed
        Elements that may be used.
    required
        Elements that must be.
    """

    allowed: frozenset[str]
    required: frozenset[str] = frozenset()

    def elements(self, counts: Counts) -> Collection[str]:
        """Return the elements that may be used."""
        return self.allowed

    def kind(self, element: str, counts: Counts) -> Hashable:
        """Return how many atoms there are of it, and whether it must be there."""
        return dict(counts).get(element, 0), element in self.required

    def least_atoms(self) -> int:
        """Return one atom for each element that must be there."""
        return max(1, len(self.required))

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether all that must be there is, within the limits."""
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
        # numbers of orbits that will do, as bits: from `missing` to `budget.orbits`
        wanted = (1 << (budget.orbits + 1)) - (1 << missing)
        written = sum(n for _, n in counts)
        return any(
            orbit_counts(number, total - written, copies) & wanted
            for total in range(max(budget.least, written), budget.most + 1)
        )


def amounts_of(formula: str) -> dict[str, int]:
    """Return the amounts of a formula without common divisor (O2 is O)."""
    amounts = {e.symbol: round(n) for e, n in Composition(formula).items()}
    divisor = math.gcd(*amounts.values())
    return {name: n // divisor for name, n in amounts.items()}


def anonymous_amounts(anonymous_formula: str) -> tuple[int, ...]:
    """Return the amounts of an anonymised formula without common divisor, rising."""
    stand_ins = {chr(ord("A") + i): name for i, name in enumerate(ELEMENTS[:26])}
    formula = "".join(stand_ins.get(char, char) for char in anonymous_formula)
    return tuple(sorted(amounts_of(formula).values()))


def target_of(condition: Condition, writable: Collection[str] = ELEMENTS) -> Target:
    """Return what a condition asks of the composition.

    Parameters
    ----------
    condition
        What is asked for.
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


def atoms_asked(num_sites: int | Range | None, max_atoms: int) -> tuple[int, int]:
    """Return the least and the most atoms in the primitive cell."""
    if num_sites is None:
        return 1, max_atoms
    if isinstance(num_sites, int):
        return num_sites, min(num_sites, max_atoms)
    least = 1 if num_sites.min is None else math.ceil(num_sites.min)
    most = max_atoms if num_sites.max is None else min(math.floor(num_sites.max), max_atoms)
    return max(1, least), most


def counts_of(written: Mapping[str, int]) -> Counts:
    """Return counts in the order that targets expect."""
    return tuple(sorted(written.items()))
