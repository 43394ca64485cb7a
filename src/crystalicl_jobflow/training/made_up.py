"""Made-up crystals in pairs of one structure, to teach a model to read what it is shown.

Real crystals can be known by heart, or guessed from their elements; a small model then
never looks at the demonstrations. Here cell, free coordinates and elements are drawn anew:
what the crystal asked for looks like, only the one beside it tells.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
from pymatgen.core import Composition

from crystalicl_jobflow.schemas.space_groups import crystal_system
from crystalicl_jobflow.text import SGS, SGSCrystal, spacegroups
from crystalicl_jobflow.text.augmentation import equivalent_description
from crystalicl_jobflow.text.lattice import constrain_lattice
from crystalicl_jobflow.text.numbers import triple
from crystalicl_jobflow.text.species import element_rank
from crystalicl_jobflow.training.crystals import TrainingCrystal
from crystalicl_jobflow.training.substitution import near_elements, sphere_volume

MADE_UP = "made up"
"""Source of made-up crystals."""

STRAIN = 0.25
"""Most that a cell length changes, as the logarithm of the ratio."""

TURN = 10.0
"""Most that a free angle changes (degrees)."""

SHIFT = 0.15
"""Most that each free coordinate of an orbit changes (fractional)."""

DESCRIBED_ANEW = 0.5
"""Share of the pairs in another description than the canonical one."""


SHARED = 0.4
"""Share of the second crystal's elements that are those of the first: lines that begin alike
are the easiest to carry over, and what a model learns to carry over first."""


def made_up_pair(
    item: TrainingCrystal, rng: random.Random, *, aligned: bool = False
) -> tuple[TrainingCrystal, TrainingCrystal] | None:
    """Make up two crystals of one structure.

    Parameters
    ----------
    item
        An ordered crystal: group, Wyckoff positions and stoichiometry are its own.
    rng
        Draws everything else.
    aligned
        Whether the second crystal is written as the first one is, whatever the order of its
        elements by electronegativity.

    Returns
    -------
    tuple of TrainingCrystal or None
        Two crystals with the same coordinates, angles and ratios of lengths, each with
        elements similar to the crystal's, in the same order of electronegativity (unless
        ``aligned``), some of
        them in both, and the volume that their atoms as spheres ask for. They need not
        be sensible: atoms may come close, and their symmetry may be higher than written.
        None where no such elements are found.
    """
    crystal = item.crystal
    number = crystal.space_group_number
    positions = {position.letter: position for position in spacegroups.wyckoff_positions(number)}
    sites = []
    for site in crystal.sites:
        free = positions[site.wyckoff_letter or ""].rotation
        shift = free @ np.array([rng.uniform(-SHIFT, SHIFT) for _ in range(3)])
        point = spacegroups.wrap(np.array(site.frac_coords) + shift)
        sites.append(replace(site, frac_coords=triple(point)))
    lengths, angles = _another_cell(crystal, rng)
    shape = replace(crystal, lengths=lengths, angles=angles, sites=tuple(sites))
    if rng.random() < DESCRIBED_ANEW:
        shape = equivalent_description(shape, rng, order=False)
    first = _other_elements(item.demonstration.elements, {}, rng)
    if first is None:
        return None
    kept = {old: new for old, new in first.items() if rng.random() < SHARED}
    second = _other_elements(item.demonstration.elements, kept, rng, ordered=not aligned)
    if second is None:
        return None
    return _with_elements(item, shape, first), _with_elements(item, shape, second)


def _another_cell(
    crystal: SGSCrystal, rng: random.Random
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    number = crystal.space_group_number
    lengths = [length * math.exp(rng.uniform(-STRAIN, STRAIN)) for length in crystal.lengths]
    angles = list(crystal.angles)
    if crystal_system(number) in ("triclinic", "monoclinic"):
        angles = [min(130.0, max(50.0, angle + rng.uniform(-TURN, TURN))) for angle in angles]
    return constrain_lattice(lengths, angles, number)


def _other_elements(
    elements: tuple[str, ...],
    kept: dict[str, str],
    rng: random.Random,
    *,
    ordered: bool = True,
) -> dict[str, str] | None:
    """Return similar elements, in the same order of electronegativity, in which texts go."""
    names = sorted(elements, key=element_rank)
    for _ in range(20):
        drawn = [kept.get(symbol) or rng.choice(near_elements(symbol)) for symbol in names]
        if len(set(drawn)) < len(drawn):
            continue
        if not ordered or drawn == sorted(drawn, key=element_rank):
            return dict(zip(names, drawn, strict=True))
    return None


def _with_elements(
    item: TrainingCrystal, shape: SGSCrystal, mapping: dict[str, str]
) -> TrainingCrystal:
    def composition(names: dict[str, str]) -> Composition:
        amounts: dict[str, float] = {}
        for site in shape.sites:
            name = names[site.species]
            amounts[name] = amounts.get(name, 0) + (site.multiplicity or 1)
        return Composition(amounts)

    new = composition(mapping)
    scale = (sphere_volume(new) / sphere_volume(composition({e: e for e in mapping}))) ** (1 / 3)
    crystal = replace(
        shape,
        lengths=triple(np.array(shape.lengths) * scale),
        sites=tuple(replace(site, species=mapping[site.species]) for site in shape.sites),
    )
    known = item.demonstration
    formula = new.reduced_formula
    return TrainingCrystal(
        known.model_copy(
            update={
                "demonstration_id": f"{MADE_UP}:{known.demonstration_id}:{formula}",
                "source": MADE_UP,
                "formula": formula,
                "chemsys": new.chemical_system,
                "elements": tuple(sorted(mapping.values())),
                "properties": {},
                "text": SGS.format(crystal),
            }
        ),
        crystal,
    )
