"""Which orbits may come next in a text of which parts are given."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from crystalicl_jobflow.generation.constraints.budget import (
    ELEMENTS,
    Counts,
    Target,
    counts_of,
    without,
)
from crystalicl_jobflow.generation.constraints.feasibility import Copies, GroupSites
from crystalicl_jobflow.generation.constraints.pattern_rules import (
    GapRule,
    GroupRules,
    SiteRule,
    resolve,
)
from crystalicl_jobflow.generation.constraints.plan import ELEMENT_VALUES, Choices, Plan
from crystalicl_jobflow.generation.constraints.targets import (
    AnonymousTarget,
    FormulaTarget,
    GrowingTarget,
    SystemTarget,
)
from crystalicl_jobflow.text.pattern import SGSPattern

MOST_TRIED = 5_000
"""Ways of filling open orbits that are tried before one is taken to exist."""


@dataclass(frozen=True, eq=False)
class PatternChoices(Choices):
    """Allowed continuations after a complete orbit: further ones, and the next given one.

    Attributes
    ----------
    site_letters
        Per element index: positions that the next given orbit may take, as bits. The other
        attributes are those of an orbit in the gap before it.
    """

    site_letters: dict[int, int] = field(default_factory=dict)

    @property
    def is_dead_end(self) -> bool:
        """Whether nothing may follow."""
        return not self.may_end and not self.elements.any()


@dataclass(frozen=True, eq=False)
class Reached:
    """How far a text has come.

    Attributes
    ----------
    place
        Of the next item of the pattern.
    counts
        Atoms written.
    left
        Fixed positions that no orbit has or will have for sure, as bits.
    most
        Maximum number of atoms in the primitive cell.
    orbits
        Orbits written.
    """

    place: int
    counts: Counts
    left: int
    most: int
    orbits: int


@dataclass(eq=False, kw_only=True)
class PatternPlan(Plan):
    """A plan whose texts also fit a pattern.

    Parameters
    ----------
    pattern
        What is given of the text.
    """

    pattern: SGSPattern
    _rules: dict[int, GroupRules] = field(default_factory=dict)
    _found: dict[tuple[object, ...], PatternChoices] = field(default_factory=dict)

    def rules(self, number: int) -> GroupRules:
        """Return what the pattern allows in a group.

        Raises
        ------
        PatternError
            If no crystal of the group fits; one line.
        """
        found = self._rules.get(number)
        if found is None:
            found = resolve(self.pattern, number, self.lengths, self.angles)
            self._rules[number] = found
        return found

    def is_possible(self, number: int, most: int | None = None) -> bool:
        """Return whether pattern and target can be met in a group with at most this many atoms."""
        rules = self.rules(number)
        start = Reached(
            0, (), rules.sites.fixed & ~rules.reserved(0), self.most if most is None else most, 0
        )
        return _Tail(self, rules, start).can_finish()

    def pattern_choices(self, number: int, reached: Reached) -> PatternChoices:
        """Return what may come next.

        Parameters
        ----------
        number
            Space-group number.
        reached
            How far the text has come.
        """
        key = (number, reached.place, reached.counts, reached.left, reached.most, reached.orbits)
        found = self._found.get(key)
        if found is None:
            if len(self._found) > 100_000:
                self._found.clear()
            found = self._found[key] = self._choices_after(self.rules(number), reached)
        return found

    def _choices_after(self, rules: GroupRules, reached: Reached) -> PatternChoices:
        sites = rules.sites
        mask = np.zeros(len(ELEMENTS), dtype=bool)
        free: dict[int, int] = {}
        fixed: dict[int, tuple[int, ...]] = {}
        letters: dict[int, int] = {}
        gap = rules.gap(reached.place)
        if gap is not None:
            for name, free_kinds, fixed_kinds in self._gap_steps(rules, gap, reached):
                index = ELEMENT_VALUES.index[name]
                mask[index] = True
                free[index] = sum(sites.free_masks[k] for k in free_kinds)
                fixed[index] = fixed_kinds
        following = rules.next_site(reached.place)
        if following is not None:
            for name, bits in self._site_steps(rules, *following, reached):
                index = ELEMENT_VALUES.index[name]
                mask[index] = True
                letters[index] = bits
        mask.flags.writeable = False
        may_end = following is None and self.target.is_complete(
            reached.counts, self.budget(reached.most, reached.orbits)
        )
        return PatternChoices(mask, free, fixed, may_end, letters)

    def _gap_steps(
        self, rules: GroupRules, gap: GapRule, reached: Reached
    ) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
        """Yield what a further orbit may be: element, free and fixed multiplicities."""
        sites = rules.sites
        copies = sites.copies(reached.left)
        tail = _Tail(self, rules, reached)
        known: dict[object, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        for name in self._names(gap.elements, tail.counts):
            kind = (self.target.kind(name, tail.counts), tail.mentions(name))
            if kind not in known:
                known[kind] = (
                    tuple(
                        k
                        for k, size in enumerate(sites.free_multiplicities)
                        if tail.can_finish(name, size, copies)
                    ),
                    tuple(
                        k
                        for k, size in enumerate(sites.fixed_multiplicities)
                        if copies[k] and tail.can_finish(name, size, without(copies, k))
                    ),
                )
            if any(known[kind]):
                yield name, *known[kind]

    def _site_steps(
        self, rules: GroupRules, place: int, site: SiteRule, reached: Reached
    ) -> Iterator[tuple[str, int]]:
        """Yield what the next given orbit may be: element and positions."""
        sites = rules.sites
        tail = _Tail(self, rules, replace(reached, place=place + 1))
        if site.is_known:
            # it is part of what was planned from the first orbit on
            name, size = site.element, site.size
            assert name is not None
            assert size is not None
            if tail.can_finish(name, size, sites.copies(reached.left)):
                yield name, site.positions
            return
        for name in self._names(site.elements, tail.counts):
            bits = 0
            for part, size, copies in _ways(sites, site, sites.copies(reached.left), reached.left):
                if tail.can_finish(name, size, copies):
                    bits |= part
            if bits:
                yield name, bits

    def _names(self, asked: Collection[str] | None, counts: Counts) -> list[str]:
        """Return the elements that an orbit may be of, in the order of `ELEMENTS`."""
        possible = set(self.target.elements(counts))
        if asked is not None:
            possible &= set(asked)
        return [name for name in ELEMENTS if name in possible]


def _ways(
    sites: GroupSites, site: SiteRule, copies: Copies, left: int
) -> Iterator[tuple[int, int, Copies]]:
    """Yield where an orbit may lie: positions as bits, its size, the copies after it."""
    if site.reserved:
        assert site.size is not None
        yield site.positions, site.size, copies  # nobody else could take it
        return
    for mask, size in zip(sites.free_masks, sites.free_multiplicities, strict=True):
        if site.positions & mask:
            yield site.positions & mask, size, copies
    for k, (mask, size) in enumerate(
        zip(sites.fixed_masks, sites.fixed_multiplicities, strict=True)
    ):
        if site.positions & mask & left and copies[k]:
            yield site.positions & mask & left, size, without(copies, k)


class _Tail:
    """The rest of a text: its known orbits counted already, its open ones to be filled."""

    def __init__(self, plan: PatternPlan, rules: GroupRules, reached: Reached) -> None:
        self._plan = plan
        self._sites = rules.sites
        self._left = reached.left
        self._most = reached.most
        ahead = rules.after(reached.place)
        self._open = [site for site in ahead if not site.is_known]
        written = dict(reached.counts)
        for site in ahead:
            if site.is_known:
                assert site.element is not None
                assert site.size is not None
                written[site.element] = written.get(site.element, 0) + site.size
        self.counts = counts_of(written)
        self._orbits = reached.orbits + len(ahead) - len(self._open)
        gaps = [item for item in rules.items[reached.place :] if isinstance(item, GapRule)]
        self._may_grow = bool(gaps)
        self._growth: frozenset[str] | None = None
        if gaps and all(gap.elements is not None for gap in gaps):
            self._growth = frozenset().union(*(gap.elements or () for gap in gaps))

    def mentions(self, name: str) -> tuple[bool, ...]:
        """Return which restrictions ahead name an element: two with the same are alike here."""
        return (
            self._growth is not None and name in self._growth,
            *(site.elements is not None and name in site.elements for site in self._open),
        )

    def can_finish(self, name: str = "", size: int = 0, copies: Copies | None = None) -> bool:
        """Return whether the rest can be written, after one more orbit of an element."""
        counts, orbits = self.counts, self._orbits
        if size:
            written = dict(counts)
            written[name] = written.get(name, 0) + size
            counts, orbits = counts_of(written), orbits + 1
        if copies is None:
            copies = self._sites.copies(self._left)
        self._tried = 0
        return self._fill(0, counts, copies, orbits)

    def _fill(self, number: int, counts: Counts, copies: Copies, orbits: int) -> bool:
        """Return whether the open orbits from one on can be filled."""
        self._tried += 1
        if self._tried > MOST_TRIED:
            return True
        plan = self._plan
        if sum(n for _, n in counts) > self._most:
            return False
        if number == len(self._open):
            budget = plan.budget(self._most, orbits)
            if not self._may_grow:
                return plan.target.is_complete(counts, budget)
            target = (
                plan.target if self._growth is None else _limited(plan.target, counts, self._growth)
            )
            return target is not None and target.is_feasible(
                self._sites.number, counts, copies, budget
            )
        site = self._open[number]
        written = dict(counts)
        for name in plan._names(site.elements, counts):
            for _, size, after in _ways(self._sites, site, copies, self._left):
                more = counts_of(written | {name: written.get(name, 0) + size})
                if self._fill(number + 1, more, after, orbits + 1):
                    return True
        return False


def _limited(target: Target, counts: Counts, growth: frozenset[str]) -> Target | None:
    """Return a target whose further orbits are of some elements only; None if it cannot be met."""
    present = {name for name, _ in counts}
    if isinstance(target, FormulaTarget):
        return GrowingTarget(target.amounts, growth)
    if isinstance(target, SystemTarget | AnonymousTarget):
        if target.required - present - growth:
            return None
        return replace(target, allowed=target.allowed & (present | growth))
    return target
