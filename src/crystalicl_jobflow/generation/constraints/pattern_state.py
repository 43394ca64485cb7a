"""One text under a constraint of which parts are given.

The next orbit is either the next given one or, where the pattern has a gap, a further one. Both
are allowed side by side until the orbit is written; it counts as the given one where it can be
that. Given points are taken from the first orbit on: nothing is put too near to them.
"""

from __future__ import annotations

import numpy as np

from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS, counts_of
from crystalicl_jobflow.generation.constraints.fields import Mask, VocabularyTables
from crystalicl_jobflow.generation.constraints.landing import NOWHERE
from crystalicl_jobflow.generation.constraints.packing import site_orbit
from crystalicl_jobflow.generation.constraints.pattern_plan import (
    PatternChoices,
    PatternPlan,
    Reached,
)
from crystalicl_jobflow.generation.constraints.pattern_rules import GroupRules, SiteRule
from crystalicl_jobflow.generation.constraints.plan import (
    COORDINATE_VALUES,
    LETTER_VALUES,
    WYCKOFF_LETTERS,
    Choices,
)
from crystalicl_jobflow.generation.constraints.text_fields import Phase
from crystalicl_jobflow.generation.constraints.text_state import SGSState


class PatternState(SGSState):
    """The tokens that are still allowed in one row whose text has to fit a pattern.

    Parameters
    ----------
    plan
        What condition and pattern allow.
    tables
        The vocabulary's tokens by field.
    """

    _plan: PatternPlan
    _choices: Choices
    _rules: GroupRules

    def __init__(self, plan: PatternPlan, tables: VocabularyTables) -> None:
        self._place = 0  # of the next item of the pattern
        self._site_letters = 0  # positions of the next given orbit, where the element fits
        super().__init__(plan, tables)

    # -- cell ----------------------------------------------------------------------------

    def _take_group(self, value: int, _force: bool) -> bool:
        self._rules = self._plan.rules(value + 1)
        return super()._take_group(value, _force)

    def _enter_length(self) -> None:
        super()._enter_length()
        self._narrow(self._rules.lengths[len(self._lengths)])

    def _enter_angle(self) -> None:
        super()._enter_angle()
        self._narrow(self._rules.angles[len(self._angles)])

    def _narrow(self, given: Mask | None) -> None:
        if given is not None:
            both = self._mask & given
            # what is given counts more than the wish for a large cell
            self._mask = both if both.any() else given & self._table.writable

    # -- orbits --------------------------------------------------------------------------

    def _start_orbits(self) -> None:
        for rule in self._rules.after(0):
            if rule.point is not None:
                orbit = site_orbit(self.number, rule.point)
                radius = _smallest_radius(rule)
                self._packing.place(orbit, radius)
                self._blocked |= self._packing.blocked(
                    self._left(self._blocked), orbit, radius, self._plan.smallest_radius
                )
        super()._start_orbits()

    def _left(self, blocked: int) -> int:
        return super()._left(blocked) & ~self._rules.reserved(self._place)

    def _reached(self, blocked: int) -> Reached:
        return Reached(
            self._place, counts_of(self.counts), self._left(blocked), self._most, self._orbits
        )

    def _find_choices(self, blocked: int) -> Choices:
        return self._plan.pattern_choices(self.number, self._reached(blocked))

    def _next_rule(self) -> tuple[int, SiteRule] | None:
        return self._rules.next_site(self._place)

    def _take_element(self, value: int, _force: bool) -> bool:
        choices = self._choices
        assert isinstance(choices, PatternChoices)
        self._element = value
        self._site_letters = choices.site_letters.get(value, 0)
        self._letters = choices.free_letters.get(value, 0)
        left = self._left(self._blocked)
        for kind in choices.fixed_kinds.get(value, ()):
            self._letters |= self._sites.fixed_masks[kind] & left
        if self._plan.with_letters:
            self._enter_letter()
        else:
            self._enter_coordinate(Phase.X)
        return True

    def _enter_letter(self) -> None:
        gap = self._letters
        self._letters |= self._site_letters
        super()._enter_letter()
        self._letters = gap

    def _take_letter(self, value: int, _force: bool) -> bool:
        letter = 1 << WYCKOFF_LETTERS.index(LETTER_VALUES.strings[value][-1])
        self._letters &= letter
        self._site_letters &= letter
        self._enter_coordinate(Phase.X)
        return True

    def _enter_coordinate(self, phase: Phase) -> None:
        table = self._tables.table(COORDINATE_VALUES, self._line if phase is Phase.X else " ")
        mask = np.zeros(len(COORDINATE_VALUES), dtype=bool)
        if self._letters:
            super()._enter_coordinate(phase)
            mask = self._mask
        self._enter(phase, table, mask | self._site_mask(phase))

    def _site_mask(self, phase: Phase) -> Mask:
        """Return the values with which the orbit can still be the next given one."""
        following = self._next_rule()
        if following is None or not self._site_letters:
            return np.zeros(len(COORDINATE_VALUES), dtype=bool)
        cube = following[1].cube(self._site_letters)
        if phase is Phase.X:
            return np.asarray(cube.any((1, 2)))
        if phase is Phase.Y:
            return np.asarray(cube[self._x].any(1))
        return np.asarray(cube[self._x, self._y])

    def _may_be_site(self, x: int, y: int | None) -> bool:
        following = self._next_rule()
        if following is None or not self._site_letters:
            return False
        cube = following[1].cube(self._site_letters)
        return bool(cube[x].any() if y is None else cube[x, y].any())

    def _leads_somewhere(self, x: int, y: int | None) -> bool:
        following = self._next_rule()
        if following is None or not self._may_be_site(x, y):
            return super()._leads_somewhere(x, y)
        if following[1].point is not None:
            return True
        gap = self._letters
        self._letters |= self._site_letters
        found = super()._leads_somewhere(x, y)
        self._letters = gap
        return found

    def _narrow_z(self) -> None:
        following = self._next_rule()
        if (
            following is not None
            and following[1].point is not None
            and self._may_be_site(self._x, self._y)
        ):
            return  # the given point itself stands where there is no room
        super()._narrow_z()

    def _given_orbit(self, z: int) -> tuple[int, SiteRule] | None:
        """Return the next given orbit with its place, where z completes a point of it."""
        following = self._next_rule()
        if following is None or not self._site_letters:
            return None
        fits = following[1].cube(self._site_letters)[self._x, self._y, z]
        return following if fits else None

    def _after(self, z: int) -> tuple[float, int, int, Choices]:
        point = (self._x, self._y, z)
        index = self._landing.index(*point)
        assert index != NOWHERE
        given = self._given_orbit(z)
        place = self._place if given is None else given[0] + 1
        name = ELEMENTS[self._element]
        counts = dict(self.counts)
        counts[name] = counts.get(name, 0) + self._sites.multiplicities[index]
        taken = self._used | self._blocked | 1 << index | self._rules.reserved(place)
        left = self._sites.fixed & ~taken
        room, near = 1.0, 0
        if given is None or given[1].point is None:  # the others are placed already
            orbit = site_orbit(self.number, point)
            room = self._packing.room(orbit, self._radius)
            near = self._packing.blocked(left, orbit, self._radius, self._plan.smallest_radius)
        reached = Reached(place, counts_of(counts), left & ~near, self._most, self._orbits + 1)
        choices = self._plan.pattern_choices(self.number, reached)
        return room, index, self._blocked | near, choices

    def _settle(self, z: int) -> None:
        given = self._given_orbit(z)
        if given is None or given[1].point is None:  # the others are placed already
            super()._settle(z)
        if given is not None:
            self._place = given[0] + 1


def _smallest_radius(rule: SiteRule) -> float:
    return min(atomic_radius(name) for name in rule.elements or ELEMENTS)
