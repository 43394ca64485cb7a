"""Can these numbers of atoms be made of orbits of this group? Exact answers.

A group has positions with free parameters, which can be occupied any number of times, and fixed
positions, which can be occupied once. Atoms are counted per primitive cell: all multiplicities are
divided by the number of lattice points in the conventional cell, which divides each of them.

For the remaining fixed positions only the number of each multiplicity matters: their *copies*, a
tuple in the order of `GroupSites.fixed_multiplicities`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from crystalicl_jobflow.crystal import wyckoff

Copies = tuple[int, ...]

NEVER = 1 << 30
"""Number of orbits that stands for "impossible"."""


@dataclass(frozen=True, eq=False)
class GroupSites:
    """Orbits of a space group; positions are bits in the order of their letters.

    Attributes
    ----------
    number
        Space-group number.
    multiplicities
        Per position, points in the primitive cell.
    fixed
        Bit mask of the positions without a free parameter.
    fixed_multiplicities, fixed_masks
        Distinct multiplicities of fixed positions, in descending order, and the positions of each.
    free_multiplicities, free_masks
        The same of the other positions.
    """

    number: int
    multiplicities: tuple[int, ...]
    fixed: int
    fixed_multiplicities: tuple[int, ...]
    fixed_masks: tuple[int, ...]
    free_multiplicities: tuple[int, ...]
    free_masks: tuple[int, ...]

    def copies(self, left: int) -> Copies:
        """Return how many of the fixed positions in a bit mask have each multiplicity."""
        return tuple((mask & left).bit_count() for mask in self.fixed_masks)


@cache
def group_sites(number: int) -> GroupSites:
    """Return the orbits of a space group."""
    centring = wyckoff.centring_multiplicity(number)
    positions = wyckoff.wyckoff_positions(number)
    sizes = tuple(position.multiplicity // centring for position in positions)
    masks: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for bit, (position, size) in enumerate(zip(positions, sizes, strict=True)):
        kind = masks[position.degrees_of_freedom > 0]
        kind[size] = kind.get(size, 0) | 1 << bit
    fixed, free = (dict(sorted(kind.items(), reverse=True)) for kind in masks)
    return GroupSites(
        number,
        sizes,
        sum(fixed.values()),
        tuple(fixed),
        tuple(fixed.values()),
        tuple(free),
        tuple(free.values()),
    )


def _uses(sizes: tuple[int, ...], copies: Copies, atoms: int) -> Iterator[tuple[int, Copies]]:
    """Yield each choice of fixed positions with at most this many atoms, and the atoms left."""
    ranges = (range(min(n, atoms // size) + 1) for n, size in zip(copies, sizes, strict=True))
    for used in itertools.product(*ranges):
        left = atoms - sum(n * size for n, size in zip(used, sizes, strict=True))
        if left >= 0:
            yield left, used


@lru_cache(maxsize=1 << 16)
def _fewest_free_orbits(number: int, atoms: int) -> int:
    """Return the least number of orbits with free parameters for these atoms, or `NEVER`."""
    best = [0] + [NEVER] * atoms
    for total in range(1, atoms + 1):
        for size in group_sites(number).free_multiplicities:
            if size <= total and best[total - size] + 1 < best[total]:
                best[total] = best[total - size] + 1
    return best[atoms]


@lru_cache(maxsize=1 << 18)
def fewest_orbits(number: int, remainders: tuple[int, ...], copies: Copies) -> int:
    """Return the smallest number of orbits that hold given numbers of atoms, one per element.

    Parameters
    ----------
    number
        Space-group number.
    remainders
        Atoms of each element still to be placed, in descending order, without zeros.
    copies
        Fixed positions left, per multiplicity.

    Returns
    -------
    int
        `NEVER` where it is impossible.
    """
    if not remainders:
        return 0
    sites = group_sites(number)
    best = NEVER
    for left, used in _uses(sites.fixed_multiplicities, copies, remainders[0]):
        here = _fewest_free_orbits(number, left)
        if here + sum(used) >= best:
            continue
        rest = tuple(n - k for n, k in zip(copies, used, strict=True))
        best = min(best, here + sum(used) + fewest_orbits(number, remainders[1:], rest))
    return best


@lru_cache(maxsize=1 << 16)
def least_uses(number: int, atoms: int) -> tuple[Copies, ...]:
    """Return the fixed positions that one element's atoms need: all minimal choices.

    Parameters
    ----------
    number
        Space-group number.
    atoms
        Number of atoms of the element in the primitive cell.

    Returns
    -------
    tuple of Copies
        Number of positions used of each multiplicity; one choice of none where free positions
        suffice, empty where it is impossible.
    """
    sites = group_sites(number)
    every = [
        used
        for left, used in _uses(sites.fixed_multiplicities, sites.copies(sites.fixed), atoms)
        if _fewest_free_orbits(number, left) < NEVER
    ]
    every.sort(key=sum)
    least: list[Copies] = []
    for used in every:
        if not any(all(n <= k for n, k in zip(less, used, strict=True)) for less in least):
            least.append(used)
    return tuple(least)


def can_hold(number: int, remainders: Iterable[int], copies: Copies) -> bool:
    """Return whether orbits can hold given numbers of atoms, one number per element.

    The same as ``fewest_orbits(…) < NEVER``, but faster.

    Parameters
    ----------
    number
        Space-group number.
    remainders
        Atoms of each element still to be placed.
    copies
        Fixed positions left, per multiplicity.
    """
    needs = []
    for atoms in remainders:
        uses = least_uses(number, atoms)
        if not uses:
            return False
        if any(uses[0]):  # otherwise free positions suffice
            needs.append(uses)
    if not needs:
        return True
    needs.sort(key=len)
    return can_share(tuple(needs), copies)


@lru_cache(maxsize=1 << 18)
def can_share(needs: tuple[tuple[Copies, ...], ...], copies: Copies) -> bool:
    """Return whether each element can have one of its choices of fixed positions.

    Parameters
    ----------
    needs
        For each element, its choices from `least_uses`.
    copies
        Fixed positions left, per multiplicity.
    """
    for used in needs[0]:
        left = tuple(n - k for n, k in zip(copies, used, strict=True))
        if min(left) >= 0 and (len(needs) == 1 or can_share(needs[1:], left)):
            return True
    return False


@lru_cache(maxsize=1 << 14)
def _free_orbit_counts(number: int, atoms: int) -> int:
    """Return the possible numbers of free orbits that hold this many atoms, as bits."""
    counts = [1] + [0] * atoms
    for total in range(1, atoms + 1):
        for size in group_sites(number).free_multiplicities:
            if size <= total:
                counts[total] |= counts[total - size] << 1
    return counts[atoms]


@lru_cache(maxsize=1 << 18)
def orbit_counts(number: int, atoms: int, copies: Copies) -> int:
    """Return the possible numbers of orbits that hold this many atoms in total, as bits.

    Parameters
    ----------
    number
        Space-group number.
    atoms
        Number of atoms still to be placed, of any elements.
    copies
        Fixed positions left, per multiplicity.
    """
    counts = 0
    for left, used in _uses(group_sites(number).fixed_multiplicities, copies, atoms):
        counts |= _free_orbit_counts(number, left) << sum(used)
    return counts
