"""A crystal in the description of another one of the same structure.

Each crystal has a description of its own that comes first (`canonical`), which depends on
its elements and on digits that hardly differ. Two crystals of one structure may so be
written from other origins, along other axes, with their orbits in another order. Here one
of them is written the way the other one is: line for line, with the coordinates as near
as they can be. What is to be copied then stands where it is looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import lattice_matrix, lattice_parameters, triple
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.cell_axes import Axes, like_axes

MOST_ORBITS = 60
"""Crystals with more orbits are not aligned: it would take too long."""

STRAIN_COST = 3.0
"""What a unit of strain counts beside a displacement (Å)."""

SAME = 0.02
"""Distance (Å) from which on nothing nearer is looked for."""

NEAR = 0.3
"""Distance (Å) from which on no other axes are tried."""

_MOST_SHIFTS = 16
_FAR = 1e6


@dataclass(frozen=True)
class Alignment:
    """A crystal in another one's description.

    Parameters
    ----------
    crystal
        The same crystal; its sites are in the order of the other one's.
    distance
        Mean distance of its sites from the other one's (Å), and the strain between the
        cells times `STRAIN_COST`.
    """

    crystal: SGSCrystal
    distance: float


def with_positions(crystal: SGSCrystal) -> SGSCrystal | None:
    """Put the sites of a read text on their Wyckoff positions.

    Returns
    -------
    SGSCrystal or None
        With multiplicities and letters; None where a site is on no position.
    """
    if all(site.wyckoff_letter and site.multiplicity for site in crystal.sites):
        return crystal
    number = crystal.space_group_number
    snapped = wyckoff.snap([site.frac_coords for site in crystal.sites], number)
    indices = wyckoff.wyckoff_index(snapped.frac_coords, number, snapped.multiplicity)
    if (indices < 0).any():
        return None
    positions = wyckoff.wyckoff_positions(number)
    points = wyckoff.wrap(snapped.frac_coords)
    sites = [
        replace(
            site,
            frac_coords=triple(point),
            multiplicity=positions[index].multiplicity,
            wyckoff_letter=positions[index].letter,
        )
        for site, point, index in zip(crystal.sites, points, indices, strict=True)
    ]
    return replace(crystal, sites=tuple(sites))


def align(crystal: SGSCrystal, reference: SGSCrystal) -> Alignment | None:
    """Write a crystal in the description of another one.

    Tried are the cosets of the group in its normalizer, origins along polar axes, other
    axes of like lengths (permutations in orthorhombic cells, other bases in monoclinic
    and triclinic ones) and all ways of putting elements of the one beside those of the
    other; each orbit goes to one on the same Wyckoff position, by the nearest of its
    points.

    Parameters
    ----------
    crystal, reference
        As `SGSFormat.analyze` or `with_positions` give them.

    Returns
    -------
    Alignment or None
        The nearest one; None where the groups differ, or no description of the crystal has
        the orbits of the other one.
    """
    number = reference.space_group_number
    count = len(reference.sites)
    if (
        crystal.space_group_number != number
        or len(crystal.sites) != count
        or not 0 < count <= MOST_ORBITS
    ):
        return None
    target = _Target.of(reference)
    points = np.array([site.frac_coords for site in crystal.sites], dtype=float)
    species = [site.species for site in crystal.sites]
    if sorted(Counter(species).values()) != sorted(Counter(target.species).values()):
        return None
    matrix = lattice_matrix(crystal.lengths, crystal.angles)
    best: tuple[float, SGSCrystal] | None = None
    for axes in like_axes(number, matrix, target.matrix):
        turned = axes.points(points)
        letters = _letters(turned, crystal, number, changed=axes.changed)
        if letters is None:
            continue
        for coset in _cosets(species, letters, target, number):
            moved = coset.points(turned, number)
            for shift in _shifts(moved, coset, target, number):
                shifted = moved + shift
                found = _assign(shifted, coset, target, number)
                distance = found.distance + axes.strain * STRAIN_COST
                if best is None or distance < best[0] - 1e-6:
                    best = distance, _written(crystal, axes, coset, found)
                if distance < SAME:
                    return Alignment(best[1], best[0])
        if best is not None and best[0] < NEAR:
            break
    return None if best is None else Alignment(best[1], best[0])


def align_all(crystals: Sequence[SGSCrystal], *, nearest: bool = True) -> list[SGSCrystal]:
    """Write each crystal in the description of one before it.

    Parameters
    ----------
    crystals
        The first stays as it is. Each other one is written as the first before it that it
        can be aligned to, or stays as it is.
    nearest
        Whether the last one, the answer, is written as the nearest before it instead,
        where the first is not near (`NEAR`).
    """
    done: list[SGSCrystal] = []
    for place, crystal in enumerate(crystals):
        last = place == len(crystals) - 1
        done.append(align_to_any(crystal, done, nearest=nearest and last))
    return done


def align_to_any(
    crystal: SGSCrystal, others: Sequence[SGSCrystal], *, nearest: bool = True
) -> SGSCrystal:
    """Write a crystal in the description of one of several.

    Parameters
    ----------
    crystal
        As `align` takes it.
    others
        Tried in their order: the first that it can be aligned to is taken.
    nearest
        Whether the nearest is taken instead, where the first is not near (`NEAR`).

    Returns
    -------
    SGSCrystal
        As it is where it can be aligned to none.
    """
    best: Alignment | None = None
    for other in others:
        found = align(crystal, other)
        if found is not None and (best is None or found.distance < best.distance - 1e-6):
            best = found
        if best is not None and (not nearest or best.distance < NEAR):
            break
    return crystal if best is None else best.crystal


@dataclass(frozen=True, eq=False)
class _Target:
    """What a crystal is aligned to."""

    points: NDArray[np.float64]
    letters: tuple[str, ...]
    species: tuple[str, ...]
    #: Numbers of the pairs of species and letter that there are, and that of each orbit.
    kinds: dict[tuple[str, str], int]
    kind_of: NDArray[np.intp]
    matrix: NDArray[np.float64]
    metric: NDArray[np.float64]

    @classmethod
    def of(cls, crystal: SGSCrystal) -> _Target:
        matrix = lattice_matrix(crystal.lengths, crystal.angles)
        letters = tuple(site.wyckoff_letter or "" for site in crystal.sites)
        species = tuple(site.species for site in crystal.sites)
        kinds: dict[tuple[str, str], int] = {}
        kind_of = [
            kinds.setdefault(kind, len(kinds)) for kind in zip(species, letters, strict=True)
        ]
        return cls(
            np.array([site.frac_coords for site in crystal.sites], dtype=float),
            letters,
            species,
            kinds,
            np.array(kind_of, dtype=np.intp),
            matrix,
            matrix @ matrix.T,
        )


@dataclass(frozen=True, eq=False)
class _Coset:
    """An origin and axes of the Euclidean normalizer, with elements put beside elements."""

    index: int
    letters: tuple[str, ...]
    #: For each orbit of the crystal, the species of the target that it stands for.
    stands_for: tuple[str, ...]

    def points(self, points: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        normalizer = wyckoff.normalizer(number)
        rotated = points @ normalizer.rotations[self.index].T
        return np.asarray(rotated + normalizer.translations[self.index])


@dataclass(frozen=True, eq=False)
class _Assigned:
    """Orbits of a crystal in the order of the target's, and their nearest points."""

    order: NDArray[np.intp]
    points: NDArray[np.float64]
    distance: float


