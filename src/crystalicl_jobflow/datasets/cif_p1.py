"""The quick way for plain P1 CIF texts of ordered crystals, of which data sets consist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice

from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.datasets.cif_atoms import ISOTOPES
from crystalicl_jobflow.datasets.cif_block import check_cell
from crystalicl_jobflow.datasets.cif_contents import Stated, compare_formula, read_formula
from crystalicl_jobflow.datasets.cif_placement import SAME_PLACE
from crystalicl_jobflow.thresholds import MAX_COORDINATE, MAX_SITES

_CELL = [f"_cell_length_{x}" for x in "abc"] + [
    f"_cell_angle_{x}" for x in ("alpha", "beta", "gamma")
]
_SYMMETRY_LOOPS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)
_SYMBOLS = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")
_OTHER_SYMMETRY = (
    "_symmetry_space_group_name_Hall", "_space_group_name_Hall", "_space_group.name_Hall",
    "_space_group.name_H-M_alt", "_space_group.IT_number", "_symmetry.space_group_name_H-M",
    "_space_group_magn.name_BNS", "_symmetry_cell_setting",
)  # fmt: skip
_PLACES = ("fract_x", "fract_y", "fract_z")
_MAX_TEXT = 200_000
_MANY = 300  # atoms; the distances of more take longer than the whole way


def read_plain_p1(text: str) -> OrderedCrystal | None:
    """Read a plain P1 text of an ordered crystal, of which data sets consist.

    Several times faster than the whole way, to which all else is left: None is returned for
    every text that is not plain, or of which the contents are not exactly as stated.
    """
    if len(text) > _MAX_TEXT:
        return None
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError):
        return None
    if len(document) != 1 or not _is_p1(document[0]):
        return None
    block = document[0]
    cell = [gemmi.cif.as_number(block.find_value(name) or "?") for name in _CELL]
    listed = _plain_atoms(block)
    if listed is None or not np.isfinite(cell).all():
        return None
    species, points = listed
    check_cell(cell)
    lattice = Lattice.from_parameters(*cell)
    if not _as_stated(block, Counter(species)) or _share_a_place(points, lattice.matrix):
        return None
    return OrderedCrystal(lattice, species, points)


def _plain_atoms(block: Any) -> tuple[list[str], NDArray[np.float64]] | None:
    """Return elements and coordinates, shape (n, 3), of full atoms; None where others are."""
    species, coords = [], []
    for row in block.find("_atom_site_", ["type_symbol", *_PLACES, "?occupancy"]):
        symbol = row[0]
        if not Element.is_valid_symbol(symbol) or symbol in ISOTOPES:
            return None
        if row.has(4) and gemmi.cif.as_number(row[4]) != 1.0:
            return None
        species.append(symbol)
        coords.append([gemmi.cif.as_number(row[i]) for i in (1, 2, 3)])
    points = np.array(coords)
    if not 0 < len(species) <= MAX_SITES or not (np.abs(points) <= MAX_COORDINATE).all():
        return None
    return species, points


def _is_p1(block: Any) -> bool:
    operations = [op for name in _SYMMETRY_LOOPS for op in block.find_values(name)]
    if [gemmi.cif.as_string(op).replace(" ", "").lower() for op in operations] != ["x,y,z"]:
        return False
    symbols = [gemmi.cif.as_string(block.find_value(name) or "P 1") for name in _SYMBOLS]
    numbers = [gemmi.cif.as_string(block.find_value(name) or "1") for name in _NUMBERS]
    # what else can name a group, dotted tags and Hall symbols, is left to the whole way
    others = any(block.find_value(name) for name in _OTHER_SYMMETRY)
    return (
        not others
        and all(symbol in ("P 1", "P1") for symbol in symbols)
        and all(number == "1" for number in numbers)
        and not block.find_values("_atom_site_calc_flag")
    )


def _as_stated(block: Any, found: Mapping[str, int]) -> bool:
    """Tell whether a P1 block states no formula, or exactly what the cell holds."""
    text = gemmi.cif.as_string(block.find_value("_chemical_formula_sum") or "")
    if not text.strip(" ?."):
        return block.find_value("_cell_formula_units_Z") is None
    formula = read_formula(text)
    if formula is None:
        return False
    z = gemmi.cif.as_number(block.find_value("_cell_formula_units_Z") or "?")
    stated = Stated(dict(formula), text, None if np.isnan(z) else z)
    return compare_formula(found, stated) == (None, None)


def _share_a_place(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> bool:
    if len(points) > _MANY:
        return True
    gaps = points[:, None] - points[None]
    gaps -= np.rint(gaps)
    gaps = gaps @ matrix
    near = np.einsum("ijk,ijk->ij", gaps, gaps) < SAME_PLACE**2
    return bool(near.sum() > len(points))
