"""CIF texts: written and read with pymatgen.

Crystals are written with their space group and one site of each orbit, as CrystaLLM and CrysText
train on (pymatgen's `CifWriter` with a symmetry tolerance). The short text for training follows
CrystaLLM's standardisation of the same fields.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, DummySpecies, Element, Lattice, Structure
from pymatgen.io.cif import CifWriter

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import (
    coordinates_fault,
    lattice_fault,
    num_sites_fault,
)
from crystalicl_jobflow.crystal.symmetry import SYMPREC
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.base import ParsedText
from crystalicl_jobflow.text.cif_parsing import BoundedCifParser, numbers_fault
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.lines import Line
from crystalicl_jobflow.text.numbers import ANGLE_STEP, LENGTH_STEP
from crystalicl_jobflow.text.species import read_species, species_names
from crystalicl_jobflow.thresholds import OCCUPANCY_TOLERANCE
from crystalicl_jobflow.utils.messages import one_line

#: Fields of a site, in the order in which they are written.
SITE_FIELDS = tuple(
    f"_atom_site_{name}"
    for name in (
        "type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z",
        "occupancy",
    )
)  # fmt: skip


#: Tolerances tried, as fractions of the requested one, until name and operations agree.
_TIGHTER = (1.0, 0.3, 0.1, 0.01)


class CIFFormat:
    """The CIF text.

    Parameters
    ----------
    symprec
        Å; None writes every atom in P1.
    """

    name = "cif"
    declares_group = False

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
            tolerances = () if self.symprec is None else (self.symprec * f for f in _TIGHTER)
            for symprec in tolerances:
                try:
                    text = str(CifWriter(bare, symprec=symprec))
                except Exception:  # no group at this tolerance
                    continue
                if _has_its_operations(text):
                    return text.strip("\n")
            return str(CifWriter(bare)).strip("\n")  # every atom can still be written

    def format(self, crystal: SGSCrystal) -> str:
        """Write a crystal as models learn it: short, without symmetry operations.

        As CrystaLLM standardises pymatgen's text (Antunes et al. 2024, Methods): the cell's whole
        composition in the block's name, four decimals, and the space group by its symbol, whose
        operations a reader puts in. CrystaLLM keeps one operation as a placeholder and lists
        properties of the atoms before; here neither is written.

        Parameters
        ----------
        crystal
            As `SGSFormat.analyze` gives it; its sites keep their order.
        """
        number = crystal.space_group_number
        lengths, angles = wyckoff.constrain_lattice(crystal.lengths, crystal.angles, number)
        # indices of pymatgen's labels count sites; multiplicities may not be known
        multiplicities = [
            site.multiplicity or int(wyckoff.snap(points[None], number).multiplicity[0])
            for site in crystal.sites
            for points in [np.array(site.frac_coords, dtype=float)]
        ]
        amounts: dict[str, float] = {}
        rows = []
        for index, (site, multiplicity) in enumerate(
            zip(crystal.sites, multiplicities, strict=True)
        ):
            coords = " ".join(_four(value % 1) for value in site.frac_coords)
            for element, share in read_species(site.species)[1].items():
                amounts[element.symbol] = amounts.get(element.symbol, 0) + share * multiplicity
                rows.append(
                    f"{element.symbol} {element.symbol}{index} {multiplicity} {coords} {share:g}"
                )
        formula = Composition(amounts)
        names = [f"{name}{amount:g}" for name, amount in amounts.items()]
        volume = Lattice.from_parameters(*lengths, *angles).volume
        lines = [
            f"data_{''.join(names)}",
            f"_symmetry_space_group_name_H-M {crystal.space_group_symbol}",
            *(f"_cell_length_{axis} {x:.4f}" for axis, x in zip("abc", lengths, strict=True)),
            *(
                f"_cell_angle_{name} {x:.4f}"
                for name, x in zip(("alpha", "beta", "gamma"), angles, strict=True)
            ),
            f"_symmetry_Int_Tables_number {number}",
            f"_chemical_formula_structural {formula.reduced_formula}",
            f"_chemical_formula_sum '{' '.join(names)}'",
            f"_cell_volume {volume:.4f}",
            f"_cell_formula_units_Z {formula.get_reduced_composition_and_factor()[1]:g}",
            "loop_",
            *SITE_FIELDS,
            *rows,
        ]
        return "\n".join(lines)

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text.

        Raises
        ------
        TextError
            With reason and, where known, line, where the text does not hold exactly one
            crystal.
        """
        return self.read(text).structure

    def read(self, text: str) -> ParsedText:
        """Read the one crystal in a text; the space group named in a CIF is not checked.

        Raises
        ------
        TextError
            As for `decode`.
        """
        block = data_block(text)
        fault = numbers_fault(block)
        if fault is not None:
            raise TextError(FailureReason.BAD_CIF, fault)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parser = BoundedCifParser.from_str(block, occupancy_tolerance=OCCUPANCY_TOLERANCE)
                structures = parser.parse_structures(primitive=False, on_error="raise")
            except Exception as error:
                if isinstance(error.__cause__, TextError):
                    raise error.__cause__ from None
                # pymatgen raises many kinds of errors for malformed values
                raise TextError(
                    FailureReason.BAD_CIF, f"the CIF cannot be read: {one_line(error)}"
                ) from error
        if not structures or not len(structures[0]):
            raise TextError(FailureReason.NO_SITES, "the CIF holds no sites")
        rotations = np.array([operation.rotation_matrix for operation in parser.operations])
        _check(structures[0], np.unique(rotations, axis=0))
        return ParsedText(structures[0])


