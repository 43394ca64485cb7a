"""What a partial text allows in one space group: masks of numbers, Wyckoff positions, orbits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.cell_values import LEAST_SPREAD
from crystalicl_jobflow.generation.constraints.feasibility import GroupSites, group_sites
from crystalicl_jobflow.generation.constraints.fields import Mask, Values
from crystalicl_jobflow.generation.constraints.landing import NOWHERE, landing
from crystalicl_jobflow.generation.constraints.packing import Point
from crystalicl_jobflow.text.pattern import (
    GapPattern,
    Numbers,
    PatternError,
    SGSPattern,
    SitePattern,
    Triple,
)

STEPS = 100
"""Coordinates are whole hundredths."""

Cube = NDArray[np.bool_]
"""Which points, in hundredths, are allowed, shape (100, 100, 100)."""

_TIED = {
    "cubic": (0, 0, 0),
    "tetragonal": (0, 0, 2),
    "trigonal": (0, 0, 2),
    "hexagonal": (0, 0, 2),
}
"""For each length, the first that is equal to it; no entry: all are free."""


@dataclass(eq=False)
class SiteRule:
    """Where an orbit of the text may lie, and what it may be.

    Parameters
    ----------
    elements
        Of which it may be; None for any.
    positions
        Wyckoff positions that it may take, as bits.
    coords
        Allowed hundredths of each coordinate, shape (100,); None for all.
    point
        The point, where it is given.
    number
        Space-group number.
    """

    elements: tuple[str, ...] | None
    positions: int
    coords: tuple[Mask | None, Mask | None, Mask | None]
    point: Point | None
    number: int
    _cubes: dict[int, Cube] = field(default_factory=dict, repr=False)

    @cached_property
    def size(self) -> int | None:
        """Atoms of the orbit in the primitive cell, where all its positions agree."""
        sizes = group_sites(self.number).multiplicities
        found = {sizes[bit] for bit in _bits(self.positions)}
        return found.pop() if len(found) == 1 else None

    @property
    def element(self) -> str | None:
        """The element, where it is given."""
        return self.elements[0] if self.elements is not None and len(self.elements) == 1 else None

    @property
    def is_known(self) -> bool:
        """Whether it is known how many atoms of which element it adds."""
        is_counted = bool(self.reserved) or not self.positions & group_sites(self.number).fixed
        return self.element is not None and self.size is not None and is_counted

    @property
    def reserved(self) -> int:
        """The fixed position that only this orbit can take, as a bit; 0 for none."""
        one = self.positions.bit_count() == 1
        return self.positions & group_sites(self.number).fixed if one else 0

    def cube(self, positions: int) -> Cube:
        """Return the points on some positions whose coordinates are allowed."""
        found = self._cubes.get(positions)
        if found is None:
            found = self._cubes[positions] = _points_on(self.number, positions)
            for axis, mask in enumerate(self.coords):
                if mask is not None:
                    found &= mask.reshape([STEPS if i == axis else 1 for i in range(3)])
        return found


@dataclass(frozen=True)
class GapRule:
    """Further orbits, of some elements or (None) of any."""

    elements: frozenset[str] | None = None


@dataclass(eq=False)
class GroupRules:
    """A partial text in one space group.

    Parameters
    ----------
    number
        Space-group number.
    lengths, angles
        Allowed values of each, as masks; None for all.
    items
        Orbits and gaps in their order.
    """

    number: int
    lengths: tuple[Mask | None, Mask | None, Mask | None]
    angles: tuple[Mask | None, Mask | None, Mask | None]
    items: tuple[SiteRule | GapRule, ...]

    @property
    def sites(self) -> GroupSites:
        """Orbits of the group."""
        return group_sites(self.number)

    def after(self, place: int) -> list[SiteRule]:
        """Return the orbits from a place on."""
        return [item for item in self.items[place:] if isinstance(item, SiteRule)]

    def reserved(self, place: int) -> int:
        """Return the fixed positions that orbits from a place on will take, as bits."""
        taken = 0
        for rule in self.after(place):
            taken |= rule.reserved
        return taken

    def gap(self, place: int) -> GapRule | None:
        """Return the gap at a place, if there is one."""
        item = self.items[place] if place < len(self.items) else None
        return item if isinstance(item, GapRule) else None

    def next_site(self, place: int) -> tuple[int, SiteRule] | None:
        """Return the next orbit from a place on, with its own place."""
        return next(
            (
                (number, item)
                for number, item in enumerate(self.items[place:], start=place)
                if isinstance(item, SiteRule)
            ),
            None,
        )


def resolve(pattern: SGSPattern, number: int, lengths: Values, angles: Values) -> GroupRules:
    """Return what a partial text allows in a space group.

    Parameters
    ----------
    pattern
        The partial text.
    number
        Space-group number.
    lengths, angles
        Values that can be written.

    Raises
    ------
    PatternError
        If no crystal of the group fits; one line.
    """
    items: list[SiteRule | GapRule] = []
    for item in pattern.orbits:
        if isinstance(item, SitePattern):
            items.append(_site_rule(item, number))
        elif not items or not isinstance(items[-1], GapRule):
            items.append(_gap_rule(item))
        else:  # two in a row are one
            both = _gap_rule(item).elements, items[-1].elements
            joined = None if None in both else frozenset().union(*both)  # type: ignore[arg-type]
            items[-1] = GapRule(joined)
    rules = GroupRules(
        number,
        _length_masks(pattern.lengths, number, lengths),
        _angle_masks(pattern.angles, number, angles),
        tuple(items),
    )
    taken = 0
    for rule in rules.after(0):
        if rule.reserved & taken:
            letter = _letters(rule.reserved, number)
            raise PatternError(f"two orbits are given on position {letter} of {_name(number)}")
        taken |= rule.reserved
    return rules


def _gap_rule(item: GapPattern) -> GapRule:
    return GapRule(None if item.elements is None else frozenset(item.elements))


def _site_rule(site: SitePattern, number: int) -> SiteRule:
    positions = wyckoff.wyckoff_positions(number)
    every = (1 << len(positions)) - 1
    allowed = every
    if site.letters is not None:
        allowed = sum(1 << i for i, p in enumerate(positions) if p.letter in site.letters)
        missing = set(site.letters) - {position.letter for position in positions}
        if missing:
            raise PatternError(
                f"{_name(number)} has no Wyckoff position {', '.join(sorted(missing))}"
            )
    if site.elements is not None and not set(site.elements) & set(ELEMENTS):
        raise PatternError(f"{'|'.join(site.elements)} is no element that texts can hold")
    x, y, z = (_coordinate_mask(spans) for spans in site.frac_coords)
    point: Point | None = None
    masks = (x, y, z)
    known = [int(np.flatnonzero(mask)[0]) for mask in masks if mask is not None and mask.sum() == 1]
    if len(known) == len(masks):
        point = known[0], known[1], known[2]
        index = landing(number).index(*point)
        reached = 0 if index == NOWHERE else 1 << index
    elif any(mask is not None for mask in masks):
        reached = _reached(masks, number)
    else:
        reached = every
    if not reached & allowed:
        where = " ".join(_spans_text(spans) for spans in site.frac_coords)
        asked = "any position" if allowed == every else f"position {_letters(allowed, number)}"
        found = f": that is {_letters(reached, number)}" if reached else ""
        name = "an orbit" if site.elements is None else "|".join(site.elements)
        raise PatternError(f"{name} at {where} is not on {asked} of {_name(number)}{found}")
    return SiteRule(site.elements, reached & allowed, masks, point, number)


def _spans_text(spans: Numbers) -> str:
    if spans is None:
        return "?"
    return "|".join(f"{a:g}" if a == b else f"{a:g}..{b:g}" for a, b in spans)


def _coordinate_mask(spans: Numbers) -> Mask | None:
    if spans is None:
        return None
    mask = np.zeros(STEPS, dtype=bool)
    grid = np.arange(STEPS) / STEPS
    for low, high in spans:
        if low == high:
            mask[math.floor(low * STEPS + 0.5 + 1e-5) % STEPS] = True
        else:
            for shift in (0, 1):  # a range across the cell's border
                inside = (grid + shift >= low % 1 - 1e-9) & (
                    grid + shift <= low % 1 + high - low + 1e-9
                )
                mask |= inside
    if not mask.any():
        raise PatternError(f"no hundredth lies within the coordinates {_spans_text(spans)}")
    return mask


def _table(number: int) -> NDArray[np.uint8]:
    """Return the index of the position of every point, shape (100, 100, 100)."""
    found = landing(number)
    return np.asarray(found.rows[found.row_ids])


def _points_on(number: int, positions: int) -> Cube:
    members = np.zeros(NOWHERE + 1, dtype=bool)
    members[_bits(positions)] = True
    return np.asarray(members[_table(number)])


def _reached(masks: tuple[Mask | None, ...], number: int) -> int:
    """Return the positions on which points with these coordinates lie, as bits."""
    picked = [np.arange(STEPS) if mask is None else np.flatnonzero(mask) for mask in masks]
    found = np.unique(_table(number)[np.ix_(*picked)])
    return sum(1 << int(index) for index in found if index != NOWHERE)


def _length_masks(
    triple: Triple, number: int, values: Values
) -> tuple[Mask | None, Mask | None, Mask | None]:
    tied = _TIED.get(wyckoff.crystal_system(number), (0, 1, 2))
    masks: list[Mask | None] = [None, None, None]
    for axis, spans in enumerate(triple):
        if spans is not None:
            first = tied[axis]
            own = _value_mask(spans, values, "length", "Å")
            before = masks[first]
            masks[first] = own if before is None else own & before
    for axis, first in enumerate(tied):
        masks[axis] = masks[first]
    if any(mask is not None and not mask.any() for mask in masks):
        shown = " ".join(_spans_text(spans) for spans in triple)
        system = wyckoff.crystal_system(number)
        raise PatternError(f"lengths of {shown} do not belong to the {system} {_name(number)}")
    return masks[0], masks[1], masks[2]


def _angle_masks(
    triple: Triple, number: int, values: Values
) -> tuple[Mask | None, Mask | None, Mask | None]:
    system = wyckoff.crystal_system(number)
    fixed: dict[str, tuple[int | None, ...]] = {
        "triclinic": (None, None, None),
        "monoclinic": (90, None, 90),
        "trigonal": (90, 90, 120),
        "hexagonal": (90, 90, 120),
    }
    masks: list[Mask | None] = []
    for spans, exact in zip(triple, fixed.get(system, (90, 90, 90)), strict=True):
        mask = None if spans is None else _value_mask(spans, values, "angle", "°")
        if mask is not None and exact is not None:
            if not mask[values.index[str(exact)]]:
                shown = " ".join(_spans_text(spans) for spans in triple)
                raise PatternError(
                    f"angles of {shown} do not belong to the {system} {_name(number)}"
                )
            mask = None  # the group decides
        masks.append(mask)
    degrees = [
        float(values.strings[np.flatnonzero(mask)[0]])
        for mask in masks
        if mask is not None and mask.sum() == 1
    ]
    if len(degrees) == len(masks):
        a, b, c = np.cos(np.radians(degrees))
        if 1 - a * a - b * b - c * c + 2 * a * b * c < LEAST_SPREAD:
            raise PatternError(f"angles of {' '.join(f'{x:g}' for x in degrees)} are of no cell")
    return masks[0], masks[1], masks[2]


def _value_mask(
    spans: tuple[tuple[float, float], ...], values: Values, what: str, unit: str
) -> Mask:
    numbers = np.array([float(text) for text in values.strings])
    step = round(float(numbers[1] - numbers[0]), 6)
    mask = np.zeros(len(values), dtype=bool)
    for low, high in spans:
        if low == high:
            nearest = math.floor(low / step + 0.5 + 1e-6) * step
            mask |= np.abs(numbers - nearest) < step / 2
        else:
            mask |= (numbers >= low - 1e-9) & (numbers <= high + 1e-9)
    if not mask.any():
        raise PatternError(
            f"a cell {what} of {_spans_text(spans)} {unit} cannot be written:"
            f" {values.strings[0]} to {values.strings[-1]} can"
        )
    return mask


def _bits(positions: int) -> list[int]:
    return [bit for bit in range(positions.bit_length()) if positions >> bit & 1]


def _letters(positions: int, number: int) -> str:
    every = wyckoff.wyckoff_positions(number)
    return ", ".join(f"{every[bit].multiplicity}{every[bit].letter}" for bit in _bits(positions))


def _name(number: int) -> str:
    return f"space group {wyckoff.symbol(number)} ({number})"
