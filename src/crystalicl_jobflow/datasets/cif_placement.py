"""Listed atoms put onto their special positions and expanded by a space group.

Files round: 0.333 beside a threefold axis is a third. An operation that moves an atom by no
more than rounding can explain leaves it in place, and the atom is averaged over those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.group_settings import DENOMINATOR, GroupSetting
from crystalicl_jobflow.datasets.cif_atoms import ListedAtom
from crystalicl_jobflow.thresholds import MAX_SITES, MIN_DISTANCE, OCCUPANCY_TOLERANCE

SAME_PLACE = 0.01
"""Å; atoms closer than this are at one place and share it. A choice of this package."""

MAX_MOVE = 0.1
"""Å; how far an atom is moved at most where its images would otherwise overlap.

A choice of this package: with two decimals in a cell of 10 Å rounding moves an atom by 0.05 Å
along each axis."""

_EXACT = 1e-4  # fractional; as written, closer images are one
_MIN_DECIMALS, _MAX_DECIMALS = 3, 4
_ROUNDS = 4
_FRACTIONS = (1 / 6, 1 / 3, 2 / 3, 5 / 6)


@dataclass(eq=False)
class PlacedSite:
    """One place and its images.

    Attributes
    ----------
    species
        Element → occupancy, at most 1 together.
    coords
        All images, fractional, shape (multiplicity, 3), the listed atom first.
    label
        Of the first atom listed there.
    """

    species: dict[str, float]
    coords: NDArray[np.float64]
    label: str


@dataclass(eq=False)
class Placed:
    """The cell's contents as one setting gives them.

    Attributes
    ----------
    sites
        The places.
    multiplicities
        Images of each listed atom, in the order of the file.
    remarks
        What was mended.
    problem
        Why these cannot be a crystal's contents; None where they can.
    """

    sites: list[PlacedSite]
    multiplicities: list[int]
    remarks: list[str] = field(default_factory=list)
    problem: str | None = None

    def contents(self) -> dict[str, float]:
        """Return the atoms of each element in the cell."""
        amounts: dict[str, float] = {}
        for site in self.sites:
            for element, share in site.species.items():
                amounts[element] = amounts.get(element, 0.0) + share * len(site.coords)
        return amounts

    def structure(self, cell: Sequence[float]) -> Structure:
        """Build the structure.

        Parameters
        ----------
        cell
            a, b, c in Å, and the angles in degrees.
        """
        species: list[dict[str, float] | str] = []
        for site in self.sites:
            only = next(iter(site.species)) if site.species and len(site.species) == 1 else None
            what = only if only is not None and site.species[only] == 1.0 else site.species
            species += [what] * len(site.coords)
        coords = np.concatenate([site.coords for site in self.sites])
        return Structure(Lattice.from_parameters(*cell), species, coords)


def place_atoms(
    atoms: Sequence[ListedAtom], setting: GroupSetting, matrix: NDArray[np.float64]
) -> Placed:
    """Expand listed atoms by the operations of a space group.

    Parameters
    ----------
    atoms
        As listed in a file.
    setting
        The space group in the file's setting.
    matrix
        Lattice vectors as rows in Å, shape (3, 3).
    """
    rotations = setting.rotations.astype(float)
    translations = setting.translations / DENOMINATOR
    placed = Placed([], [])
    places = _Places(matrix)
    # all atoms at once would be a large array for long lists and large groups
    for atom in atoms:
        images, remark, problem = _orbit(atom, rotations, translations, matrix)
        placed.multiplicities.append(len(images))
        placed.problem = placed.problem or problem
        if remark:
            placed.remarks.append(remark)
        held = places.find(images[0])
        if held is None and places.count + len(images) > MAX_SITES:
            placed.problem = f"the cell would hold more than {MAX_SITES} sites"
            return placed
        if held is None:
            places.add(images, len(placed.sites))
            placed.sites.append(PlacedSite({atom.element: atom.occupancy}, images, atom.label))
        else:
            _share(placed, placed.sites[held], atom)
    for site in placed.sites:
        total = sum(site.species.values())
        if total > OCCUPANCY_TOLERANCE:
            placed.problem = placed.problem or (
                f"the occupancies at site {site.label} add up to {total:.4g}"
            )
        elif total > 1:
            site.species = {name: share / total for name, share in site.species.items()}
    return placed


def _orbit(
    atom: ListedAtom,
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float64], str | None, str | None]:
    """Return an atom's images, what was mended, and why it cannot be where it is."""
    written = np.array(atom.coords)
    if len(rotations) == 1:
        return written[None], None, None
    turns = rotations - np.eye(3)
    decimals = min(max(atom.decimals, _MIN_DECIMALS), _MAX_DECIMALS)
    bound = np.abs(turns).sum(2) * 0.5 * 10.0**-decimals + 1e-6  # (operations, 3)
    start = written
    point = _averaged(start, rotations, translations, bound)
    images = _distinct(point, rotations, translations)
    fraction = _as_fraction(written, atom.decimals)
    if len(images) > 1 and (fraction != written).any():
        exact = _averaged(fraction, rotations, translations, bound)
        fewer = _distinct(exact, rotations, translations)
        if len(fewer) < len(images):
            start, point, images = fraction, exact, fewer
    problem = None
    if atom.occupancy > 0.5 and len(images) > 1 and _nearest(images, matrix) < MIN_DISTANCE:
        # full atoms do not overlap their images: this one is meant to be on the position
        near = np.array([MIN_DISTANCE / float(length) for length in np.linalg.norm(matrix, axis=1)])
        moved = _averaged(start, rotations, translations, np.broadcast_to(near, bound.shape))
        shift = moved - start
        distance = float(np.linalg.norm((shift - np.rint(shift)) @ matrix))
        others = _distinct(moved, rotations, translations)
        clear = len(others) == 1 or _nearest(others, matrix) >= MIN_DISTANCE
        if distance <= MAX_MOVE and clear:
            point, images = moved, others
        else:
            problem = (
                f"site {atom.label} lies {_nearest(images, matrix):.2f} Å from its own image: it is"
                " near a special position, and not on it"
            )
    remark = None
    if len(images) != len(_distinct(written, rotations, translations)):
        was, now = (" ".join(f"{value:.6g}" for value in xyz) for xyz in (written, point))
        remark = f"site {atom.label} at {was} was moved onto its special position {now}"
    return images, remark, problem


