"""A quick test for approximate symmetry of a crystal beyond its space group.

An operation that extends a group G to a supergroup has, up to operations of G, a rotation that
represents one of G's cosets in the point group of the lattice, and moves one chosen atom onto an
atom of its species. There are few of these; each is tried on one atom of every orbit, then on all
atoms. If all fail by a wide margin, a symmetry search would find G and can be skipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice_rotations import lattice_rotations
from crystalicl_jobflow.thresholds import ANGLE_TOLERANCE

#: Å; an atom this near to where an operation would put it may be taken for one that is
#: there: three times the tolerance of the symmetry search.
NEARLY = 0.3
#: Å; cells whose lengths are this near to those of a higher system may be taken for it.
NEARLY_SPECIAL = 0.5
#: Degrees; twice the tolerance of the search, which is three times as strict with lengths.
NEARLY_ANGLE = 2 * ANGLE_TOLERANCE
#: The last monoclinic group: of lattices of lower symmetry the rotations are looked for.
_LAST_MONOCLINIC = 15
_ROOTS = tuple(math.sqrt(x) for x in (2.0, 3.0, 6.0))
#: A group with the point group of the lattice and its axes.
_HOLOHEDRY = {"orthorhombic": 47, "tetragonal": 123, "hexagonal": 191, "cubic": 221}
_RHOMBOHEDRAL_HOLOHEDRY = 166


def may_be_higher(
    number: int,
    lengths: Sequence[float],
    lattice: NDArray[np.float64],
    orbits: Sequence[NDArray[np.float64]],
    species: Sequence[str],
) -> bool:
    """Return whether a symmetry search might find more symmetry than the crystal's group.

    Parameters
    ----------
    number
        Space-group number.
    lengths, lattice
        The conventional cell: its lengths and its vectors as rows, in Å, shape (3, 3).
    orbits
        Fractional coordinates of the atoms of each orbit, shapes (m, 3).
    species
        What occupies each orbit.
    """
    rotations = _other_rotations(number, lengths, lattice)
    if rotations is None:
        return True
    atoms: dict[str, list[NDArray[np.float64]]] = {}
    for name, orbit in zip(species, orbits, strict=True):
        atoms.setdefault(name, []).append(orbit)
    targets = {
        name: parts[0] if len(parts) == 1 else np.concatenate(parts)
        for name, parts in atoms.items()
    }
    # species with few atoms first: they exclude most operations at the least cost
    ordered = sorted(zip(species, orbits, strict=True), key=lambda pair: len(targets[pair[0]]))
    turns, left = _operations(number, rotations, targets[ordered[0][0]])
    for name, orbit in ordered[1:]:  # the chosen atom itself goes onto one by construction
        if not len(left):
            return False
        gaps = (turns @ orbit[0] + left)[:, None] - targets[name]  # (candidates, atoms, 3)
        hit = _distances_squared(gaps, lattice).min(1) < NEARLY**2
        left, turns = left[hit], turns[hit]
    return len(left) > 0 and _maps_all(turns, left, targets, lattice)


def _operations(
    number: int, rotations: NDArray[np.float64], atoms: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the operations beyond the group that move the first of some atoms onto one of them.

    Returns
    -------
    rotations, translations : numpy.ndarray
        Shapes (n, 3, 3) and (n, 3).
    """
    centring = _centring_vectors(number)
    moved = atoms[0] @ rotations.transpose(0, 2, 1)  # (rotations, 3)
    shifts = (atoms - moved[:, None]).reshape(-1, 3)
    turns = rotations.repeat(len(atoms), axis=0)
    if len(atoms) > len(centring):
        # the identity with a vector that is no lattice vector
        moves = atoms - atoms[0]
        gaps = moves[:, None] - centring
        moves = moves[(np.abs(gaps - np.rint(gaps)).max(2) > wyckoff.SAME_POINT).all(1)]
        shifts = np.concatenate([shifts, moves])
        turns = np.concatenate([turns, np.eye(3)[None].repeat(len(moves), axis=0)])
    return turns, shifts


