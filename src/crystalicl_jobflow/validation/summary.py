"""What a crystal is: formula, primitive atom count, density, space group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.thresholds import SYMPREC


@dataclass(frozen=True)
class CrystalSummary:
    """The facts about one crystal that conditions ask for and stores are queried by.

    Parameters
    ----------
    formula, anonymous_formula, chemsys, elements
        Reduced formula, its anonymised form, the system ("Ca-O-Ti") and its elements, sorted.
    num_sites
        Sites in the primitive cell; in the given cell where no symmetry was found.
    density
        g/cm³; None for a cell without volume.
    volume
        Volume of the given cell, Å³.
    space_group, space_group_symbol
        Number and short Hermann–Mauguin symbol found, None where spglib finds none.
    """

    formula: str
    anonymous_formula: str
    chemsys: str
    elements: tuple[str, ...]
    num_sites: int
    density: float | None
    volume: float
    space_group: int | None
    space_group_symbol: str | None


def crystal_summary(structure: Structure, *, symprec: float = SYMPREC) -> CrystalSummary:
    """Describe a crystal.

    Parameters
    ----------
    structure
        Crystal, ordered or not.
    symprec
        Symmetry tolerance in Å.
    """
    composition = crystal_composition(structure)
    space_group, symbol, primitive = find_space_group(structure, symprec=symprec)
    return CrystalSummary(
        formula=composition.reduced_formula,
        anonymous_formula=composition.anonymized_formula,
        chemsys=composition.chemical_system,
        elements=tuple(sorted(element.symbol for element in composition.elements)),
        num_sites=primitive,
        density=float(structure.density) if structure.volume > 0 else None,
        volume=float(structure.volume),
        space_group=space_group,
        space_group_symbol=symbol,
    )


def find_space_group(
    structure: Structure, *, symprec: float = SYMPREC
) -> tuple[int | None, str | None, int]:
    """Return the space group's number and symbol and the primitive cell's number of sites.

    Returns
    -------
    tuple
        Number, symbol, sites; None, None and the given cell's sites where spglib finds no
        group (atoms on top of each other).
    """
    dataset = structure_dataset(structure, symprec=symprec)
    if dataset is None:
        return None, None, len(structure)
    primitive = int(np.max(dataset.mapping_to_primitive)) + 1
    return int(dataset.number), str(dataset.international), primitive


def equivalent_sites(structure: Structure, *, symprec: float = 0.01) -> dict[int, int]:
    """Return one site of each orbit, and how many sites the orbit has in the cell.

    Parameters
    ----------
    structure
        The crystal.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    dict
        Index of a site → number of sites equivalent to it, itself included; every site
        alone where no symmetry is found.
    """
    dataset = structure_dataset(structure, symprec=symprec)
    if dataset is None:
        return dict.fromkeys(range(len(structure)), 1)
    first, counts = np.unique(dataset.crystallographic_orbits, return_counts=True)
    return {int(index): int(count) for index, count in zip(first, counts, strict=True)}
