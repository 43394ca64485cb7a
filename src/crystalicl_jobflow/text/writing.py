"""Analysed crystals as models learn and read them, in every format."""

from __future__ import annotations

from pymatgen.core import Structure

from crystalicl_jobflow.text.cif import CIF
from crystalicl_jobflow.text.sgs import SGS, SGSW, SGSCrystal
from crystalicl_jobflow.text.xyz import XYZ

WRITTEN_FORMATS = ("sgs", "sgsw", "xyz", "cif")
"""Text formats that an analysed crystal can be written in."""


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
