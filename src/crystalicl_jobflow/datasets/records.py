"""One record of a source, and the demonstration it becomes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
from crystalicl_jobflow.schemas import find_property
from crystalicl_jobflow.utils.files import json_default
from crystalicl_jobflow.utils.messages import first_line

_TEXT_VERSION = "sgs-1"
"""Part of a record's hash: raised when the same crystal gets another text."""


@dataclass(frozen=True)
class Record:
    """A crystal as a source holds it, not yet read.

    Parameters
    ----------
    record_id
        Identifier within the source; becomes the demonstration's.
    crystal
        CIF text, serialised structure or structure.
    properties
        Values by name, in the units of :data:`crystalicl_jobflow.schemas.PROPERTIES`.
    error
        Why the source could not give a crystal.
    updated
        When the source last changed the record, in UTC.
    """

    record_id: str
    crystal: str | Mapping[str, Any] | Structure | None
    properties: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    updated: datetime | None = None

    def digest(self, symprec: float) -> str:
        """Return a hash of all that decides what the demonstration will be."""
        crystal = self.crystal
        if isinstance(crystal, Structure):
            crystal = crystal.as_dict()
        body = crystal if isinstance(crystal, str) else json.dumps(crystal, default=json_default)
        head = json.dumps([_TEXT_VERSION, symprec, sorted(self.properties.items())])
        return hashlib.blake2b(f"{head}\n{body}".encode(), digest_size=16).hexdigest()


def known_properties(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the known properties among a row's fields, by their own names.

    A field under the property's own name wins over one under an alias; missing, empty and
    non-finite values are left out.
    """
    found: dict[str, float] = {}
    own: set[str] = set()
    for name, value in row.items():
        spec = find_property(str(name))
        if spec is None or spec.name in own or isinstance(value, bool) or value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if not math.isfinite(number):
            continue
        if spec.name == name:
            own.add(spec.name)
        elif spec.name in found:
            continue
        found[spec.name] = number
    return found


def read_crystal(crystal: str | Mapping[str, Any] | Structure) -> Structure:
    """Build the structure of a record.

    Raises
    ------
    ValueError
        If it cannot be read; one line.
    """
    try:
        if isinstance(crystal, Structure):
            return crystal
        if isinstance(crystal, str):
            return read_cif(crystal)
        return structure_from_dict(crystal)
    except Exception as error:  # parsers raise whatever they like on bad input
        raise ValueError(first_line(error)) from None


def read_cif(text: str) -> Structure:
    """Read the first crystal of a CIF text.

    P1 texts of ordered crystals, which data sets consist of, go through gemmi (ten times
    faster); everything else through pymatgen.

    Raises
    ------
    ValueError
        If there is no crystal in it.
    """
    import gemmi

    try:
        blocks = gemmi.cif.read_string(text)
        structure = _read_p1(blocks[0]) if len(blocks) else None
    except (ValueError, RuntimeError, IndexError):
        structure = None
    if structure is not None:
        return structure
    from pymatgen.io.cif import CifParser

    structures = CifParser.from_str(text).parse_structures(primitive=False)
    if not structures:
        raise ValueError("the CIF holds no crystal")
    return structures[0]


_CELL = [f"_cell_length_{x}" for x in "abc"] + [
    f"_cell_angle_{x}" for x in ("alpha", "beta", "gamma")
]
_SYMMETRY_LOOPS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)


def _read_p1(block: Any) -> Structure | None:
    """Return the structure of a plain P1 block, or None where it is anything else."""
    import gemmi

    operations = [op for name in _SYMMETRY_LOOPS for op in block.find_values(name)]
    if [gemmi.cif.as_string(op).replace(" ", "").lower() for op in operations] != ["x,y,z"]:
        return None
    cell = [gemmi.cif.as_number(block.find_value(name) or "?") for name in _CELL]
    columns = ["type_symbol", "fract_x", "fract_y", "fract_z", "?occupancy"]
    table = block.find("_atom_site_", columns)
    species, coords = [], []
    for row in table:
        symbol = row[0]
        if not Element.is_valid_symbol(symbol):
            return None
        if row.has(4) and gemmi.cif.as_number(row[4]) != 1.0:
            return None
        species.append(symbol)
        coords.append([gemmi.cif.as_number(row[i]) for i in (1, 2, 3)])
    if not species or not np.isfinite(cell).all() or not np.isfinite(coords).all():
        return None
    return Structure(Lattice.from_parameters(*cell), species, coords)


def naive_utc(value: datetime | None) -> datetime | None:
    """Return a time in UTC without its zone, as BSON gives it back."""
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)
