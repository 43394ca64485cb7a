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

from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.sgs import SGS, SGSW, SGSCrystal, SGSFormat, SGSSite

__all__ = ["SGS", "SGSW", "SGSCrystal", "SGSFormat", "SGSSite", "TextError"]
