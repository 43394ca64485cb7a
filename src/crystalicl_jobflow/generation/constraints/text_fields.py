"""The fields of one text: their allowed values, and the effect of a value on later fields.

A text is a sequence of fields: the space group, three lengths, three angles, then for
each orbit the element, its Wyckoff position (in texts that write them) and three
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cache

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS, counts_of
from crystalicl_jobflow.generation.constraints.cell_values import angle_mask, length_mask
from crystalicl_jobflow.generation.constraints.feasibility import GroupSites, group_sites
from crystalicl_jobflow.generation.constraints.fields import (
    FieldTable,
    Mask,
    VocabularyTables,
)
from crystalicl_jobflow.generation.constraints.landing import NOWHERE, Landing, landing
from crystalicl_jobflow.generation.constraints.packing import (
    Packing,
    cell_matrix,
    few_places,
    site_orbit,
)
from crystalicl_jobflow.generation.constraints.plan import (
    COORDINATE_VALUES,
    ELEMENT_VALUES,
    GROUP_VALUES,
    LETTER_VALUES,
    WYCKOFF_LETTERS,
    Choices,
    Plan,
)


class Phase(IntEnum):
    """Fields in the order of a text; lengths and angles repeat three times."""

    GROUP = 0
    LENGTH = 1
    ANGLE = 2
    ELEMENT = 3
    LETTER = 4
    X = 5
    Y = 6
    Z = 7


class TextFields:
    """Allowed values of the current field of a text, and their consequences.

    Parameters
    ----------
    plan
        What the condition allows.
    tables
        The vocabulary's tokens by field.

    Attributes
    ----------
    relaxed
        Rules that could not be kept, in words; empty where all were kept.
    room
        Smallest ratio of a distance to its allowed minimum for the sites written, at most 1.
    counts
        Atoms written per element, in the primitive cell.
    number
        Space-group number, 0 before it is written.
    """

    _table: FieldTable
    _mask: Mask
    _packing: Packing
    _sites: GroupSites
    _landing: Landing
    _choices: Choices

    def __init__(self, plan: Plan, tables: VocabularyTables) -> None:
        self._plan = plan
        self._tables = tables
        self._line = "\n" + plan.options.line_prefix
        self._partial = ""  # the characters of the current field so far
        self.relaxed: tuple[str, ...] = ()
        self.room = 1.0
        self.number = 0
        self.counts: dict[str, int] = {}
        self._lengths: tuple[int, ...] = ()
        self._angles: tuple[int, ...] = ()
        self._most = plan.most
        self._used = 0
        self._blocked = 0
        self._orbits = 0
        self._element = 0
        self._letters = 0
        self._x = self._y = 0
        self._enter_group()

    def _enter(self, phase: Phase, table: FieldTable, mask: Mask) -> None:
        self._phase, self._table, self._mask, self._partial = phase, table, mask, ""

    def _enter_group(self) -> None:
        table = self._tables.table(GROUP_VALUES, self._plan.options.opening)
        mask = np.zeros(len(GROUP_VALUES), dtype=bool)
        mask[np.array(self._plan.groups) - 1] = True
        self._enter(Phase.GROUP, table, mask & table.writable)

    def _least_volume(self) -> float:
        atoms = self._plan.fewest_atoms(self.number)
        return self._plan.volume_per_atom * atoms * wyckoff.centring_multiplicity(self.number)

    def _enter_length(self) -> None:
        separator = " " if self._lengths else self._line
        table = self._tables.table(self._plan.lengths, separator)
        mask = length_mask(
            self.number, self._lengths, self._plan.lengths, table.writable, self._least_volume()
        )
        self._enter(Phase.LENGTH, table, mask)

    def _cell_lengths(self) -> tuple[float, float, float]:
        a, b, c = (float(self._plan.lengths.strings[i]) for i in self._lengths)
        return a, b, c

    def _enter_angle(self) -> None:
        separator = " " if self._angles else self._line
        table = self._tables.table(self._plan.angles, separator)
        a, b, c = self._cell_lengths()
        mask = angle_mask(
            self.number,
            a * b * c,
            self._angles,
            self._plan.angles,
            table.writable,
            self._least_volume(),
        )
        self._enter(Phase.ANGLE, table, mask)

    def _finish_lattice(self) -> None:
        options = self._plan.options
        alpha, beta, gamma = (float(self._plan.angles.strings[i]) for i in self._angles)
        matrix = cell_matrix(self.number, self._cell_lengths(), (alpha, beta, gamma))
        self._packing = Packing(
            self.number,
            matrix,
            min_distance=options.min_distance,
            radii_fraction=options.radii_fraction,
        )
        if self._plan.volume_per_atom:
            volume = float(matrix[0, 0] * matrix[1, 1] * matrix[2, 2])  # lower triangular
            centring = wyckoff.centring_multiplicity(self.number)
            fit = int(volume / centring / self._plan.volume_per_atom + 1e-9)
            self._most = max(self._plan.fewest_atoms(self.number), min(self._most, fit))
        self._landing = landing(self.number)
        self._sites = group_sites(self.number)
        self._start_orbits()

    def _start_orbits(self) -> None:
        self._enter_element(self._find_choices(self._blocked))

    def _left(self, blocked: int) -> int:
        return self._sites.fixed & ~(self._used | blocked)

    def _find_choices(self, blocked: int) -> Choices:
        return self._plan.choices(
            self.number, counts_of(self.counts), self._left(blocked), self._most, self._orbits
        )

    def _enter_element(self, choices: Choices) -> None:
        self._choices = choices
        table = self._tables.table(ELEMENT_VALUES, self._line)
        self._enter(Phase.ELEMENT, table, choices.elements)

    def _enter_letter(self) -> None:
        table = self._tables.table(LETTER_VALUES, " ")
        mask = np.zeros(len(LETTER_VALUES), dtype=bool)
        for index, position in enumerate(wyckoff.wyckoff_positions(self.number)):
            if self._letters >> index & 1:
                mask[LETTER_VALUES.index[f"{position.multiplicity}{position.letter}"]] = True
        self._enter(Phase.LETTER, table, mask)

    def _enter_coordinate(self, phase: Phase) -> None:
        table = self._tables.table(COORDINATE_VALUES, self._line if phase is Phase.X else " ")
        if phase is Phase.X:
            mask = self._landing.x_allowed(self._letters)
        elif phase is Phase.Y:
            mask = self._landing.y_allowed(self._x, self._letters)
        else:
            mask = self._landing.z_allowed(self._x, self._y, self._letters)
            if not table.is_atomic:
                # digits are chosen one by one: none may lead only to rejected values
                mask = self._packing.with_room(self._x, self._y, mask, self._radius)
        self._enter(phase, table, mask)

    def _commit(self, value: int, *, force: bool = False) -> bool:
        """Accept a value for the current field and go to the next one, or reject it."""
        return _TAKE[self._phase](self, value, force)

    def _take_group(self, value: int, _force: bool) -> bool:
        self.number = value + 1
        self._enter_length()
        return True

    def _take_length(self, value: int, _force: bool) -> bool:
        self._lengths = (*self._lengths, value)
        if len(self._lengths) < 3:
            self._enter_length()
        else:
            self._enter_angle()
        return True

    def _take_angle(self, value: int, _force: bool) -> bool:
        self._angles = (*self._angles, value)
        if len(self._angles) < 3:
            self._enter_angle()
        else:
            self._finish_lattice()
        return True

    def _take_element(self, value: int, _force: bool) -> bool:
        self._element = value
        self._letters = self._choices.free_letters[value]
        left = self._left(self._blocked)
        for kind in self._choices.fixed_kinds[value]:
            self._letters |= self._sites.fixed_masks[kind] & left
        if self._plan.with_letters:
            self._enter_letter()
        else:
            self._enter_coordinate(Phase.X)
        return True

    def _take_letter(self, value: int, _force: bool) -> bool:
        letter = LETTER_VALUES.strings[value][-1]
        self._letters = 1 << WYCKOFF_LETTERS.index(letter)
        self._enter_coordinate(Phase.X)
        return True

    def _take_x(self, value: int, force: bool) -> bool:
        if not force and not self._leads_somewhere(value, None):
            return False
        self._x = value
        self._enter_coordinate(Phase.Y)
        return True

    def _take_y(self, value: int, force: bool) -> bool:
        if not force and not self._leads_somewhere(self._x, value):
            return False
        self._y = value
        self._enter_coordinate(Phase.Z)
        return True

    # -- sites ---------------------------------------------------------------------------

    @property
    def _radius(self) -> float:
        return atomic_radius(ELEMENTS[self._element])

    def _after(self, z: int) -> tuple[float, int, int, Choices]:
        """Return what a site would do: its room, its bit, what it blocks, what may follow."""
        point = (self._x, self._y, z)
        index = self._landing.index(*point)
        assert index != NOWHERE
        orbit = site_orbit(self.number, point)
        room = self._packing.room(orbit, self._radius)
        left = self._left(self._blocked) & ~(1 << index)
        near = self._packing.blocked(left, orbit, self._radius, self._plan.smallest_radius)
        return room, index, self._blocked | near, self._choices_with(index, left & ~near)

    def _choices_with(self, index: int, left: int) -> Choices:
        """Return what may follow an orbit of the element on a position, with what is left."""
        name = ELEMENTS[self._element]
        counts = dict(self.counts)
        counts[name] = counts.get(name, 0) + self._sites.multiplicities[index]
        return self._plan.choices(
            self.number, counts_of(counts), left, self._most, self._orbits + 1
        )

    def _take_z(self, z: int, force: bool) -> bool:
        room, index, blocked, choices = self._after(z)
        if not force and (room < 1 or choices.is_dead_end):
            return False
        name = ELEMENTS[self._element]
        if room < 1:
            self._relax(f"distance of {name}")
            self.room = min(self.room, room)
        self.counts[name] = self.counts.get(name, 0) + self._sites.multiplicities[index]
        self._used |= 1 << index & self._sites.fixed
        self._orbits += 1
        self._settle(z)
        if choices.is_dead_end:
            # atoms too close are preferred to an incomplete crystal: fixed positions count as free
            # again
            blocked = 0
            choices = self._find_choices(0)
            self._relax("distance of fixed positions")
        self._blocked = blocked
        self._enter_element(choices)
        return True

    def _settle(self, z: int) -> None:
        """Put the orbit of a point where others are kept away from it."""
        self._packing.place(site_orbit(self.number, (self._x, self._y, z)), self._radius)

    def _relax(self, what: str) -> None:
        if what not in self.relaxed:
            self.relaxed = (*self.relaxed, what)

    def _leads_somewhere(self, x: int, y: int | None) -> bool:
        """Return False where all points that a coordinate can lead to are known to be too close.

        Checked only where these are few: on lines and points.
        """
        if not self.counts or (y is None and self._letters & ~_narrow(self.number)):
            return True
        places = few_places(self.number, self._letters, x, y)
        if places is None:
            return True
        radius = self._radius
        return any(self._packing.room(orbit, radius) >= 1 for orbit in places)


_TAKE: dict[Phase, Callable[[TextFields, int, bool], bool]] = {
    Phase.GROUP: lambda text, value, force: text._take_group(value, force),
    Phase.LENGTH: lambda text, value, force: text._take_length(value, force),
    Phase.ANGLE: lambda text, value, force: text._take_angle(value, force),
    Phase.ELEMENT: lambda text, value, force: text._take_element(value, force),
    Phase.LETTER: lambda text, value, force: text._take_letter(value, force),
    Phase.X: lambda text, value, force: text._take_x(value, force),
    Phase.Y: lambda text, value, force: text._take_y(value, force),
    Phase.Z: lambda text, value, force: text._take_z(value, force),
}
"""Handlers of each field's value: accept it and go to the next field, or reject it unless
forced."""


@cache
def _narrow(number: int) -> int:
    """Return a group's positions with at most one free parameter, as bits."""
    positions = wyckoff.wyckoff_positions(number)
    return sum(1 << i for i, p in enumerate(positions) if p.degrees_of_freedom <= 1)