def _as_fraction(point: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Return coordinates of which thirds and sixths, rounded or cut off, are exact."""
    whole = np.floor(point)
    result = point.copy()
    for axis, value in enumerate(point - whole):
        for digits in range(2, decimals + 1):
            scaled = value * 10**digits
            if abs(scaled - round(scaled)) > 1e-6:
                continue  # it has more decimals
            for fraction in _FRACTIONS:  # 0.67 is two thirds, and 0.66 is where it is cut off
                exact = fraction * 10**digits
                if round(scaled) in (round(exact), int(exact)):
                    result[axis] = whole[axis] + fraction
            break
    return result


def _averaged(
    point: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    bound: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Average a point over the operations that move it by less than a bound, until it stays."""
    result = point.copy()
    for _ in range(_ROUNDS):
        moves = rotations @ result + translations - result
        moves -= np.rint(moves)
        stays = (np.abs(moves) <= bound).all(1)
        if not stays.any():
            break
        step = moves[stays].mean(0)
        result += step
        if np.abs(step).max() < 1e-12:
            break
    return result


def _distinct(
    point: NDArray[np.float64], rotations: NDArray[np.float64], translations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the images of a point, those within `_EXACT` of an earlier one left out."""
    images = rotations @ point + translations
    moves = images - point
    stabilizer = int((np.abs(moves - np.rint(moves)).max(1) < _EXACT).sum())
    if stabilizer > 1:
        gaps = images[:, None] - images[None]
        same = np.abs(gaps - np.rint(gaps)).max(2) < 2 * _EXACT
        images = images[np.argmax(same, axis=1) == np.arange(len(images))]
    return np.asarray(images - np.floor(images + 1e-9))


def _nearest(images: NDArray[np.float64], matrix: NDArray[np.float64]) -> float:
    """Return the distance in Å of a point's nearest image."""
    gaps = images[1:] - images[0]
    return float(np.linalg.norm((gaps - np.rint(gaps)) @ matrix, axis=1).min())


class _Places:
    """The images placed so far, and whose they are."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self.count = 0
        self._matrix = matrix
        self._coords = np.empty((MAX_SITES, 3))
        self._owners = np.empty(MAX_SITES, dtype=np.int64)

    def find(self, point: NDArray[np.float64]) -> int | None:
        """Return which site is within `SAME_PLACE` of a point."""
        gaps = self._coords[: self.count] - point
        gaps -= np.rint(gaps)
        near = np.flatnonzero(((gaps @ self._matrix) ** 2).sum(1) < SAME_PLACE**2)
        return int(self._owners[near[0]]) if len(near) else None

    def add(self, images: NDArray[np.float64], owner: int) -> None:
        """Take the images of a site."""
        end = self.count + len(images)
        self._coords[self.count : end] = images
        self._owners[self.count : end] = owner
        self.count = end


def _share(placed: Placed, site: PlacedSite, atom: ListedAtom) -> None:
    """Put an atom onto a place where there is one already."""
    held = site.species.get(atom.element, 0.0)
    if held > 0.999 and atom.occupancy > 0.999:
        placed.remarks.append(f"site {atom.label} is listed already, as {site.label}")
    else:
        site.species[atom.element] = held + atom.occupancy
