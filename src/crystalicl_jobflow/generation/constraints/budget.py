"""The composition that the orbits of a crystal must add up to."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pymatgen.core import Composition, Element

from crystalicl_jobflow.crystal.formula import letters_as_elements
from crystalicl_jobflow.generation.constraints.feasibility import (
    Copies,
    group_sites,
)
from crystalicl_jobflow.schemas import Range

Counts = tuple[tuple[str, int], ...]
"""Atoms written so far per element, in the primitive cell, sorted by element."""

ELEMENTS: tuple[str, ...] = tuple(Element.from_Z(z).symbol for z in range(1, 119))
"""Elements in the order of their atomic numbers."""


@dataclass(frozen=True)
class Budget:
    """Limits on the contents of one primitive cell.

    Attributes
    ----------
    least, most
        Least and largest number of atoms in the finished crystal.
    orbits
        Maximum number of orbits still to be written.
    """

    least: int
    most: int
    orbits: int


class Target(Protocol):
    """What the composition must become."""

    def elements(self, counts: Counts, /) -> Collection[str]:
        """Return the elements of which an orbit may come next; their amounts are checked later."""
        ...

    def kind(self, element: str, counts: Counts, /) -> Hashable:
        """Return the kind of an element; elements of equal kind are equivalent here."""
        ...

    def is_complete(self, counts: Counts, budget: Budget) -> bool:
        """Return whether the atoms written have the requested composition."""
        ...

    def is_feasible(self, number: int, counts: Counts, copies: Copies, budget: Budget) -> bool:
        """Return whether free orbits and the remaining fixed ones can complete the atoms."""
        ...

    def least_atoms(self) -> int:
        """Return the smallest number of atoms per primitive cell for the composition."""
        ...


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
        Atoms written, and the remaining fixed positions.
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


def amounts_of(formula: str) -> dict[str, int]:
    """Return the amounts of a formula without common divisor (O2 is O)."""
    amounts = {e.symbol: round(n) for e, n in Composition(formula).items()}
    divisor = math.gcd(*amounts.values())
    return {name: n // divisor for name, n in amounts.items()}


def anonymous_amounts(anonymous_formula: str) -> tuple[int, ...]:
    """Return the amounts of an anonymised formula without common divisor, rising."""
    return tuple(sorted(amounts_of(letters_as_elements(anonymous_formula)).values()))


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
