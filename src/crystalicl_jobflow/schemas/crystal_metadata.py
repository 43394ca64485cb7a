"""What a crystal is, under the names of emmet's ``StructureMetadata`` and ``SymmetryData``.

Without emmet's import, which takes seconds; what stands in them is built by
:mod:`crystalicl_jobflow.crystal.metadata`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from crystalicl_jobflow.schemas.base import Document


class Symmetry(Document):
    """The symmetry of a crystal, as emmet's ``SymmetryData`` names it."""

    number: int | None = Field(None, description="Space-group number; None where none is found.")
    symbol: str | None = Field(None, description="Short Hermann–Mauguin symbol.")
    hall: str | None = Field(None, description="Hall symbol.")
    point_group: str | None = Field(None, description="Point group, e.g. m-3m.")
    crystal_system: str | None = Field(None, description="Triclinic, Monoclinic, … Cubic.")
    symprec: float = Field(0.1, description="Tolerance of spglib in Å.")
    angle_tolerance: float | None = Field(None, description="Tolerance of spglib in degrees.")
    version: str | None = Field(None, description="Version of spglib.")

    @field_validator("crystal_system", mode="before")
    @classmethod
    def _as_emmet_writes(cls, value: Any) -> Any:
        return value.title() if isinstance(value, str) else value  # older documents: cubic


class CellMetadata(Document):
    """What one cell of a crystal is: a relaxed crystal has another one."""

    nsites: int | None = Field(None, description="Atoms in the cell of the structure.")
    composition: dict[str, float] = Field(
        default_factory=dict, description="Element → atoms in the cell of the structure."
    )
    volume: float | None = Field(None, description="Volume of the cell of the structure, Å³.")
    density: float | None = Field(None, description="g/cm³")
    density_atomic: float | None = Field(None, description="Volume per atom, Å³.")
    symmetry: Symmetry = Field(default_factory=Symmetry)


class CrystalMetadata(CellMetadata):
    """What a crystal is."""

    formula_pretty: str | None = Field(None, description="Reduced formula.")
    formula_anonymous: str | None = Field(None, description="Anonymised formula, e.g. ABC3.")
    chemsys: str | None = Field(None, description="Chemical system, e.g. Ca-O-Ti.")
    elements: list[str] = Field(default_factory=list, description="Elements, sorted.")
    nelements: int = Field(0, description="Number of different elements.")
    composition_reduced: dict[str, float] = Field(
        default_factory=dict, description="Element → amount in the reduced formula."
    )
    nsites_primitive: int | None = Field(
        None, description="Atoms in the primitive cell: what conditions call num_sites."
    )


def with_todays_names(document: Any) -> Any:
    """Return a candidate's document with the names of today.

    Earlier versions wrote ``formula``, ``anonymous_formula``, ``num_sites``, ``space_group`` and
    ``space_group_symbol``.

    Parameters
    ----------
    document
        The document; what is no mapping comes back as it is.
    """
    if not isinstance(document, Mapping) or not _OLD_NAMES & set(document):
        return document
    from crystalicl_jobflow.crystal.metadata import symmetry_of_group

    known = dict(document)
    for old, name in _RENAMED.items():
        if old in known:
            known.setdefault(name, known.pop(old))
    number, symbol = known.pop("space_group", None), known.pop("space_group_symbol", None)
    if "symmetry" not in known and number is not None:
        provenance = known.get("provenance")
        tolerances = provenance.get("tolerances") if isinstance(provenance, Mapping) else None
        symprec = float((tolerances or {}).get("symprec", 0.1))
        known["symmetry"] = symmetry_of_group(int(number), symbol, symprec=symprec)
    if "nelements" not in known and known.get("elements"):
        known["nelements"] = len(known["elements"])
    return known


_RENAMED = {
    "formula": "formula_pretty",
    "anonymous_formula": "formula_anonymous",
    "num_sites": "nsites_primitive",
}
_OLD_NAMES = {*_RENAMED, "space_group", "space_group_symbol"}