def _maps_all(
    turns: NDArray[np.float64],
    shifts: NDArray[np.float64],
    atoms: Mapping[str, NDArray[np.float64]],
    lattice: NDArray[np.float64],
) -> bool:
    """Return whether one of some operations moves all atoms onto atoms of their species."""
    for points in atoms.values():
        moved = points @ turns.transpose(0, 2, 1) + shifts[:, None]  # (operations, atoms, 3)
        hit = _distances_squared(moved[:, :, None] - points, lattice).min(2) < NEARLY**2
        keep = hit.all(1)
        if not keep.any():
            return False
        turns, shifts = turns[keep], shifts[keep]
    return True


def _distances_squared(
    gaps: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squares of distances to the nearest images in Å²; gaps have shape (…, 3)."""
    gaps = (gaps - np.rint(gaps)) @ lattice
    return np.asarray((gaps * gaps).sum(-1))


def _other_rotations(
    number: int, lengths: Sequence[float], lattice: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return rotations that the lattice may approximately have and the group has not.

    At least one of each coset of the group's rotations, shape (n, 3, 3); None where they are not
    known.
    """
    holohedry = _holohedry(number, lengths)
    if holohedry is not None:
        return _coset_rotations(number, holohedry)
    basis = _primitive_basis(number)
    rotations = lattice_rotations(
        basis @ lattice, length_tolerance=NEARLY, angle_tolerance=NEARLY_ANGLE
    )
    if rotations is None:
        return None
    rotations = basis.T @ rotations @ np.linalg.inv(basis.T)  # along the axes of the group
    own = np.abs(rotations[:, None] - _own_rotations(number)).max((2, 3)) < wyckoff.SAME_POINT
    return np.asarray(rotations[~own.any(1)])


def _holohedry(number: int, lengths: Sequence[float]) -> int | None:
    """Return a group with all rotations that the lattice may approximately have, or None.

    Known are those of the system itself and of cells with (nearly) equal lengths, from the
    orthorhombic groups on.
    """

    def near(first: float, second: float) -> bool:
        return abs(first - second) < NEARLY_SPECIAL

    if number <= _LAST_MONOCLINIC:
        return None
    a, b, c = lengths
    system = wyckoff.crystal_system(number)
    centring = wyckoff.symbol(number)[0]
    root2, root3, root6 = _ROOTS
    if centring == "R":
        rhombohedral_is_cubic = any(near(c, x * a) for x in (root6 / 2, root6, 2 * root6))
        return None if rhombohedral_is_cubic else _RHOMBOHEDRAL_HOLOHEDRY
    if system == "orthorhombic":
        if centring in "AC" and (
            near(a, root3 * b) or near(b, root3 * a) or near(b, root3 * c) or near(c, root3 * b)
        ):
            return None
        system = "cubic" if near(a, b) or near(b, c) or near(a, c) else system
    elif system == "tetragonal":
        if centring == "I" and near(c, root2 * a):
            return None
        system = "cubic" if near(a, c) else system
    return _HOLOHEDRY["hexagonal" if system == "trigonal" else system]


@cache
def _coset_rotations(number: int, holohedry: int) -> NDArray[np.float64]:
    """Return one rotation of each other coset of the point group in that of the lattice."""
    own = _own_rotations(number).astype(np.int64)
    covered = {rotation.tobytes() for rotation in own}
    chosen = []
    for rotation in wyckoff.operations(holohedry).rotations:
        if rotation.tobytes() not in covered:
            chosen.append(rotation)
            covered.update((rotation @ other).tobytes() for other in own)
    return np.array(chosen, dtype=float).reshape(-1, 3, 3)


@cache
def _own_rotations(number: int) -> NDArray[np.float64]:
    """Return the rotations of a group, each once, shape (n, 3, 3)."""
    return np.unique(wyckoff.operations(number).rotations.astype(float), axis=0)


@cache
def _primitive_basis(number: int) -> NDArray[np.float64]:
    """Return vectors of a primitive cell, as rows, along those of the conventional cell."""
    centring = _centring_vectors(number)
    vectors = [*centring[centring.any(1)], *np.eye(3)]
    for rows in combinations(vectors, 3):
        if abs(abs(np.linalg.det(rows)) * len(centring) - 1) < wyckoff.SAME_POINT:
            return np.array(rows)
    raise AssertionError(f"the centring vectors of group {number} span no cell")


@cache
def _centring_vectors(number: int) -> NDArray[np.float64]:
    group = wyckoff.operations(number)
    unturned = (group.rotations == np.eye(3, dtype=np.int64)).all((1, 2))
    return np.asarray(group.translations[unturned])
