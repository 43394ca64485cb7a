"""CIF texts: written and read with pymatgen.

Crystals are written with their space group and one site of each orbit, as CrystaLLM and
CrysText train on (pymatgen's `CifWriter` with a symmetry tolerance).
"""

from __future__ import annotations

import re
import warnings

from pymatgen.core import Element, Structure
from pymatgen.io.cif import CifParser, CifWriter

from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.lines import Line
from crystalicl_jobflow.text.species import species_names
from crystalicl_jobflow.text.symmetry import SYMPREC

#: Occupancies that add up to a little more than 1 are scaled, as pymatgen offers.
OCCUPANCY_TOLERANCE = 1.05


class CIFFormat:
    """The CIF text.

    Parameters
    ----------
    symprec
        Å; None writes every atom in P1.
    """

    name = "cif"

    def __init__(self, symprec: float | None = SYMPREC) -> None:
        self.symprec = symprec

    def __repr__(self) -> str:
        return f"<text format {self.name}>"

    def encode(self, structure: Structure) -> str:
        """Write a crystal as a CIF text, no line end at the end.

        Raises
        ------
        TextError
            Where the structure has no atoms or no elements.
        """
        species_names(structure)
        bare = structure.copy(site_properties={}).remove_oxidation_states()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                text = str(CifWriter(bare, symprec=self.symprec))
            except Exception:  # no group at this tolerance: every atom can still be written
                text = str(CifWriter(bare))
        return text.strip("\n")

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text.

        Raises
        ------
        TextError
            With reason and, where known, line, where the text does not hold exactly one
            crystal.
        """
        cif = data_block(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parser = CifParser.from_str(cif, occupancy_tolerance=OCCUPANCY_TOLERANCE)
                structures = parser.parse_structures(primitive=False, on_error="raise")
            except Exception as error:
                # pymatgen raises whatever a malformed value makes it stumble over
                message = " ".join(str(error).split())[:200] or type(error).__name__
                raise TextError(
                    FailureReason.BAD_CIF, f"the CIF cannot be read: {message}"
                ) from error
        if not structures or not len(structures[0]):
            raise TextError(FailureReason.NO_SITES, "the CIF holds no sites")
        return structures[0]


def data_block(text: str) -> str:
    """Return the one data block of a text, without words before and after.

    Raises
    ------
    TextError
        Where there is none, a second one, or one that was cut off.
    """
    return "\n".join(line.text for line in _one_block(text)) + "\n"


def _one_block(text: str) -> list[Line]:
    """Cut the one data block out of a text, without words before and after.

    Raises
    ------
    TextError
        Where there is none, or a second one.
    """
    lines = [
        Line(i, re.sub(r"^\s*###(\s|$)", "", raw).rstrip())
        for i, raw in enumerate(text.splitlines(), start=1)
    ]
    if not any(line.text.strip() for line in lines):
        raise TextError(FailureReason.EMPTY, "the text is empty")
    starts = [i for i, line in enumerate(lines) if line.text.lstrip().startswith("data_")]
    if not starts:
        starts = [i for i, line in enumerate(lines) if line.text.lstrip().startswith("_")]
        if not starts:
            raise TextError(
                FailureReason.BAD_CIF,
                "no line begins a data block (data_)",
                line=next(line.number for line in lines if line.text.strip()),
            )
        lines.insert(starts[0], Line(lines[starts[0]].number, "data_crystal"))
        starts = starts[:1]
    if len(starts) > 1:
        raise TextError(
            FailureReason.AMBIGUOUS,
            f"a second data block begins; the first does in line {lines[starts[0]].number}",
            line=lines[starts[1]].number,
        )
    return _without_words_after(lines[starts[0] :])


def _without_words_after(block: list[Line]) -> list[Line]:
    """Cut a block after its atom loop, where what follows is no CIF."""
    content = [line for line in block if line.text.strip() and not line.text.startswith("```")]
    for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        if not any(line.text.split()[0] == f"_cell_{name}" for line in content):
            raise TextError(FailureReason.BAD_LATTICE, f"the CIF has no _cell_{name}")
    headers = [i for i, line in enumerate(content) if line.text.strip().startswith("_atom_site_")]
    if not headers:
        raise TextError(FailureReason.TRUNCATED, "the text ends before the sites")
    first, last = headers[0], headers[0]
    while last + 1 < len(content) and content[last + 1].text.strip().startswith("_atom_site_"):
        last += 1
    end = last + 1
    while end < len(content):
        tokens = content[end].text.split()
        if len(tokens) != last - first + 1 or tokens[0][0] in "_#":
            break
        end += 1
    if end == last + 1:
        raise TextError(FailureReason.TRUNCATED, "the text ends before the sites")
    rest = content[end:]
    if rest and not _is_cif(rest[0]):
        tokens = rest[0].text.split()
        if (
            len(rest) == 1
            and len(tokens) < last - first + 1
            and Element.is_valid_symbol(re.sub(r"[^A-Za-z].*", "", tokens[0]))
        ):
            raise TextError(
                FailureReason.TRUNCATED, "the text ends within a site", line=rest[0].number
            )
        return content[:end]
    return content


def _is_cif(line: Line) -> bool:
    return line.text.lstrip().startswith(("_", "loop_", "#", ";"))


#: CrystaLLM's and CrysText's text.
CIF = CIFFormat()
