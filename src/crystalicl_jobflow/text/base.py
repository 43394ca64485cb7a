"""Interface of the text formats, and the result of reading a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pymatgen.core import Structure

from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal


@dataclass(frozen=True)
class ParsedText:
    """The one crystal that a text holds.

    Attributes
    ----------
    structure
        The crystal.
    declared_group
        Number of the space group stated in the text; None in formats without one.
    """

    structure: Structure
    declared_group: int | None = None


class CrystalText(Protocol):
    """A text format.

    Attributes
    ----------
    name
        ``sgs``, ``sgsw``, ``xyz`` or ``cif``.
    declares_group
        Whether `read` returns the space group stated in a text.
    """

    name: str
    declares_group: bool

    def encode(self, structure: Structure) -> str:
        """Write a crystal as plain lines."""
        ...

    def format(self, crystal: SGSCrystal) -> str:
        """Write an analysed crystal as plain lines, as models are trained on them."""
        ...

    def read(self, text: str) -> ParsedText:
        """Read the one crystal in a text, or raise `TextError`."""
        ...

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text, or raise `TextError`."""
        ...