def _letters(
    points: NDArray[np.float64], crystal: SGSCrystal, number: int, *, changed: bool
) -> list[str] | None:
    """Return the Wyckoff letters of a crystal's orbits."""
    if not changed:
        return [site.wyckoff_letter or "" for site in crystal.sites]
    sizes = np.array([site.multiplicity or 0 for site in crystal.sites])
    indices = wyckoff.wyckoff_index(points, number, sizes)
    if (indices < 0).any():
        return None
    positions = wyckoff.wyckoff_positions(number)
    return [positions[index].letter for index in indices]


def _cosets(
    species: Sequence[str], letters: Sequence[str], target: _Target, number: int
) -> Iterator[_Coset]:
    """Yield the cosets, and what stands for what, under which the orbits are the target's."""
    goal: dict[str, Counter[str]] = {}
    for name, letter in zip(target.species, target.letters, strict=True):
        goal.setdefault(name, Counter())[letter] += 1
    names = list(dict.fromkeys(species))
    for index, mapping in enumerate(wyckoff.normalizer(number).letters):
        new = tuple(mapping[letter] for letter in letters)
        own: dict[str, Counter[str]] = {name: Counter() for name in names}
        for name, letter in zip(species, new, strict=True):
            own[name][letter] += 1
        for match in _matches(names, own, goal, frozenset()):
            yield _Coset(index, new, tuple(match[name] for name in species))


