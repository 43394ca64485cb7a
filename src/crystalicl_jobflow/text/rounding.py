"""Rounding that does not change the space group.

A crystal with an approximate higher symmetry may acquire it when its coordinates are rounded to
two decimals (z = 0.487 between two mirror images becomes 0.49, and the mirror is found at 0.1 Å).
That happens to about one crystal in two hundred. Its text then gets the smallest change of one
written number, by a step or a few, that keeps the group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import triple
from crystalicl_jobflow.crystal.pseudosymmetry import may_be_higher
from crystalicl_jobflow.crystal.symmetry import has_group

if TYPE_CHECKING:
    from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal

#: Steps by which a written number can be changed: hundredths, tenths of an Å, degrees.
_STEPS = (-1, 1, -2, 2, -3, 3)
#: Maximum number of changes tried before the rounded text is kept.
_MAX_TRIALS = 60


def keep_group(crystal: SGSCrystal) -> SGSCrystal:
    """Return the crystal, or one with a number moved so that its text keeps its group.

    Parameters
    ----------
    crystal
        With unrounded numbers, multiplicities and Wyckoff letters.
    """
    if _cannot_be_lifted(crystal):
        return crystal
    rounded = _rounded(crystal)
    if _keeps(rounded, crystal):
        return crystal
    changes = sorted(_changes(rounded, crystal), key=lambda change: change[0])
    for _, changed in changes[:_MAX_TRIALS]:
        if _keeps(changed, crystal):
            return changed
    return crystal


def _cannot_be_lifted(crystal: SGSCrystal) -> bool:
    """Return whether rounding cannot matter: only the scale or c/a is free."""
    if crystal.space_group_number < 143:
        return False
    free = {
        p.letter: p.degrees_of_freedom
        for p in wyckoff.wyckoff_positions(crystal.space_group_number)
    }
    return all(site.wyckoff_letter and not free[site.wyckoff_letter] for site in crystal.sites)


def _rounded(crystal: SGSCrystal) -> SGSCrystal:
    return replace(
        crystal,
        lengths=triple(math.floor(x * 10 + 0.5 + 1e-6) / 10 for x in crystal.lengths),
        angles=triple(math.floor(x + 0.5 + 1e-6) for x in crystal.angles),
        sites=tuple(
            replace(
                site,
                frac_coords=triple(
                    math.floor(x * 100 + 0.5 + 1e-5) % 100 / 100 for x in site.frac_coords
                ),
            )
            for site in crystal.sites
        ),
    )


def _keeps(rounded: SGSCrystal, crystal: SGSCrystal) -> bool:
    """Return whether a rounded crystal decodes to the same orbits and the same group."""
    number = crystal.space_group_number
    lengths, angles = wyckoff.constrain_lattice(rounded.lengths, rounded.angles, number)
    snapped = wyckoff.snap([site.frac_coords for site in rounded.sites], number)
    if snapped.multiplicity.tolist() != [site.multiplicity for site in crystal.sites]:
        return False
    orbits = [
        wyckoff.orbit(point, number, stabilizer_mask=mask)
        for point, mask in zip(snapped.frac_coords, snapped.stabilizer_mask, strict=True)
    ]
    lattice = wyckoff.lattice_matrix(lengths, angles)
    species = [site.species for site in crystal.sites]
    if not may_be_higher(number, lengths, lattice, orbits, species):
        return True
    names = {name: i for i, name in enumerate(dict.fromkeys(s.species for s in crystal.sites))}
    labels = [
        names[site.species]
        for site, orbit in zip(crystal.sites, orbits, strict=True)
        for _ in orbit
    ]
    return has_group(
        lattice,
        np.concatenate(orbits),
        np.array(labels, dtype=np.intc),
        number,
    )


def _changes(rounded: SGSCrystal, crystal: SGSCrystal) -> Iterator[tuple[float, SGSCrystal]]:
    """Yield changed crystals, with the deviation of the changed number from the true one in Å."""
    system = wyckoff.crystal_system(crystal.space_group_number)
    for step in _STEPS:
        for i, site in enumerate(rounded.sites):
            for axis, value in enumerate(site.frac_coords):
                new = round((value + step / 100) % 1.0, 2) % 1.0
                gap = new - crystal.sites[i].frac_coords[axis]
                coords = (*site.frac_coords[:axis], new, *site.frac_coords[axis + 1 :])
                sites = (
                    *rounded.sites[:i],
                    replace(site, frac_coords=triple(coords)),
                    *rounded.sites[i + 1 :],
                )
                distance = abs(gap - round(gap)) * crystal.lengths[axis]
                yield distance, replace(rounded, sites=sites)
        for axis, length in enumerate(rounded.lengths):
            lengths = (*rounded.lengths[:axis], length + step / 10, *rounded.lengths[axis + 1 :])
            if axis != 2 and system not in ("triclinic", "monoclinic", "orthorhombic"):
                continue  # a cannot change alone there, and c / a is enough
            yield (
                abs(lengths[axis] - crystal.lengths[axis]),
                replace(rounded, lengths=triple(lengths)),
            )
        for axis, angle in enumerate(rounded.angles):
            if system == "triclinic" or (system == "monoclinic" and axis == 1):
                angles = (*rounded.angles[:axis], angle + step, *rounded.angles[axis + 1 :])
                gap = abs(angles[axis] - crystal.angles[axis])
                yield (
                    math.radians(gap) * min(crystal.lengths),
                    replace(rounded, angles=triple(angles)),
                )
