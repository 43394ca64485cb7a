"""What a crystal is, under the names of emmet and the Materials Project.

The fields mean what they mean in emmet's documents, and tests hold them against what emmet's own
class says. It is not called: its import takes two to four seconds, a third of the time to the
first crystal, and it runs spglib again for the symmetry that all checks have found already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.crystal import space_groups
from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.symmetry import ANGLE_TOLERANCE, SYMPREC

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

CELL_FIELDS = ("nsites", "composition", "volume", "density", "density_atomic", "symmetry")
"""Fields that speak of the cell: a relaxed crystal has others than the generated one."""

_OF_COMPOSITION = (
    "elements", "nelements", "composition_reduced", "formula_pretty", "formula_anonymous",
    "chemsys",
)  # fmt: skip

METADATA_FIELDS = (*CELL_FIELDS, *_OF_COMPOSITION)
"""Fields of emmet's ``StructureMetadata``."""


def structure_metadata(structure: Structure, symmetry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what emmet's ``StructureMetadata`` says of a crystal, as plain data.

    Parameters
    ----------
    structure
        The crystal, ordered or not.
    symmetry
        Its symmetry, see :func:`symmetry_metadata`.

    Returns
    -------
    dict
        :data:`METADATA_FIELDS`: ``nsites`` atoms in the cell, ``volume`` in Å³, ``density`` in
        g/cm³ (None for a cell without volume), ``density_atomic`` in Å³ per atom. Formulas are
        in whole numbers for disordered crystals, too.
    """
    volume = float(structure.volume)
    whole = crystal_composition(structure).remove_charges()
    elements = sorted({element.symbol for element in whole.elements})
    return {
        "nsites": len(structure),
        "composition": _amounts(structure.composition.remove_charges()),
        "volume": volume,
        "density": float(structure.density) if volume > 0 else None,
        "density_atomic": volume / len(structure) if len(structure) else None,
        "symmetry": dict(symmetry),
        "elements": elements,
        "nelements": len(elements),
        "composition_reduced": _amounts(whole.reduced_composition),
        "formula_pretty": whole.reduced_formula,
        "formula_anonymous": whole.anonymized_formula,
        "chemsys": "-".join(elements),
    }


def _amounts(composition: Composition) -> dict[str, float]:
    return {str(element): float(amount) for element, amount in composition.items()}


def symmetry_metadata(dataset: Any, *, symprec: float = SYMPREC) -> dict[str, Any]:
    """Return a symmetry under the names of emmet's ``SymmetryData``.

    Parameters
    ----------
    dataset
        What spglib finds, see :func:`~crystalicl_jobflow.crystal.symmetry.structure_dataset`;
        None for nothing.
    symprec
        The tolerance in Å at which it was looked for.
    """
    return {
        "number": None if dataset is None else int(dataset.number),
        "symbol": None if dataset is None else str(dataset.international),
        "hall": None if dataset is None else str(dataset.hall),
        "point_group": None if dataset is None else str(dataset.pointgroup),
        "crystal_system": None if dataset is None else system_name(int(dataset.number)),
        "symprec": symprec,
        "angle_tolerance": ANGLE_TOLERANCE,
        "version": _spglib_version(),
    }


def symmetry_of_group(
    number: int | None, symbol: str | None, *, symprec: float = SYMPREC
) -> dict[str, Any]:
    """Return a symmetry of which only the group is known, as in documents of older versions.

    The Hall symbol is that of the group's standard setting, which spglib chooses.

    Parameters
    ----------
    number, symbol
        Of the space group; None where none was found.
    symprec
        The tolerance in Å at which it was looked for.
    """
    kind = None if number is None else space_groups.standard_type(number)
    return {
        "number": number,
        "symbol": symbol,
        "hall": None if kind is None else str(kind.hall_symbol),
        "point_group": None if kind is None else str(kind.pointgroup_international),
        "crystal_system": None if number is None else system_name(number),
        "symprec": symprec,
        "angle_tolerance": ANGLE_TOLERANCE,
        "version": None,
    }


def system_name(number: int) -> str:
    """Return the crystal system of a group as emmet writes it, ``Triclinic`` to ``Cubic``."""
    return space_groups.crystal_system(number).title()


def _spglib_version() -> str:
    import spglib

    return str(spglib.__version__)
