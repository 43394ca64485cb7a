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
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import Triple, triple
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
    written = _Written(
        triple(math.floor(x * 10 + 0.5 + 1e-6) / 10 for x in crystal.lengths),
        triple(math.floor(x + 0.5 + 1e-6) for x in crystal.angles),
        [
            triple(math.floor(x * 100 + 0.5 + 1e-5) % 100 / 100 for x in site.frac_coords)
            for site in crystal.sites
        ],
    )
    if _keeps(written, crystal):
        return crystal
    changes = sorted(_changes(written, crystal), key=lambda change: change[0])
    for _, changed in changes[:_MAX_TRIALS]:
        if _keeps(changed, crystal):
            return replace(
                crystal,
                lengths=changed.lengths,
                angles=changed.angles,
                sites=tuple(
                    replace(site, frac_coords=coords)
                    for site, coords in zip(crystal.sites, changed.frac_coords, strict=True)
                ),
            )
    return crystal


class _Written(NamedTuple):
    """The numbers of a text: lengths (Å), angles (degrees), and each site's coordinates."""

    lengths: Triple
    angles: Triple
    frac_coords: list[Triple]


def _cannot_be_lifted(crystal: SGSCrystal) -> bool:
    """Return whether rounding cannot matter: only the scale or c/a is free."""
    if crystal.space_group_number < 143:
        return False
    fixed = _fixed_letters(crystal.space_group_number)
    return all(site.wyckoff_letter in fixed for site in crystal.sites)


@cache
def _fixed_letters(number: int) -> frozenset[str]:
    return frozenset(
        p.letter for p in wyckoff.wyckoff_positions(number) if not p.degrees_of_freedom
    )


def _keeps(written: _Written, crystal: SGSCrystal) -> bool:
    """Return whether rounded numbers decode to the crystal's orbits and group."""
    number = crystal.space_group_number
    lengths, angles = wyckoff.constrain_lattice(written.lengths, written.angles, number)
    snapped = wyckoff.snap(written.frac_coords, number)
    if snapped.multiplicity.tolist() != [site.multiplicity for site in crystal.sites]:
        return False
    orbits = wyckoff.orbits(snapped, number)
    lattice = wyckoff.lattice_matrix(lengths, angles)
    species = [site.species for site in crystal.sites]
    if not may_be_higher(number, lengths, lattice, orbits, species):
        return True
    names = {name: i for i, name in enumerate(dict.fromkeys(species))}
    labels = [names[name] for name, orbit in zip(species, orbits, strict=True) for _ in orbit]
    return has_group(
        lattice,
        np.concatenate(orbits),
        np.array(labels, dtype=np.intc),
        number,
    )


def _changes(written: _Written, crystal: SGSCrystal) -> Iterator[tuple[float, _Written]]:
    """Yield changed numbers, with the deviation of the changed one from the true one in Å."""
    system = wyckoff.crystal_system(crystal.space_group_number)
    for step in _STEPS:
        for i, coords in enumerate(written.frac_coords):
            for axis, value in enumerate(coords):
                new = round((value + step / 100) % 1.0, 2) % 1.0
                gap = new - crystal.sites[i].frac_coords[axis]
                every = list(written.frac_coords)
                every[i] = triple((*coords[:axis], new, *coords[axis + 1 :]))
                distance = abs(gap - round(gap)) * crystal.lengths[axis]
                yield distance, written._replace(frac_coords=every)
        for axis, length in enumerate(written.lengths):
            lengths = (*written.lengths[:axis], length + step / 10, *written.lengths[axis + 1 :])
            if axis != 2 and system not in ("triclinic", "monoclinic", "orthorhombic"):
                continue  # a cannot change alone there, and c / a is enough
            yield (
                abs(lengths[axis] - crystal.lengths[axis]),
                written._replace(lengths=triple(lengths)),
            )
        for axis, angle in enumerate(written.angles):
            if system == "triclinic" or (system == "monoclinic" and axis == 1):
                angles = (*written.angles[:axis], angle + step, *written.angles[axis + 1 :])
                gap = abs(angles[axis] - crystal.angles[axis])
                yield (
                    math.radians(gap) * min(crystal.lengths),
                    written._replace(angles=triple(angles)),
                )
