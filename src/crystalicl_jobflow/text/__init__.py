"""Crystal texts: SGS (and SGSW), XYZ and CIF.

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

from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal, SGSSite
from crystalicl_jobflow.text.base import CrystalText, ParsedText
from crystalicl_jobflow.text.cif import CIF, CIFFormat
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.formats import TEXT_FORMATS, get_text
from crystalicl_jobflow.text.pattern import PatternError, SGSPattern, parse_pattern
from crystalicl_jobflow.text.sgs import SGS, SGSW, SGSFormat
from crystalicl_jobflow.text.xyz import XYZ, XYZFormat

__all__ = [
    "CIF",
    "SGS",
    "SGSW",
    "TEXT_FORMATS",
    "XYZ",
    "CIFFormat",
    "CrystalText",
    "ParsedText",
    "PatternError",
    "SGSCrystal",
    "SGSFormat",
    "SGSPattern",
    "SGSSite",
    "TextError",
    "XYZFormat",
    "get_text",
    "parse_pattern",
]
