"""A CIF text to a crystal that agrees with everything the text states, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.group_settings import GroupSetting, settings_of_symbol
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.datasets.cif_atoms import AtomList, read_atoms
from crystalicl_jobflow.datasets.cif_block import read_block
from crystalicl_jobflow.datasets.cif_contents import Stated, Verdict, judge, read_stated
from crystalicl_jobflow.datasets.cif_moments import read_moments
from crystalicl_jobflow.datasets.cif_placement import Placed, place_atoms
from crystalicl_jobflow.datasets.cif_symmetry import StatedSymmetry, read_symmetry
from crystalicl_jobflow.thresholds import RADII_FRACTION


@dataclass(frozen=True, eq=False)
class ReadCrystal:
    """A crystal, and what was mended or is missing.

    Attributes
    ----------
    structure
        The crystal.
    remarks
        One line each; empty where the source is right and whole.
    """

    structure: Structure
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Reading:
    """The crystal in one setting, and whether the contents are as stated."""

    setting: GroupSetting
    placed: Placed
    verdict: Verdict


def read_cif_block(text: str) -> ReadCrystal:
    """Read the first crystal of a CIF text.

    Raises
    ------
    ValueError
        Where it cannot be read, or contradicts itself; one line.
    """
    block = read_block(text)
    cell = block.cell()
    stated = read_stated(block)
    atoms = read_atoms(block, None if stated.formula is None else dict(stated.formula))
    symmetry = read_symmetry(block)
    matrix = np.array(Lattice.from_parameters(*cell).matrix)
    reading, remarks = _Choice(symmetry, atoms, stated, matrix).made()
    structure = reading.placed.structure(cell)
    moments, left_out = read_moments(block, reading.placed, matrix)
    if moments is not None:
        structure.add_site_property("magmom", moments)
    if block.others:
        left_out.append(f"{block.others} further data blocks with atoms are not read")
    remarks = [
        *stated.remarks, *atoms.remarks, *remarks, *reading.placed.remarks,
        *reading.verdict.remarks, *left_out,
    ]  # fmt: skip
    return ReadCrystal(structure, tuple(dict.fromkeys(remarks)))


@dataclass(frozen=True, eq=False)
class _Choice:
    """The setting in which a file's atoms are to be expanded."""

    symmetry: StatedSymmetry
    atoms: AtomList
    stated: Stated
    matrix: NDArray[np.float64]

    def made(self) -> tuple[_Reading, list[str]]:
        """Return the crystal in the setting that is right, and remarks.

        Raises
        ------
        ValueError
            Where none is, or several may be.
        """
        symmetry = self.symmetry
        listed = symmetry.listed
        if listed is not None and not listed.fits_cell(self.matrix):
            raise ValueError(f"the listed operations ({listed.name}) contradict the cell")
        if listed is None or (len(listed) == 1 and symmetry.unknown is not None):
            if symmetry.unknown is not None:
                raise ValueError(f"no space group is called {symmetry.unknown!r}")
            if symmetry.named:
                return self._named(), []
            reading = self._checked(settings_of_symbol("P 1")[0])
            return reading, ["no symmetry is stated: the atoms listed are taken as all atoms"]
        same = [item for item in symmetry.named if item.number == listed.number]
        if not symmetry.named or same or listed.number is None:
            return self._checked(listed), []
        return self._listed_or_named(listed)

    def _read(self, setting: GroupSetting) -> _Reading:
        placed = place_atoms(self.atoms.atoms, setting, self.matrix)
        return _Reading(setting, placed, judge(placed, self.stated, self.atoms.atoms))

    def _checked(self, setting: GroupSetting) -> _Reading:
        reading = self._read(setting)
        if reading.verdict.problem is not None:
            raise ValueError(f"{reading.verdict.problem} (read in {setting.name})")
        return reading

    def _fitting(self) -> list[GroupSetting]:
        """Return the settings that the symbol means and the cell allows."""
        symmetry = self.symmetry
        fitting = [item for item in symmetry.named if item.fits_cell(self.matrix)]
        if not fitting:
            raise ValueError(f"the space group {symmetry.label!r} contradicts the cell")
        return fitting

    def _named(self) -> _Reading:
        """Choose among the settings of a symbol or number."""
        symmetry = self.symmetry
        readings = [self._read(item) for item in self._fitting()]
        right = [item for item in readings if item.verdict.problem is None]
        if not right:
            first = next((item for item in readings if not item.placed.problem), readings[0])
            raise ValueError(f"{first.verdict.problem} (read in {first.setting.name})")
        twins = [item for item in right if _symbol(item) == _symbol(right[0])]
        if len(twins) > 1:
            twins = self._plausible(twins)
        if len(twins) > 1 and not all(_same(twins[0].placed, item.placed) for item in twins[1:]):
            names = " or ".join(item.setting.name for item in twins)
            raise ValueError(
                f"the space group {symmetry.label!r} may be {names}: neither the contents nor the"
                " cell tell which"
            )
        return twins[0]

    def _plausible(self, readings: list[_Reading]) -> list[_Reading]:
        """Return the readings whose multiplicities, then distances, tell for them, or all."""
        most = max(item.verdict.agrees for item in readings)
        readings = [item for item in readings if item.verdict.agrees == most]
        apart = [item for item in readings if not _overlaps(item.placed, self.matrix)]
        return apart or readings

    def _listed_or_named(self, listed: GroupSetting) -> tuple[_Reading, list[str]]:
        """Choose between the operations listed and a symbol that means another group."""
        symmetry = self.symmetry
        what = "1 operation" if len(listed) == 1 else f"{len(listed)} operations"
        reason = f"the CIF lists {what}, the space group {symmetry.label!r} has"
        reason = f"{reason} {len(symmetry.named[0])}"
        by_list = self._read(listed)
        fitting = [item for item in symmetry.named if item.fits_cell(self.matrix)]
        readings = [self._read(item) for item in fitting]
        right = [item for item in readings if item.verdict.problem is None]
        named = next((item for item in right if item.verdict.agrees), None)
        listed_agrees = by_list.verdict.problem is None
        listed_votes = by_list.verdict.agrees if listed_agrees else -1
        if named is not None and len(right) == 1 and named.verdict.agrees > listed_votes:
            return named, [f"{reason}: read by the symbol, as the stated contents are"]
        if right and listed_agrees and _same(by_list.placed, right[0].placed):
            return by_list, []
        if not right and len(listed) > 1 and listed_agrees and by_list.verdict.agrees:
            return by_list, [f"{reason}: read by the operations, as the stated contents are"]
        raise ValueError(f"{reason}: the stated contents do not tell which is right")


def _symbol(reading: _Reading) -> str:
    return reading.setting.name.partition(":")[0]


def _same(first: Placed, second: Placed) -> bool:
    """Tell whether two readings are the same atoms at the same places, to 0.001 of the cell."""
    return _places(first) == _places(second)


def _places(placed: Placed) -> set[tuple[object, ...]]:
    return {
        (*sorted(site.species.items()), *np.round((coords + 1e-6) % 1, 3).tolist())
        for site in placed.sites
        for coords in site.coords
    }


def _overlaps(placed: Placed, matrix: NDArray[np.float64]) -> bool:
    """Tell whether two full atoms are nearer than half the sum of their radii."""
    full = [site for site in placed.sites if list(site.species.values()) == [1.0]]
    if not full:
        return False
    coords = np.concatenate([site.coords for site in full])
    radii = np.concatenate(
        [np.full(len(site.coords), atomic_radius(next(iter(site.species)))) for site in full]
    )
    gaps: Sequence[float] | NDArray[np.float64] = Lattice(matrix).get_all_distances(coords, coords)
    limits = RADII_FRACTION * (radii[:, None] + radii[None])
    return bool((np.triu(np.asarray(gaps) < limits, 1)).any())
