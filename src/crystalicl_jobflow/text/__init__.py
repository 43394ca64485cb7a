"""Crystal texts: SGS (and SGSW), XYZ and CIF, with the space-group tables under them.

>>> from crystalicl_jobflow.text import SGS
>>> print(SGS.encode(structure))  # doctest: +SKIP
Fm-3m
5.7 5.7 5.7
90 90 90
Na
0.00 0.00 0.00
Cl
0.50 0.50 0.50
"""

from __future__ import annotations

from typing import Protocol

from pymatgen.core import Structure

from crystalicl_jobflow.text.cif import CIF, CIFFormat
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.sgs import SGS, SGSW, SGSCrystal, SGSFormat, SGSSite
from crystalicl_jobflow.text.xyz import XYZ, XYZFormat

__all__ = [
    "CIF",
    "SGS",
    "SGSW",
    "TEXT_FORMATS",
    "XYZ",
    "CIFFormat",
    "CrystalText",
    "SGSCrystal",
    "SGSFormat",
    "SGSSite",
    "TextError",
    "XYZFormat",
    "get_text",
]


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
