"""The fields of stored candidates that emmet builds, also for documents of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.metadata import (
    CELL_FIELDS,
    METADATA_FIELDS,
    structure_metadata,
    symmetry_metadata,
    symmetry_of_group,
)
from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.thresholds import SYMPREC

_CELL = (*CELL_FIELDS, "nsites_primitive")


def as_structure(structure: Any) -> Structure:
    """Return a structure from itself or from its dictionary."""
    if isinstance(structure, Structure):
        return structure
    return structure_from_dict(structure)


def candidate_metadata(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say what a validated candidate is.

    Parameters
    ----------
    known
        A :class:`~crystalicl_jobflow.schemas.Candidate` in JSON form, under the names of today.
    """
    found = {name: known[name] for name in (*METADATA_FIELDS, "nsites_primitive") if name in known}
    if known.get("structure") is not None and not known.get("composition"):
        built = structure_metadata(as_structure(known["structure"]), _whole(known.get("symmetry")))
        found = {**built, **{name: value for name, value in found.items() if value}}
    return found


def generated_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the fields that a relaxation changes, to be kept beside it."""
    return {name: metadata.get(name) for name in _CELL}


def relaxed_fields(structure: Structure) -> dict[str, Any]:
    """Return what the cell of a relaxed crystal is."""
    symmetry = symmetry_metadata(structure_dataset(structure, symprec=SYMPREC))
    found = structure_metadata(structure, symmetry)
    return {name: found[name] for name in CELL_FIELDS}


def bring_up_to_date(document: dict[str, Any]) -> None:
    """Give a stored document of an earlier version the fields of today.

    Its ``nsites`` are the atoms in the primitive cell, and its symmetries are groups only.

    Parameters
    ----------
    document
        The document with the crystals in it; it is changed.
    """
    generated = document.get("generated")
    if generated is not None and "nsites_primitive" not in generated:
        crystal = generated.get("structure") or document.get("structure")
        primitive = generated.get("nsites")
        document["nsites_primitive"] = primitive
        if crystal is not None:
            found = structure_metadata(as_structure(crystal), _whole(generated.get("symmetry")))
            document |= {name: found[name] for name in METADATA_FIELDS if name not in CELL_FIELDS}
            cell = {name: found[name] for name in CELL_FIELDS}
            document["generated"] = {**generated, **cell, "nsites_primitive": primitive}
    document["relaxations"] = [_relaxation(entry) for entry in document.get("relaxations") or ()]


def _relaxation(entry: dict[str, Any]) -> dict[str, Any]:
    if entry.get("structure") is None or "volume" in entry:
        return entry
    found = structure_metadata(as_structure(entry["structure"]), _whole(entry.get("symmetry")))
    return {**entry, **{name: found[name] for name in CELL_FIELDS}}


def _whole(symmetry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a symmetry with all its parts, from its group where it has no others."""
    known = dict(symmetry or {})
    if known.get("hall") is not None or known.get("number") is None:
        return known
    symprec = float(known.get("symprec") or SYMPREC)
    return symmetry_of_group(known["number"], known.get("symbol"), symprec=symprec)
