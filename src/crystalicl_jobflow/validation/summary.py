"""What a crystal is: formula, primitive atom count, density, space group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.metadata import symmetry_metadata
from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters
from crystalicl_jobflow.text.sgs import SGS
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
    wyckoff
        Element to the Wyckoff letters of its orbits; None where they were not looked for, or no
        symmetry was found.
    symmetry
        All that was found, see :func:`~crystalicl_jobflow.crystal.metadata.symmetry_metadata`.
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
    symmetry: Mapping[str, Any] = field(default_factory=dict)
    wyckoff: WyckoffLetters | None = None


def crystal_summary(
    structure: Structure, *, symprec: float = SYMPREC, letters: bool = False
) -> CrystalSummary:
    """Describe a crystal.

    Parameters
    ----------
    structure
        Crystal, ordered or not.
    symprec
        Symmetry tolerance in Å.
    letters
        Whether its Wyckoff letters are looked for.
    """
    composition = crystal_composition(structure)
    dataset = structure_dataset(structure, symprec=symprec)
    symmetry = symmetry_metadata(dataset, symprec=symprec)
    return CrystalSummary(
        formula=composition.reduced_formula,
        anonymous_formula=composition.anonymized_formula,
        chemsys=composition.chemical_system,
        elements=tuple(sorted(element.symbol for element in composition.elements)),
        num_sites=_primitive_sites(structure, dataset),
        density=float(structure.density) if structure.volume > 0 else None,
        volume=float(structure.volume),
        space_group=symmetry["number"],
        space_group_symbol=symmetry["symbol"],
        symmetry=symmetry,
        wyckoff=find_letters(structure, symmetry["number"], symprec=symprec) if letters else None,
    )


def find_letters(
    structure: Structure, number: int | None, *, symprec: float = SYMPREC
) -> WyckoffLetters | None:
    """Return the Wyckoff letters of a crystal in a space group, in the texts' setting.

    Parameters
    ----------
    structure
        Crystal, ordered or not.
    number
        Its space group.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    WyckoffLetters or None
        None where the texts' own search finds no symmetry or another group.
    """
    try:
        crystal = SGS.analyze(structure, symprec)
    except ValueError:
        return None
    return crystal.wyckoff if crystal.space_group_number == number else None


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
    primitive = _primitive_sites(structure, dataset)
    return int(dataset.number), str(dataset.international), primitive


def _primitive_sites(structure: Structure, dataset: Any) -> int:
    return len(structure) if dataset is None else int(np.max(dataset.mapping_to_primitive)) + 1


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
