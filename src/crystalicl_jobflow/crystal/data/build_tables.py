"""Write ``space_groups.json``: the Wyckoff positions of the 230 groups and their normalizers.

Run as ``python -m crystalicl_jobflow.crystal.data.build_tables``; needed only when the setting of
the texts changes. No values are entered by hand: operations come from spglib's database (lowest
Hall number of each group), letters and first coordinate triplets from moyopy's analysis of dummy
crystals that occupy every kind of position, and normalizers from a search over a grid of 1/24.

The result is checked before it is written: 1731 positions in all (International
Tables for Crystallography A), and every point that was tried lies on exactly one
position with its multiplicity.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from crystalicl_jobflow.crystal.integer_algebra import integer_annihilator, parse_triplet

#: Positions of all 230 space-group types, as counted in International Tables A.
N_POSITIONS = 1731
#: The normalizer search puts translations on multiples of 1/24.
GRID = 24

_LETTERS = "abcdefghijklmnopqrstuvwxyzA"


def lowest_hall_numbers() -> list[int]:
    """Return the lowest Hall number of the groups 1 to 230, in order."""
    lowest: dict[int, int] = {}
    for hall in range(1, 531):
        kind: Any = spglib.get_spacegroup_type(hall)
        lowest.setdefault(kind.number, hall)
    return [lowest[number] for number in range(1, 231)]


def _orbit(
    point: NDArray[Any], rotations: NDArray[Any], translations: NDArray[Any]
) -> NDArray[Any]:
    images = (rotations @ point + translations) % 1.0
    keys = np.round(images, 6) % 1.0
    _, index = np.unique(keys, axis=0, return_index=True)
    return np.asarray(images[np.sort(index)])


def _special_point(
    rotations: NDArray[Any], translations: NDArray[Any], rng: np.random.Generator
) -> NDArray[Any] | None:
    """Return a generic point of a random intersection of fixed spaces, or None."""
    if rng.random() < 0.3:  # isolated points of the high groups are rarely hit otherwise
        return np.asarray(rng.integers(0, 8, 3) / 8)
    picked = rng.integers(0, len(rotations), size=rng.integers(1, 4))
    left = np.concatenate([rotations[i] - np.eye(3) for i in picked])
    right = np.concatenate([-translations[i] - rng.integers(-2, 3, 3) for i in picked])
    point, *_ = np.linalg.lstsq(left, right, rcond=None)
    if np.abs(left @ point - right).max() > 1e-9:
        return None
    _, singular, vt = np.linalg.svd(left)
    null = vt[(singular > 1e-9).sum() :]
    return np.asarray((point + null.T @ rng.uniform(-1, 1, len(null))) % 1.0)


def _dummy_lattice(number: int) -> NDArray[Any]:
    from pymatgen.core import Lattice

    lattice = {
        number <= 2: Lattice.from_parameters(9.1, 10.7, 12.9, 83, 77, 71),
        3 <= number <= 15: Lattice.monoclinic(9.1, 10.7, 12.9, 103),
        16 <= number <= 74: Lattice.orthorhombic(9.1, 10.7, 12.9),
        75 <= number <= 142: Lattice.tetragonal(9.1, 12.9),
        143 <= number <= 194: Lattice.hexagonal(9.1, 12.9),
        number >= 195: Lattice.cubic(11.0),
    }[True]
    return np.array(lattice.matrix)


def wyckoff_table(number: int, hall: int, rng: np.random.Generator) -> list[list[Any]]:
    """Return ``[letter, multiplicity, site symmetry, triplet]`` of one group's positions."""
    import moyopy

    database: Any = spglib.get_symmetry_from_database(hall)
    rotations, translations = database["rotations"], database["translations"]
    found: dict[str, list[Any]] = {}
    maps: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    def letter_of(point: NDArray[Any]) -> str | None:
        orbit = _orbit(point, rotations, translations)
        for letter, (annihilator, shift) in maps.items():
            if found[letter][1] == len(orbit):
                gap = (orbit - shift) @ annihilator.T
                if len(annihilator) == 0 or (np.abs(gap - np.rint(gap)).max(1) < 1e-6).any():
                    return letter
        return None

    general = [rng.uniform(0, 1, 3) for _ in range(3)]
    generic_orbits = [_orbit(p, rotations, translations) for p in general]
    for attempt in range(100_000):
        if found:
            last = max(_LETTERS.index(x) for x in found if found[x][1] == len(rotations))
            if len(found) == last + 1:
                break
        point = (
            rng.uniform(0, 1, 3) if attempt == 0 else _special_point(rotations, translations, rng)
        )
        if point is None or (attempt and letter_of(point) is not None):
            continue
        orbits = [*generic_orbits, _orbit(point, rotations, translations)]
        species = [i + 1 for i, orbit in enumerate(orbits) for _ in orbit]
        cell = moyopy.Cell(
            _dummy_lattice(number).tolist(), np.concatenate(orbits).tolist(), species
        )
        dataset = moyopy.MoyoDataset(cell, symprec=1e-4, setting=moyopy.Setting.hall_number(hall))
        if dataset.number != number:
            continue
        normalizer = dataset.normalizer_wyckoff_positions()
        for positions in [normalizer.wyckoffs, *(c[1] for c in normalizer.coset_representatives)]:
            for position in positions:
                if position.letter not in found:
                    linear, shift = parse_triplet(position.coordinates)
                    found[position.letter] = [
                        position.letter,
                        position.multiplicity,
                        position.site_symmetry,
                        position.coordinates.replace(" ", ""),
                    ]
                    maps[position.letter] = (integer_annihilator(linear), np.array(shift))
    else:
        raise RuntimeError(f"group {number}: positions found: {''.join(sorted(found))}")
    return [found[letter] for letter in _LETTERS[: len(found)]]


