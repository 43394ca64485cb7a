"""Crystals as people hold them: pymatgen structures and ASE atoms."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from pymatgen.core import Structure


def is_crystal(given: Any) -> bool:
    """Return whether this is a structure or atoms, without importing ASE for it."""
    ase = sys.modules.get("ase")
    return isinstance(given, Structure) or (ase is not None and isinstance(given, ase.Atoms))


def as_structure(given: Any) -> Structure:
    """Return a crystal as a pymatgen structure.

    Parameters
    ----------
    given
        A `Structure`, or ASE's `Atoms` that are periodic in three directions.

    Raises
    ------
    ValueError
        If it is neither, or the atoms have no cell; one line.
    """
    if isinstance(given, Structure):
        return given
    if not is_crystal(given):
        raise ValueError(
            f"a crystal is a pymatgen Structure or ASE Atoms, not {type(given).__name__}"
        )
    if not np.all(given.pbc) or abs(np.linalg.det(given.cell[:])) < 1e-6:
        raise ValueError("the atoms are no crystal: they are not periodic in three directions")
    # symbols and places alone: calculators, constraints and magnetic moments are no part of it
    symbols, places = given.get_chemical_symbols(), given.get_positions()
    return Structure(given.cell[:], symbols, places, coords_are_cartesian=True)