def _matches(
    names: Sequence[str],
    own: dict[str, Counter[str]],
    goal: dict[str, Counter[str]],
    taken: frozenset[str],
) -> Iterator[dict[str, str]]:
    if not names:
        yield {}
        return
    for other, counts in goal.items():
        if other not in taken and counts == own[names[0]]:
            for rest in _matches(names[1:], own, goal, taken | {other}):
                yield {names[0]: other, **rest}


def _shifts(
    points: NDArray[np.float64], coset: _Coset, target: _Target, number: int
) -> Iterator[NDArray[np.float64]]:
    """Yield origins along polar axes: one orbit of the rarest kind is put where one is."""
    polar = wyckoff.normalizer(number).polar
    if not polar.any():
        yield np.zeros(3)
        return
    kinds = Counter(zip(target.species, target.letters, strict=True))
    rarest = min(kinds, key=lambda kind: (kinds[kind], kind))
    anchor = next(
        i
        for i, kind in enumerate(zip(coset.stands_for, coset.letters, strict=True))
        if kind == rarest
    )
    images = wyckoff.operations(number).apply(points[anchor : anchor + 1])[0]
    goals = target.points[
        [
            i
            for i, kind in enumerate(zip(target.species, target.letters, strict=True))
            if kind == rarest
        ]
    ]
    gaps = goals[:, None] - images[None]
    gaps -= np.rint(gaps)
    aside = np.where(polar, 0.0, np.abs(gaps)).max(-1).ravel()
    shifts = np.where(polar, gaps, 0.0).reshape(-1, 3)
    seen: set[tuple[float, ...]] = set()
    for row in np.argsort(aside, kind="stable"):
        if aside[row] > max(0.25, aside.min() + 1e-6) or len(seen) >= _MOST_SHIFTS:
            return
        key = tuple(np.round(shifts[row] % 1.0, 3) % 1.0)
        if key not in seen:
            seen.add(key)
            yield shifts[row]


def _assign(points: NDArray[np.float64], coset: _Coset, target: _Target, number: int) -> _Assigned:
    """Put each orbit to one of the target's on the same position, the nearest altogether."""
    images = wyckoff.operations(number).apply(points)  # (n, operations, 3)
    count = len(points)
    own = [target.kinds[kind] for kind in zip(coset.stands_for, coset.letters, strict=True)]
    rows, columns = np.nonzero(np.array(own)[:, None] == target.kind_of[None])
    gaps = target.points[columns][:, None] - images[rows]  # (pairs, operations, 3)
    gaps -= np.rint(gaps)
    squares = ((gaps @ target.metric) * gaps).sum(2)
    # of points as near, always the same one, whatever the noise
    first = np.argmin(np.round(squares, 9), axis=1)
    pairs = np.arange(len(first))
    costs = np.full((count, count), _FAR)
    costs[rows, columns] = np.sqrt(np.maximum(squares[pairs, first], 0.0))
    nearest = np.zeros((count, count, 3))
    nearest[rows, columns] = target.points[columns] - gaps[pairs, first]
    order = np.empty(count, dtype=np.intp)
    if len(rows) == count:  # each orbit is the only one of its kind
        order[columns] = rows
    else:
        from scipy.optimize import linear_sum_assignment

        own_rows, own_columns = linear_sum_assignment(costs)
        order[own_columns] = own_rows
    at = np.arange(count)
    return _Assigned(order, nearest[order, at], float(costs[order, at].mean()))


def _written(crystal: SGSCrystal, axes: Axes, coset: _Coset, found: _Assigned) -> SGSCrystal:
    lengths, angles = crystal.lengths, crystal.angles
    if axes.changed:
        lengths, angles = lattice_parameters(axes.matrix)
    points = wyckoff.wrap(found.points)
    sites = [
        replace(
            crystal.sites[index],
            frac_coords=triple(point),
            wyckoff_letter=coset.letters[index],
        )
        for index, point in zip(found.order, points, strict=True)
    ]
    return replace(crystal, lengths=lengths, angles=angles, sites=tuple(sites))