def _proper_rotations(lattice: NDArray[Any]) -> NDArray[Any]:
    """Return the proper integer rotations that leave a lattice's metric unchanged."""
    metric = lattice @ lattice.T
    found = []
    for entries in itertools.product((-1, 0, 1), repeat=9):
        matrix = np.array(entries).reshape(3, 3)
        if round(np.linalg.det(matrix)) == 1 and np.allclose(matrix.T @ metric @ matrix, metric):
            found.append(matrix)
    return np.array(found)


def _polar_axes(rotations: NDArray[Any]) -> list[int]:
    """Return for each axis whether the origin can be moved along it by any amount."""
    return [int(all(np.array_equal(r[:, i], np.eye(3)[i]) for r in rotations)) for i in range(3)]


def normalizer_table(
    number: int, hall: int, wyckoff: list[list[Any]], proper: NDArray[Any]
) -> tuple[list[int], list[list[Any]]]:
    """Return the polar axes and the other ways to describe the same crystals in one group.

    Each is ``[rotation (9 integers), translation in 1/24, letters]``: one element for
    each coset of the group in its proper Euclidean normalizer (generic metric,
    continuous translations left out); ``letters[i]`` is what the i-th position becomes.
    """
    database: Any = spglib.get_symmetry_from_database(hall)
    rotations = database["rotations"]
    translations = np.rint(database["translations"] * GRID).astype(int)
    polar = _polar_axes(rotations)
    axes = [range(1) if polar[i] else range(GRID) for i in range(3)]
    grid = np.array(list(itertools.product(*axes)))
    allowed: dict[bytes, NDArray[Any]] = {}
    for rotation in np.unique(rotations, axis=0):
        same = (rotations == rotation).all((1, 2))
        allowed[rotation.astype(np.int64).tobytes()] = translations[same]

    elements: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for matrix in proper:
        inverse = np.rint(np.linalg.inv(matrix)).astype(int)
        shifts = grid
        for rotation, translation in zip(rotations, translations, strict=True):
            conjugate = (matrix @ rotation @ inverse).astype(np.int64)
            targets = allowed.get(conjugate.tobytes())
            if targets is None:
                shifts = grid[:0]
                break
            new = matrix @ translation + shifts - shifts @ conjugate.T
            # (m, 1, 3) against the (k, 3) translations that go with this rotation
            fits = ((new[:, None] - targets) % GRID == 0).all(2).any(1)
            shifts = shifts[fits]
        elements += [(matrix, shift) for shift in shifts]

    keep = np.array([0 if p else 1 for p in polar])
    seen: set[tuple[int, ...]] = set()
    table = []
    elements.sort(key=lambda e: (not np.array_equal(e[0], np.eye(3)), tuple(e[1])))
    for matrix, shift in elements:
        if (*matrix.ravel().tolist(), *shift.tolist()) in seen:
            continue
        for rotation, translation in zip(rotations, translations, strict=True):
            moved = ((matrix @ translation + shift) % GRID) * keep
            seen.add((*(matrix @ rotation).ravel().tolist(), *moved.tolist()))
        letters = ""
        rng = np.random.default_rng(1)
        for _, multiplicity, _, triplet in wyckoff:
            linear, constant = parse_triplet(triplet)
            point = matrix @ (linear @ rng.uniform(0, 1, 3) + constant) + shift / GRID
            orbit = rotations @ point + translations / GRID
            for letter, other_multiplicity, _, other in wyckoff:
                other_linear, other_constant = parse_triplet(other)
                gap = (orbit - other_constant) @ integer_annihilator(other_linear).T
                if other_multiplicity == multiplicity and (
                    gap.shape[1] == 0 or (np.abs(gap - np.rint(gap)).max(1) < 1e-6).any()
                ):
                    letters += letter
                    break
        if sorted(letters) != sorted(row[0] for row in wyckoff):
            raise RuntimeError(f"group {number}: normalizer maps the positions to {letters}")
        table.append([matrix.ravel().tolist(), shift.tolist(), letters])
    return polar, table


def main() -> None:
    """Build, check and write the table beside this file."""
    rng = np.random.default_rng(0)
    halls = lowest_hall_numbers()
    groups: list[dict[str, Any]] = []
    proper: dict[bytes, NDArray[Any]] = {}
    for number, hall in enumerate(halls, start=1):
        wyckoff = wyckoff_table(number, hall, rng)
        lattice = _dummy_lattice(number)
        if lattice.tobytes() not in proper:
            proper[lattice.tobytes()] = _proper_rotations(lattice)
        polar, normalizer = normalizer_table(number, hall, wyckoff, proper[lattice.tobytes()])
        groups.append(
            {
                "hall_number": hall,
                "wyckoff": wyckoff,
                "polar": polar,
                "normalizer": normalizer,
            }
        )
    total = sum(len(group["wyckoff"]) for group in groups)
    if total != N_POSITIONS:
        raise RuntimeError(f"{total} Wyckoff positions instead of {N_POSITIONS}")
    lines = ",\n".join(json.dumps(group, separators=(",", ":")) for group in groups)
    path = Path(__file__).with_name("space_groups.json")
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{path}: {total} positions of {len(groups)} groups")


if __name__ == "__main__":
    main()
