"""Which orbits may come next in a text whose Wyckoff letters are asked for.

All letters are known, so nothing is searched: of the descriptions from equivalent origins those
stay that the orbits written so far fit, in whatever order, and each orbit of theirs that is still
missing may come next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters, atoms_of, descriptions
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.feasibility import group_sites
from crystalicl_jobflow.generation.constraints.plan import ELEMENT_VALUES, Choices, Plan

Orbit = tuple[int, int]
"""Index of the element in `ELEMENTS`, index of the position in its group."""


@dataclass(eq=False, kw_only=True)
class LetterPlan(Plan):
    """A plan whose texts also have the Wyckoff letters asked for, in one space group.

    Parameters
    ----------
    letters
        Element to the letters of its orbits.
    """

    letters: WyckoffLetters
    _descriptions: list[Counter[Orbit]] = field(default_factory=list)
    _found: dict[tuple[tuple[Orbit, ...], int], Choices] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (number,) = self.groups
        place = {p.letter: i for i, p in enumerate(wyckoff.wyckoff_positions(number))}
        self._descriptions = [
            Counter(
                (ELEMENT_VALUES.index[name], place[letter])
                for name, orbits in one.items()
                for letter in orbits
            )
            for one in descriptions(self.letters, number)
        ]

    @property
    def atoms(self) -> int:
        """Atoms in the primitive cell."""
        (number,) = self.groups
        return sum(atoms_of(self.letters, number).values())

    @property
    def orbits(self) -> int:
        """Orbits of the crystal."""
        return sum(map(len, self.letters.values()))

    def is_possible(self, number: int, most: int | None = None) -> bool:
        """Return whether the crystal is within the limits."""
        most = self.most if most is None else most
        limit = self.options.max_orbits
        return (
            number in self.groups
            and self.least <= self.atoms <= most
            and (limit is None or self.orbits <= limit)
        )

    def fewest_atoms(self, _number: int) -> int:
        """Return the atoms in the primitive cell, which the letters tell."""
        return self.atoms

    def next_orbits(self, number: int, written: Sequence[Orbit], left: int) -> Choices:
        """Return what may come next.

        Parameters
        ----------
        number
            Space-group number.
        written
            Orbits written.
        left
            Fixed positions that can still be occupied, as bits.
        """
        key = tuple(sorted(written)), left
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._after(number, Counter(written), left)
        return found

    def _after(self, number: int, written: Counter[Orbit], left: int) -> Choices:
        fixed = group_sites(number).fixed
        letters: dict[int, int] = {}
        may_end = False
        for one in self._descriptions:
            if not written <= one:
                continue
            missing = one - written
            taken = fixed & sum({1 << position for _, position in missing})
            if taken & ~left:
                continue  # one of its points is taken, or too near to what is written
            may_end = may_end or not missing
            for element, position in missing:
                letters[element] = letters.get(element, 0) | 1 << position
        mask = np.zeros(len(ELEMENTS), dtype=bool)
        mask[list(letters)] = True
        mask.flags.writeable = False
        return Choices(mask, letters, dict.fromkeys(letters, ()), may_end)
