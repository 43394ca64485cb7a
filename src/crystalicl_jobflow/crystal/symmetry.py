"""From a structure to its space group, standard cell and one site per orbit.

spglib decides, since the metrics are defined with it, but moyopy is several times faster and
agrees with it on nearly every crystal. Where it does not, either two tolerances of moyopy differ
as well, or moyopy finds a triclinic or monoclinic group in a cell that spglib, which is laxer
about lattices, takes for a higher one. So moyopy's result is used above those two systems if it is
the same at both tolerances. On the MP-20, Perov-5 and Carbon-24 test files 4, 0 and 0 such answers
differ from spglib's (of 3,564, 1,919 and 1,048).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray

from crystalicl_jobflow.crystal.bounds import cell_fault
from crystalicl_jobflow.crystal.wyckoff import (
    SNAP_TOLERANCE,
    SnapResult,
    centring_multiplicity,
    snap,
)
from crystalicl_jobflow.thresholds import ANGLE_TOLERANCE, SLENDER_CELL, SYMPREC

if TYPE_CHECKING:
    from pymatgen.core import Structure

#: moyopy's answer is taken where it is the same at this share of the tolerance, ...
_SECOND_FACTOR = 0.5
#: ... which is not tested for a crystal whose deviation from symmetry is below this share:
#: of 5,200 in the test files of MP-20, Perov-5 and Carbon-24 none had another group there.
_EXACT = 0.03
#: And where the group's number is above this, the last monoclinic one.
_LAST_LEFT_TO_SPGLIB = 15
#: Where no symmetry is found at a tolerance, or its orbits do not add up, go tighter.
_TIGHTER = (1.0, 0.3, 0.1, 0.01, 0.001)
#: Where snapping merges an orbit with its images (partly occupied sites close to a special
#: position), smaller tolerances are tried, fractional; see `wyckoff.SNAP_TOLERANCE`.
_SNAP_TOLERANCES = (SNAP_TOLERANCE, SNAP_TOLERANCE / 3, SNAP_TOLERANCE / 10, SNAP_TOLERANCE / 100)
_SETTING = moyopy.Setting.spglib()
#: Newer versions of spglib can be set to raise this; older ones only return None.
_SPGLIB_ERROR: type[Exception] = getattr(spglib, "SpglibError", RuntimeError)

# moyopy warns of non-primitive input cells; this concerns operations that we do not use.
logging.getLogger("moyo").setLevel(logging.ERROR)
logging.getLogger("moyopy").setLevel(logging.ERROR)


@dataclass(frozen=True, eq=False)
class StandardCell:
    """A crystal in the standard setting of its space group.

    Attributes
    ----------
    number
        Space-group number.
    lattice
        Rows are the conventional cell's vectors in Å, shape (3, 3).
    labels
        What occupies each orbit, shape (n,).
    points
        One point of each orbit, exactly on its Wyckoff position.
    """

    number: int
    lattice: NDArray[np.float64]
    labels: NDArray[np.integer[Any]]
    points: SnapResult

    @property
    def frac_coords(self) -> NDArray[np.float64]:
        """Of one point of each orbit, shape (n, 3)."""
        return self.points.frac_coords

    @property
    def multiplicity(self) -> NDArray[np.int64]:
        """Points of each orbit in the conventional cell, shape (n,)."""
        return self.points.multiplicity


class _Found(NamedTuple):
    """What a symmetry search gives: as `StandardCell`, with points that are not snapped yet."""

    number: int
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    labels: NDArray[np.integer[Any]]
    multiplicity: list[int]


def standard_cell(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    *,
    symprec: float = SYMPREC,
    partly_occupied: bool = False,
) -> StandardCell:
    """Find the space group of a crystal and bring it into the standard setting.

    Parameters
    ----------
    lattice
        Rows are lattice vectors in Å, shape (3, 3).
    frac_coords
        Shape (n, 3).
    labels
        One integer per atom; equal integers are the same species. Shape (n,).
    symprec
        Tolerance in Å. Where nothing consistent is found, smaller ones are tried, and finally P1
        is used.
    partly_occupied
        Whether sites may be closer to their images than atoms can be: smaller snap tolerances
        are then tried before the symmetry is given up. Whole atoms are snapped as a text with
        two decimals is when it is read again, so that it gives the same crystal.

    Raises
    ------
    ValueError
        If a number of the cell or the number of sites is out of bounds.
    """
    fault = cell_fault(lattice, frac_coords)
    if fault is not None:
        raise ValueError(fault)
    for found in _candidates(lattice, frac_coords, labels, symprec):
        for tolerance in _SNAP_TOLERANCES if partly_occupied else _SNAP_TOLERANCES[:1]:
            snapped = snap(found.frac_coords, found.number, tolerance)
            if snapped.multiplicity.tolist() == found.multiplicity:
                return StandardCell(found.number, found.lattice, found.labels, snapped)
    return StandardCell(1, lattice, labels, snap(frac_coords, 1))


def has_group(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    number: int,
) -> bool:
    """Return whether a crystal's group at `SYMPREC` is this one; spglib decides.

    Parameters
    ----------
    lattice, frac_coords, labels
        The crystal, see `standard_cell`.
    number
        Space-group number.
    """
    if cell_fault(lattice, frac_coords) is not None:
        return False
    if number > _LAST_LEFT_TO_SPGLIB:
        cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), labels.tolist())
        try:
            fast = moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=_SETTING)
        except ValueError:
            fast = None
        if fast is not None and fast.number == number:
            return True
    dataset = spglib_dataset(lattice, frac_coords, labels)
    return dataset is not None and dataset.number == number


def spglib_dataset(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    *,
    symprec: float = SYMPREC,
    angle_tolerance: float = ANGLE_TOLERANCE,
) -> Any:
    """Return what spglib finds, or None where it finds nothing or a number is out of bounds.

    Parameters
    ----------
    lattice, frac_coords, labels
        The crystal, see `standard_cell`.
    symprec
        Tolerance in Å.
    angle_tolerance
        Degrees; below 0 spglib judges angles by `symprec` too, as it does in a slender cell
        (`is_slender`) whatever is given.
    """
    if cell_fault(lattice, frac_coords) is not None:  # spglib could crash the process
        return None
    if is_slender(lattice):
        angle_tolerance = -1.0
    cell: Any = (lattice, frac_coords, labels)  # spglib's annotation names lists only
    try:
        return spglib.get_symmetry_dataset(cell, symprec, angle_tolerance)
    except _SPGLIB_ERROR:
        return None


def is_slender(lattice: NDArray[np.float64]) -> bool:
    """Return whether the reduced cell is longer than `SLENDER_CELL` times its shortest vector.

    Parameters
    ----------
    lattice
        Rows are lattice vectors in Å, shape (3, 3).
    """
    lattice = np.asarray(lattice, dtype=float)
    if _is_plainly_not_slender(lattice.tolist()):
        return False
    reduced = spglib.delaunay_reduce(lattice)
    lengths = np.linalg.norm(lattice if reduced is None else reduced, axis=1)
    return bool(lengths.max() > SLENDER_CELL * lengths.min())


def _is_plainly_not_slender(vectors: list[list[float]]) -> bool:
    """Return whether a cell is far from slender without a reduction: most are.

    No vector of the lattice is shorter than the least distance of a cell's faces, and no reduced
    one much longer than the longest.
    """
    a, b, c = vectors
    areas = [math.hypot(*_cross(b, c)), math.hypot(*_cross(c, a)), math.hypot(*_cross(a, b))]
    volume = abs(sum(x * y for x, y in zip(a, _cross(b, c), strict=True)))
    longest = max(math.hypot(*vector) for vector in vectors)
    return 2 * longest * max(areas) < SLENDER_CELL * volume


def _cross(a: list[float], b: list[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def group_number(structure: Structure, symprec: float = SYMPREC) -> int:
    """Return the space-group number of a structure, as its text would declare it.

    Parameters
    ----------
    structure
        Crystal, ordered or not.
    symprec
        Tolerance in Å.
    """
    kinds: dict[object, int] = {}
    labels = np.array([kinds.setdefault(site.species, len(kinds) + 1) for site in structure])
    matrix = np.array(structure.lattice.matrix, dtype=float)
    points = np.array(structure.frac_coords, dtype=float)
    return standard_cell(matrix, points, labels, symprec=symprec).number


def structure_dataset(
    structure: Structure, *, symprec: float = SYMPREC, angle_tolerance: float = ANGLE_TOLERANCE
) -> Any:
    """Return what spglib finds in a structure, or None where it finds nothing.

    The group is that of pymatgen's ``SpacegroupAnalyzer(structure, symprec)``; spglib is called
    directly, which is several times faster.

    Parameters
    ----------
    structure
        Crystal, ordered or not.
    symprec, angle_tolerance
        See `spglib_dataset`.
    """
    kinds: dict[object, int] = {}
    labels = np.array([kinds.setdefault(site.species, len(kinds) + 1) for site in structure])
    return spglib_dataset(
        structure.lattice.matrix,
        structure.frac_coords,
        labels,
        symprec=symprec,
        angle_tolerance=angle_tolerance,
    )


def _candidates(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    symprec: float,
) -> Iterator[_Found]:
    fast = _with_moyopy(lattice, frac_coords, labels, symprec)
    if fast is not None:
        yield fast
    for factor in _TIGHTER:
        found = _with_spglib(lattice, frac_coords, labels, symprec * factor)
        if found is not None:
            yield found


def _with_moyopy(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    symprec: float,
) -> _Found | None:
    cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), labels.tolist())
    try:
        dataset = moyopy.MoyoDataset(cell, symprec=symprec, setting=_SETTING)
        if dataset.number <= _LAST_LEFT_TO_SPGLIB:
            return None
        primitive = dataset.prim_std_cell
        basis, positions = np.array(primitive.basis), np.array(primitive.positions)
        mapping = dataset.mapping_std_prim
        if (
            dataset.symprec != symprec
            or _deviation(dataset, lattice, frac_coords, basis, positions[mapping])
            > symprec * _EXACT
        ):
            tighter = moyopy.MoyoDataset(cell, symprec=symprec * _SECOND_FACTOR, setting=_SETTING)
            if tighter.number != dataset.number:
                return None
    except ValueError:
        return None
    orbits = dataset.orbits
    counts = Counter(orbits)  # in the order of their first atoms
    first = [mapping[orbits.index(orbit)] for orbit in counts]
    std_basis = np.array(dataset.std_cell.basis)
    return _Found(
        dataset.number,
        std_basis,
        positions[first] @ basis @ np.linalg.inv(std_basis),
        labels[list(counts)],
        _in_conventional_cell(counts.values(), len(labels), len(positions), dataset.number),
    )


def _deviation(
    dataset: moyopy.MoyoDataset,
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    basis: NDArray[np.float64],
    positions: NDArray[np.float64],
) -> float:
    """Return the largest deviation, in Å, of a crystal from the symmetry that was found.

    Parameters
    ----------
    dataset
        What moyopy found.
    lattice, frac_coords
        The crystal: vectors as rows in Å, shape (3, 3), and atoms, shape (n, 3).
    basis, positions
        The symmetrised primitive cell, and where each atom of the crystal is in it.
    """
    change = np.array(dataset.prim_std_linear)
    turned = (lattice.T @ change).T @ np.array(dataset.std_rotation_matrix).T
    gaps = (frac_coords - dataset.prim_std_origin_shift) @ np.linalg.inv(change).T
    gaps -= positions
    gaps -= np.rint(gaps)
    return float(np.abs(np.concatenate((turned - basis, gaps @ basis))).max())


def _with_spglib(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    symprec: float,
) -> _Found | None:
    dataset = spglib_dataset(lattice, frac_coords, labels, symprec=symprec)
    if dataset is None:
        return None
    orbits = dataset.crystallographic_orbits.tolist()
    counts = Counter(orbits)  # in the order of their first atoms, by which they are named
    mapping = dataset.std_mapping_to_primitive.tolist()
    primitive = dataset.mapping_to_primitive.tolist()
    index = [mapping.index(primitive[atom]) for atom in counts]
    return _Found(
        dataset.number,
        np.array(dataset.std_lattice),
        np.array(dataset.std_positions)[index],
        labels[list(counts)],
        _in_conventional_cell(counts.values(), len(labels), max(mapping) + 1, dataset.number),
    )


def _in_conventional_cell(
    counts: Iterable[int], n_input: int, n_primitive: int, number: int
) -> list[int]:
    """Return orbit sizes in the conventional cell from those in the input cell.

    A size that is not a whole number is returned as 0, which no orbit has.
    """
    scale = n_primitive * centring_multiplicity(number)
    sizes = (divmod(count * scale, n_input) for count in counts)
    return [0 if rest else size for size, rest in sizes]
