"""One record of a source, and the demonstration it becomes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.given import as_structure, is_crystal
from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.datasets.cif_p1 import read_plain_p1
from crystalicl_jobflow.datasets.cif_reader import ReadCrystal, read_cif_block
from crystalicl_jobflow.datasets.structure_checks import check_structure, structure_of_mapping
from crystalicl_jobflow.schemas import find_property
from crystalicl_jobflow.utils.files import json_default
from crystalicl_jobflow.utils.messages import first_line

if TYPE_CHECKING:
    from ase import Atoms

_TEXT_VERSION = "sgs-2"
"""Part of a record's hash: raised when the same crystal gets another text or formula.

2: disordered crystals have formulas of whole numbers."""


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
    remarks
        What was mended or is missing, where the source has read the crystal itself.
    """

    record_id: str
    crystal: str | Mapping[str, Any] | Structure | None
    properties: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    updated: datetime | None = None
    remarks: tuple[str, ...] = ()

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


def read_with_remarks(crystal: str | Mapping[str, Any] | Structure | Atoms) -> ReadCrystal:
    """Read the crystal of a record: right, or refused.

    Parameters
    ----------
    crystal
        CIF text, a structure, ASE atoms, or the dictionary of a structure.

    Returns
    -------
    ReadCrystal
        The structure, and what was mended or is missing.

    Raises
    ------
    ValueError
        If it cannot be read, or contradicts what it states; one line.
    """
    found, remarks = read_arrays(crystal)
    structure = found.structure() if isinstance(found, OrderedCrystal) else found
    return ReadCrystal(structure, remarks)


def read_arrays(
    crystal: str | Mapping[str, Any] | Structure | Atoms,
) -> tuple[Structure | OrderedCrystal, tuple[str, ...]]:
    """Read the crystal of a record as `read_with_remarks` does, without a structure if it is plain.

    Raises
    ------
    ValueError
        If it cannot be read, or contradicts what it states; one line.
    """
    try:
        if is_crystal(crystal):
            read = check_structure(as_structure(crystal))
        elif isinstance(crystal, str):
            plain = read_plain_p1(crystal)
            if plain is not None:
                return plain, ()
            read = read_cif_block(crystal)
        else:
            read = structure_of_mapping(cast("Mapping[str, Any]", crystal))
    except Exception as error:  # libraries raise whatever bad input makes them stumble over
        raise ValueError(first_line(error)) from None
    return read.structure, tuple(read.remarks)


def read_crystal(crystal: str | Mapping[str, Any] | Structure | Atoms) -> Structure:
    """Build the structure of a record, see :func:`read_with_remarks`.

    Raises
    ------
    ValueError
        If it cannot be read, or contradicts what it states; one line.
    """
    return read_with_remarks(crystal).structure


def naive_utc(value: datetime | None) -> datetime | None:
    """Return a time in UTC without its zone, as BSON gives it back."""
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)
