"""What one condition allows, shared by all rows of that condition."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.generation.constraints.budget import (
    ELEMENTS,
    Budget,
    Counts,
    Steps,
    Target,
    next_steps,
)
from crystalicl_jobflow.generation.constraints.cell_values import angle_values, length_values
from crystalicl_jobflow.generation.constraints.feasibility import Copies, group_sites
from crystalicl_jobflow.generation.constraints.fields import Mask, Values
from crystalicl_jobflow.generation.constraints.options import ConstraintOptions
from crystalicl_jobflow.generation.constraints.targets import FormulaTarget, SystemTarget

GROUP_VALUES = Values("space group", tuple(wyckoff.symbol(n) for n in range(1, 231)))
ELEMENT_VALUES = Values("element", ELEMENTS)
COORDINATE_VALUES = Values("coordinate", tuple(f"{n / 100:.2f}" for n in range(100)))
WYCKOFF_LETTERS = "abcdefghijklmnopqrstuvwxyzA"
LETTER_VALUES = Values(
    "Wyckoff position",
    tuple(
        sorted(
            {
                f"{position.multiplicity}{position.letter}"
                for number in range(1, 231)
                for position in wyckoff.wyckoff_positions(number)
            }
        )
    ),
)
"""Multiplicity and letter of every Wyckoff position of all groups."""

ALPHABET = frozenset(
    "".join((*GROUP_VALUES.strings, *ELEMENTS, *LETTER_VALUES.strings)) + "0123456789.\n #"
)
"""Characters that texts may contain, including those of the usual line prefix."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Allowed continuations after a complete orbit.

    Attributes
    ----------
    elements
        Which of `ELEMENTS` may come next, shape (118,).
    free_letters
        Per element index: positions with free parameters that it may take, as bits.
    fixed_kinds
        Per element index: which multiplicities of fixed positions it may take, as indices
        into `GroupSites.fixed_masks`.
    may_end
        Whether the crystal is complete.
    """

    elements: Mask
    free_letters: dict[int, int]
    fixed_kinds: dict[int, tuple[int, ...]]
    may_end: bool

    @property
    def is_dead_end(self) -> bool:
        """Whether nothing may follow."""
        return not self.may_end and not self.free_letters


@dataclass(eq=False)
class Plan:
    """A target with its groups and limits, and cached results.

    Parameters
    ----------
    target
        Composition that the atoms must add up to.
    groups
        Requested space groups in which the target is possible.
    least, most
        Atoms in the primitive cell.
    options
        Limits.
    with_letters
        Whether Wyckoff positions are written.
    volume_per_atom
        Least cell volume per atom in Å³; 0 for no bound.
    """

    target: Target
    groups: tuple[int, ...]
    least: int
    most: int
    options: ConstraintOptions
    with_letters: bool = False
    volume_per_atom: float = 0.0
    _choices: dict[tuple[object, ...], Choices] = field(default_factory=dict)
    _fewest: dict[int, int] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> Values:
        """Cell lengths that may be written."""
        return length_values(*self.options.length_bounds)

    @cached_property
    def angles(self) -> Values:
        """Cell angles that may be written."""
        return angle_values(*self.options.angle_bounds)

    @cached_property
    def smallest_radius(self) -> float:
        """Least radius of an element that may come, in Å."""
        return min(atomic_radius(name) for name in self.target.elements(()))

    def budget(self, most: int, orbits: int) -> Budget:
        """Return the remaining limits: the total number of atoms, and orbits after this many."""
        # there are never more orbits than atoms; keeps the numbers small
        left = most if self.options.max_orbits is None else self.options.max_orbits - orbits
        return Budget(self.least, most, max(0, min(left, most)))

    def is_possible(self, number: int, most: int | None = None) -> bool:
        """Return whether the target can be built in a group with at most this many atoms."""
        sites = group_sites(number)
        most = self.most if most is None else most
        copies = sites.copies(sites.fixed)
        return self.target.is_feasible(number, (), copies, self.budget(most, 0))

    def fewest_atoms(self, number: int) -> int:
        """Return the least number of atoms per primitive cell for which the target is possible."""
        found = self._fewest.get(number)
        if found is None:
            unit = self.target.least_atoms()
            step = 1 if isinstance(self.target, SystemTarget) else unit
            low = unit if step == 1 else -(-max(self.least, unit) // unit) * unit
            found = next(
                (n for n in range(low, self.most + 1, step) if self.is_possible(number, n)),
                self.most,
            )
            self._fewest[number] = found
        return found

    def choices(self, number: int, counts: Counts, left: int, most: int, orbits: int) -> Choices:
        """Return what may come next.

        Parameters
        ----------
        number
            Space-group number.
        counts
            Atoms written.
        left
            Fixed positions that can still be occupied, as bits.
        most
            Maximum number of atoms in the primitive cell.
        orbits
            Orbits written.
        """
        copies = group_sites(number).copies(left)
        key = (number, counts, copies, most, orbits if self.options.max_orbits else 0)
        found = self._choices.get(key)
        if found is None:
            if len(self._choices) > 100_000:
                self._choices.clear()
            found = self._choices[key] = self._find(number, counts, copies, most, orbits)
        return found

    def _find(self, number: int, counts: Counts, copies: Copies, most: int, orbits: int) -> Choices:
        sites, target = group_sites(number), self.target
        budget, now = self.budget(most, orbits + 1), self.budget(most, orbits)
        if now.orbits <= 0:
            steps: Steps = {}
        elif isinstance(target, FormulaTarget) and self.options.max_orbits is None:
            steps = target.next_steps(number, counts, copies, budget)
        else:
            steps = next_steps(target, number, counts, copies, budget)
        mask = np.zeros(len(ELEMENTS), dtype=bool)
        free: dict[int, int] = {}
        fixed: dict[int, tuple[int, ...]] = {}
        for name, (free_kinds, fixed_kinds) in steps.items():
            index = ELEMENT_VALUES.index[name]
            mask[index] = True
            free[index] = sum(sites.free_masks[k] for k in free_kinds)
            fixed[index] = fixed_kinds
        mask.flags.writeable = False
        return Choices(mask, free, fixed, target.is_complete(counts, now))
