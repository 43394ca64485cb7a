"""The text formats by name."""

from __future__ import annotations

from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.base import CrystalText
from crystalicl_jobflow.text.cif import CIF
from crystalicl_jobflow.text.sgs import SGS, SGSW
from crystalicl_jobflow.text.xyz import XYZ

#: The formats by name.
TEXT_FORMATS: dict[str, CrystalText] = {f.name: f for f in (SGS, SGSW, XYZ, CIF)}

WRITTEN_FORMATS = tuple(TEXT_FORMATS)
"""Text formats that an analysed crystal can be written in."""


def get_text(name: str) -> CrystalText:
    """Return the text format of a name: ``sgs``, ``sgsw``, ``xyz`` or ``cif``.

    Raises
    ------
    ValueError
        Where there is no format of that name.
    """
    try:
        return TEXT_FORMATS[name.lower()]
    except (KeyError, AttributeError):
        raise ValueError(f"no text format {name!r}; there are {', '.join(TEXT_FORMATS)}") from None


def crystal_text(crystal: SGSCrystal, text_format: str = "sgs") -> str:
    """Write a crystal in a text format, without ``###``.

    Parameters
    ----------
    crystal
        Group, cell and sites.
    text_format
        'sgs'; 'sgsw' with the Wyckoff position (``Mg 4a``) on the element line; 'xyz' with every
        atom of the Niggli-reduced primitive cell, the cell of CrystalLLM's data; 'cif'.

    Raises
    ------
    ValueError
        If the format is not known.
    TextError
        If the crystal cannot be built or written.
    """
    if text_format not in TEXT_FORMATS:
        raise ValueError(f"text format {text_format!r} is not one of {', '.join(WRITTEN_FORMATS)}")
    return TEXT_FORMATS[text_format].format(crystal)
