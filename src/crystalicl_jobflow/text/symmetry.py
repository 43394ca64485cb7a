"""From a structure to its space group, standard cell and one site per orbit.

spglib decides, since the metrics are defined with it, but moyopy is several times
faster and agrees with it on nearly every crystal. Where it does not, either two
tolerances of moyopy differ as well, or moyopy finds a triclinic or monoclinic group in
a cell that spglib, which is laxer about lattices, takes for a higher one. So moyopy
answers above those two systems when it says the same at both tolerances. On the MP-20,
Perov-5 and Carbon-24 test files 4, 0 and 0 such answers differ from spglib's (of 3,564,
1,919 and 1,048).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray

from crystalicl_jobflow.text.spacegroups import centring_multiplicity, snap

#: Å; the tolerance at which the data sets' groups and all metrics are defined.
SYMPREC = 0.1
#: Degrees; pymatgen's SpacegroupAnalyzer passes the same to spglib.
ANGLE_TOLERANCE = 5.0
#: moyopy's answer is taken where it is the same at `SYMPREC` times each of these ...
_FAST_FACTORS = (1.0, 0.5)
#: ... and the group's number is above this, the last monoclinic one.
_LAST_LEFT_TO_SPGLIB = 15
#: Where no symmetry is found at a tolerance, or its orbits do not add up, go tighter.
_TIGHTER = (1.0, 0.3, 0.1, 0.01, 0.001)

# moyopy remarks on non-primitive input cells, which concern operations we do not use.
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
    frac_coords
        One point of each orbit, exactly on its Wyckoff position, shape (n, 3).
    labels
        What occupies each orbit, shape (n,).
    multiplicity
        Shape (n,).
    """

    number: int
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    labels: NDArray[np.integer[Any]]
    multiplicity: NDArray[np.int64]


def standard_cell(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    *,
    symprec: float = SYMPREC,
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
        Tolerance in Å. Where nothing consistent is found, smaller ones are tried, and
        in the end the crystal is described in P1.
    """
    for found in _candidates(lattice, frac_coords, labels, symprec):
        snapped = snap(found.frac_coords, found.number)
        if np.array_equal(snapped.multiplicity, found.multiplicity):
            return StandardCell(
                found.number, found.lattice, snapped.frac_coords, found.labels, found.multiplicity
            )
    ones = np.ones(len(labels), dtype=np.int64)
    return StandardCell(1, lattice, frac_coords, labels, ones)


def has_group(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    number: int,
) -> bool:
    """Tell whether a crystal's group at `SYMPREC` is this one; spglib has the last word."""
    if number > _LAST_LEFT_TO_SPGLIB:
        cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), labels.tolist())
        try:
            fast = moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.spglib())
        except ValueError:
            fast = None
        if fast is not None and fast.number == number:
            return True
    arrays: Any = (lattice, frac_coords, labels)  # spglib's annotation names lists only
    try:
        dataset = spglib.get_symmetry_dataset(arrays, SYMPREC, ANGLE_TOLERANCE)
    except spglib.SpglibError:
        return False
    return dataset is not None and dataset.number == number


def _candidates(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    symprec: float,
) -> Iterator[StandardCell]:
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
) -> StandardCell | None:
    cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), labels.tolist())
    datasets = []
    for factor in _FAST_FACTORS:
        try:
            dataset = moyopy.MoyoDataset(
                cell, symprec=symprec * factor, setting=moyopy.Setting.spglib()
            )
        except ValueError:
            return None
        datasets.append(dataset)
        if dataset.number != datasets[0].number or dataset.number <= _LAST_LEFT_TO_SPGLIB:
            return None
    dataset = datasets[0]
    basis = np.array(dataset.std_cell.basis)
    primitive = dataset.prim_std_cell
    orbits, first, counts = np.unique(dataset.orbits, return_index=True, return_counts=True)
    index = np.array(dataset.mapping_std_prim)[first]
    coords = np.array(primitive.positions)[index] @ np.array(primitive.basis) @ np.linalg.inv(basis)
    return StandardCell(
        dataset.number,
        basis,
        coords,
        labels[orbits],
        _in_conventional_cell(counts, len(labels), len(primitive.numbers), dataset.number),
    )


def _with_spglib(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    symprec: float,
) -> StandardCell | None:
    cell: Any = (lattice, frac_coords, labels)  # spglib also takes arrays
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec, ANGLE_TOLERANCE)
    except spglib.SpglibError:
        return None
    if dataset is None:
        return None
    orbits, first, counts = np.unique(
        dataset.crystallographic_orbits, return_index=True, return_counts=True
    )
    mapping = dataset.std_mapping_to_primitive
    index = [int(np.argmax(mapping == p)) for p in dataset.mapping_to_primitive[first]]
    return StandardCell(
        dataset.number,
        np.array(dataset.std_lattice),
        np.array(dataset.std_positions)[index],
        labels[orbits],
        _in_conventional_cell(counts, len(labels), int(mapping.max()) + 1, dataset.number),
    )


def _in_conventional_cell(
    counts: NDArray[np.int64], n_input: int, n_primitive: int, number: int
) -> NDArray[np.int64]:
    """Return orbit sizes in the conventional cell from those in the input cell.

    A size that is no whole number comes back as 0, which no orbit has.
    """
    sizes = counts * (n_primitive * centring_multiplicity(number))
    return np.where(sizes % n_input == 0, sizes // n_input, 0)
