"""XYZ: cell lengths and angles, then every atom of the cell, as CrystalLLM writes crystals.

Number formats are those of SGS: lengths in Å at one decimal, angles in whole degrees,
fractional coordinates at two decimals; species and coordinates each on their own line.
Gruver et al. 2024, *Fine-Tuned Language Models Generate Stable Inorganic Materials as Text*.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text import lines as reading
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.base import ParsedText
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths
from crystalicl_jobflow.text.sgs import SGS
from crystalicl_jobflow.text.species import read_species, species_names


class XYZFormat:
    """The XYZ text. The cell is written as it is given, atoms in the order given."""

    name = "xyz"
    declares_group = False

    def __repr__(self) -> str:
        return f"<text format {self.name}>"

    def encode(self, structure: Structure) -> str:
        """Write a crystal as text: plain lines, no ``###``, no line end at the end.

        Raises
        ------
        TextError
            Where the structure has no atoms or no elements.
        """
        lattice = structure.lattice
        lines = [format_lengths(lattice.abc), format_angles(lattice.angles)]
        for name, coords in zip(species_names(structure), structure.frac_coords, strict=True):
            lines += [name, format_coords(coords)]
        return "\n".join(lines)

    def format(self, crystal: SGSCrystal) -> str:
        """Write every atom of an analysed crystal's Niggli-reduced primitive cell.

        This is the cell of CrystalLLM's data.
        """
        structure = SGS.build(crystal)
        # the crystal is exactly symmetric: a loose tolerance could only find a false translation
        primitive = structure.get_primitive_structure(tolerance=0.01)
        return self.encode(primitive.get_reduced_structure("niggli"))

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text.

        Raises
        ------
        TextError
            With reason and line, where the text does not hold exactly one crystal.
        """
        return self.read(text).structure

    def read(self, text: str) -> ParsedText:
        """Read the one crystal in a text; the format states no space group.

        Raises
        ------
        TextError
            As for `decode`.
        """
        content = reading.content_lines(text)
        start = _start(content)
        lengths = reading.read_lengths(content[start])
        angles = reading.read_angles(content[start + 1], is_last=start + 2 == len(content))
        reading.check_cell(1, lengths, angles, content[start])
        sites = reading.read_sites(content[start + 2 :])
        structure = Structure(
            Lattice.from_parameters(*lengths, *angles),
            [read_species(species)[1] for _, species, _, _ in sites],
            [coords for *_, coords in sites],
            to_unit_cell=True,
        )
        return ParsedText(structure)


def _start(content: Sequence[reading.Line]) -> int:
    """Return the index of the lengths: the one place with two consecutive lines of numbers."""
    starts = [
        i
        for i in range(len(content) - 1)
        if reading.triple(content[i]) is not None
        and reading.numbers(content[i + 1]) is not None
        # coordinates that a second cell follows are not its lengths
        and (i == 0 or reading.species_of(content[i - 1]) is None)
    ]
    if not starts:
        if reading.numbers(content[-1]) is not None:
            raise TextError(FailureReason.TRUNCATED, "the text ends before the angles")
        raise TextError(
            FailureReason.BAD_LATTICE,
            "no line of three lengths is followed by a line of three angles",
            line=content[0].number,
        )
    if len(starts) > 1:
        raise TextError(
            FailureReason.AMBIGUOUS,
            f"a second cell begins; the first does in line {content[starts[0]].number}",
            line=content[starts[1]].number,
        )
    before = content[starts[0] - 1] if starts[0] else None
    if before is not None and reading.is_group(before):
        raise TextError(
            FailureReason.AMBIGUOUS,
            f"the space group {before.text} before the lengths makes this an SGS text",
            line=before.number,
        )
    return starts[0]


#: CrystalLLM's text.
XYZ = XYZFormat()