def _check(structure: Structure, rotations: NDArray[np.float64]) -> None:
    """Raise an error for a crystal out of bounds or a cell that its operations do not preserve.

    Rotations act on fractional coordinates, shape (n, 3, 3).
    """
    fault = num_sites_fault(len(structure))
    if fault is not None:
        raise TextError(FailureReason.TOO_MANY_ATOMS, fault)
    matrix = structure.lattice.matrix
    fault = lattice_fault(matrix)
    if fault is not None:
        raise TextError(FailureReason.BAD_LATTICE, fault)
    fault = coordinates_fault(structure.frac_coords)
    if fault is not None:
        raise TextError(FailureReason.BAD_COORDINATES, fault)
    for element in structure.composition:
        if isinstance(element, DummySpecies):
            raise TextError(FailureReason.BAD_ELEMENT, f"{element.symbol!r} is not an element")
    lattice = structure.lattice
    for rotation in rotations:
        turned = Lattice(np.asarray(rotation).T @ matrix)
        if lattice_fault(turned.matrix) is not None or any(
            np.abs(np.subtract(new, old)).max() > step
            for new, old, step in (
                (turned.abc, lattice.abc, 2 * LENGTH_STEP),
                (turned.angles, lattice.angles, 2 * ANGLE_STEP),
            )
        ):
            raise TextError(
                FailureReason.BAD_LATTICE,
                f"the cell {' '.join(f'{x:g}' for x in lattice.parameters)} is not the same after "
                "the symmetry operations of its group",
            )


def _has_its_operations(text: str) -> bool:
    """Return whether a text of pymatgen's lists as many operations as its group has.

    pymatgen takes the name from the crystal and the operations from its idealised cell, which
    at the same tolerance may be of a higher group (Cu(SbO3)2, mp-554658): read again, such a
    text has atoms on top of each other.
    """
    number = re.search(r"^_symmetry_Int_Tables_number\s+(\d+)", text, re.MULTILINE)
    listed = re.findall(r"^\s+\d+\s+'[^']*'$", text, re.MULTILINE)
    return number is not None and len(listed) == len(wyckoff.operations(int(number.group(1))))


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
    """Cut a block after its atom loop, if the following lines are not CIF."""
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


def _four(value: float) -> str:
    """Write a fraction at four decimals, wrapped into [0, 1) after rounding."""
    return f"{round(value * 10_000) % 10_000 / 10_000:.4f}"


#: CrystaLLM's and CrysText's text.
CIF = CIFFormat()
