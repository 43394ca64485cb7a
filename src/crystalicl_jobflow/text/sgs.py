"""SGS: space group, cell, and one site of each Wyckoff orbit.

```
P4/mmm
4.2 4.2 4.2
90 90 90
Mg
0.00 0.00 0.00
```

Line 1 is the short Hermann-Mauguin symbol, line 2 the conventional cell's lengths in Å
at one decimal, line 3 its angles in whole degrees; then for each orbit its species and
one representative's fractional coordinates at two decimals. The variant SGSW adds the
Wyckoff position to the species line (``Mg 1a``: multiplicity and letter); the letter alone
is read as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Lattice, Structure

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import num_sites_fault
from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.crystal.symmetry import SYMPREC, standard_cell
from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.alignment import with_positions
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal, SGSSite
from crystalicl_jobflow.text.base import ParsedText
from crystalicl_jobflow.text.canonical import canonical_sites
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.lines import Line, content_lines, read_crystal_lines
from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths
from crystalicl_jobflow.text.rounding import keep_group
from crystalicl_jobflow.text.species import read_contents, read_species, species_rank


class SGSFormat:
    """The SGS text, with or without Wyckoff positions.

    Parameters
    ----------
    name
        ``sgs`` or ``sgsw``.
    wyckoff_letters
        Whether the Wyckoff position is written on the species line. Both read either.
    """

    declares_group = True

    def __init__(self, name: str, *, wyckoff_letters: bool = False) -> None:
        self.name = name
        self.wyckoff_letters = wyckoff_letters

    def __repr__(self) -> str:
        return f"<text format {self.name}>"

    def encode(self, structure: Structure) -> str:
        """Write a crystal as text: plain lines, no ``###``, no line end at the end.

        Where rounding alone would lift the crystal into a higher space group, one number
        of the text is moved by a step or a few to prevent it (see `rounding`).

        Parameters
        ----------
        structure
            Ordered or disordered; oxidation states and site properties are left out.

        Raises
        ------
        TextError
            Where the structure has no atoms or no elements.
        """
        return self.format(keep_group(self.analyze(structure)))

    def decode(self, text: str) -> Structure:
        """Read the one crystal in a text and build its conventional cell.

        Raises
        ------
        TextError
            With reason and line, where the text does not hold exactly one crystal.
        """
        return self.read(text).structure

    def read(self, text: str) -> ParsedText:
        """Read the one crystal in a text, and the space group that the text states.

        Raises
        ------
        TextError
            As for `decode`; it includes the stated group if only building the cell failed.
        """
        crystal = self.parse(text)
        try:
            return ParsedText(self.build(crystal), crystal.space_group_number)
        except TextError as error:
            error.declared_group = crystal.space_group_number
            raise

    def analyze(
        self, structure: Structure | OrderedCrystal, symprec: float = SYMPREC
    ) -> SGSCrystal:
        """Find a crystal's group, standard cell and orbits, described canonically.

        Parameters
        ----------
        structure
            Any cell of the crystal.
        symprec
            Tolerance of the symmetry search in Å.
        """
        contents = read_contents(structure)
        order = sorted(set(contents.names), key=species_rank)
        label = {name: i for i, name in enumerate(order)}
        cell = standard_cell(
            contents.lattice,
            contents.frac_coords,
            np.array([label[name] for name in contents.names], dtype=np.intc),
            symprec=symprec,
            partly_occupied=not contents.is_ordered,
        )
        described = canonical_sites(cell.number, cell.points, cell.labels.tolist())
        lengths, angles = wyckoff.lattice_parameters(cell.lattice)
        species = [order[label] for label in cell.labels.tolist()]
        sizes = cell.multiplicity.tolist()
        sites = (SGSSite(species[i], point, sizes[i], letter) for i, letter, point in described)
        return SGSCrystal(cell.number, lengths, angles, tuple(sites))

    def format(self, crystal: SGSCrystal) -> str:
        """Write the lines of a crystal, sites in the order given."""
        lines = [
            wyckoff.symbol(crystal.space_group_number),
            format_lengths(crystal.lengths),
            format_angles(crystal.angles),
        ]
        for site in crystal.sites:
            if self.wyckoff_letters and site.wyckoff_letter:
                multiplicity = site.multiplicity or _multiplicity(site, crystal)
                lines.append(f"{site.species} {multiplicity}{site.wyckoff_letter}")
            else:
                lines.append(site.species)
            lines.append(format_coords(site.frac_coords))
        return "\n".join(lines)

    def parse(self, text: str) -> SGSCrystal:
        """Read the lines of a text; nothing is moved or expanded yet.

        Raises
        ------
        TextError
            As for `decode`.
        """
        group, lengths, angles, pairs = read_crystal_lines(content_lines(text))
        number = wyckoff.number(group.text)
        sites = []
        for species_line, species, letter, coords in pairs:
            sites.append(SGSSite(species, coords, None, _checked(letter, number, species_line)))
        return SGSCrystal(number, lengths, angles, tuple(sites))

    def build(self, crystal: SGSCrystal) -> Structure:
        """Put the sites on their Wyckoff positions and expand them into the conventional cell.

        Raises
        ------
        TextError
            Where a stated Wyckoff letter does not fit its coordinates, or the cell would
            hold more than `MAX_SITES` atoms.
        """
        number = crystal.space_group_number
        if not crystal.sites:
            raise TextError(FailureReason.NO_SITES, "the crystal has no sites")
        _refuse_too_many(len(crystal.sites))
        lengths, angles = wyckoff.constrain_lattice(crystal.lengths, crystal.angles, number)
        coords = np.array([site.frac_coords for site in crystal.sites], dtype=float)
        for i, site in enumerate(crystal.sites):
            if site.wyckoff_letter is not None:
                coords[i] = _onto_letter(coords[i], site, number)
        snapped = wyckoff.snap(coords, number)
        n_atoms = int(snapped.multiplicity.sum())
        _refuse_too_many(n_atoms)
        lattice = Lattice.from_parameters(*lengths, *angles)
        species: list[Composition] = []
        points: list[NDArray[np.float64]] = []
        for site, point, mask in zip(
            crystal.sites, snapped.frac_coords, snapped.stabilizer_mask, strict=True
        ):
            composition = read_species(site.species)[1]
            points.append(wyckoff.orbit(point, number, stabilizer_mask=mask))
            species += [composition] * len(points[-1])
        return Structure(lattice, species, np.concatenate(points))


def read_wyckoff(text: str) -> tuple[int, WyckoffLetters] | None:
    """Return space group and Wyckoff letters of an SGS text, which need not state the letters.

    Parameters
    ----------
    text
        Text of one crystal.

    Returns
    -------
    tuple or None
        Number, and element to the letters of its orbits; None where it is no crystal, or a site
        is on no position.
    """
    try:
        crystal = with_positions(SGS.parse(text))
    except TextError:
        return None
    letters = None if crystal is None else crystal.wyckoff
    return None if crystal is None or letters is None else (crystal.space_group_number, letters)


def _refuse_too_many(num_sites: int) -> None:
    fault = num_sites_fault(num_sites)
    if fault is not None:
        raise TextError(FailureReason.TOO_MANY_ATOMS, fault)


def _multiplicity(site: SGSSite, crystal: SGSCrystal) -> int:
    positions = wyckoff.wyckoff_positions(crystal.space_group_number)
    return next(p.multiplicity for p in positions if p.letter == site.wyckoff_letter)


def _checked(letter: str | None, number: int, line: Line) -> str | None:
    if letter is None:
        return None
    if all(letter != position.letter for position in wyckoff.wyckoff_positions(number)):
        raise TextError(
            FailureReason.BAD_COORDINATES,
            f"group {wyckoff.symbol(number)} has no Wyckoff position {letter!r}",
            line=line.number,
        )
    return letter


def _onto_letter(point: NDArray[np.float64], site: SGSSite, number: int) -> NDArray[np.float64]:
    """Move a point onto the nearest member of the Wyckoff position its site names."""
    position = next(p for p in wyckoff.wyckoff_positions(number) if p.letter == site.wyckoff_letter)
    group = wyckoff.operations(number)
    images = group.apply(point[None])[0] - position.translation
    if len(position.annihilator):
        # Distance to `image + lattice vector in the position's plane`, least squares:
        # the integral value of the annihilator tells which lattice vector is nearest.
        rows = position.annihilator.astype(float)
        gap = images @ rows.T
        moves = (np.rint(gap) - gap) @ np.linalg.pinv(rows).T
        nearest = int(np.argmin(np.abs(moves).max(1)))
        if np.abs(moves[nearest]).max() >= wyckoff.SNAP_TOLERANCE:
            if _snaps_onto(point, position, number):
                return point
            raise TextError(
                FailureReason.BAD_COORDINATES,
                f"the site {site.species} {site.frac_coords} is not on the Wyckoff position "
                f"{position.letter} of {wyckoff.symbol(number)}",
            )
        moved = images[nearest] + moves[nearest] + position.translation
    else:
        moved = point
    multiplicity = int(wyckoff.snap(moved[None], number).multiplicity[0])
    if multiplicity != position.multiplicity:
        if _snaps_onto(point, position, number):
            return point
        raise TextError(
            FailureReason.BAD_COORDINATES,
            f"the site {site.species} {site.frac_coords} has multiplicity {multiplicity}, not "
            f"{position.multiplicity}{position.letter} of {wyckoff.symbol(number)}",
        )
    return np.asarray(moved)


def _snaps_onto(point: NDArray[np.float64], position: wyckoff.WyckoffPosition, number: int) -> bool:
    """Return whether a point snaps to a position by itself (in several steps)."""
    snapped = wyckoff.snap(point[None], number)
    index = wyckoff.wyckoff_index(snapped.frac_coords, number, snapped.multiplicity)[0]
    return bool(index >= 0 and wyckoff.wyckoff_positions(number)[index].letter == position.letter)


#: The SGS text of the paper.
SGS = SGSFormat("sgs")
#: SGS with the Wyckoff position on the species line.
SGSW = SGSFormat("sgsw", wyckoff_letters=True)
