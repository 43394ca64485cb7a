"""The text formats by name."""

from __future__ import annotations

from typing import Protocol

from pymatgen.core import Structure

from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.cif import CIF
from crystalicl_jobflow.text.sgs import SGS, SGSW
from crystalicl_jobflow.text.xyz import XYZ

WRITTEN_FORMATS = ("sgs", "sgsw", "xyz", "cif")
"""Text formats that an analysed crystal can be written in."""


class CrystalText(Protocol):
    """What every text format can do."""

    name: str

    def encode(self, structure: Structure) -> str:
        """Write a crystal as plain lines."""
        ...

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text, or raise `TextError`."""
        ...


#: The formats by name.
TEXT_FORMATS: dict[str, CrystalText] = {f.name: f for f in (SGS, SGSW, XYZ, CIF)}


def get_text(name: str) -> CrystalText:
    """Return the text format of a name: ``sgs``, ``sgsw``, ``xyz`` or ``cif``.

    Raises
    ------
    ValueError
        Where there is no format of that name.
    """
    try:
        return TEXT_FORMATS[name.lower()]
    except KeyError:
        raise ValueError(f"no text format {name!r}; there are {', '.join(TEXT_FORMATS)}") from None


def crystal_text(crystal: SGSCrystal, text_format: str = "sgs") -> str:
    """Write a crystal in a text format, without ``###``.

    Parameters
    ----------
    crystal
        Group, cell and sites.
    text_format
        'sgs'; 'sgsw' with the Wyckoff position (``Mg 4a``) on the element line; 'xyz' with
        every atom of the Niggli-reduced primitive cell, the cell that CrystalLLM's data
        come in; 'cif'.

    Raises
    ------
    ValueError
        If the format is not known.
    TextError
        If the crystal cannot be built or written.
    """
    if text_format == "sgs":
        return SGS.format(crystal)
    if text_format == "sgsw":
        return SGSW.format(crystal)
    if text_format == "xyz":
        return XYZ.encode(primitive_cell(SGS.build(crystal)))
    if text_format == "cif":
        return CIF.format(crystal)
    raise ValueError(f"text format {text_format!r} is not one of {', '.join(WRITTEN_FORMATS)}")


def primitive_cell(structure: Structure) -> Structure:
    """Return the Niggli-reduced primitive cell of a crystal in its exact conventional cell."""
    # the crystal is exactly symmetric: a loose tolerance could only find a false translation
    found = structure.get_primitive_structure(tolerance=0.01)
    return found.get_reduced_structure("niggli")
