"""Pairs of made-up crystals with one structure, to teach a model to use its examples.

Real crystals can be memorised, or guessed from their elements; a small model then ignores the
demonstrations. Here cell, free coordinates and elements are drawn anew, so the target crystal can
only be derived from the other one of its pair.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.formula import element_rank
from crystalicl_jobflow.crystal.lattice import constrain_lattice, triple
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.crystal.space_groups import crystal_system
from crystalicl_jobflow.text import SGS, SGSCrystal
from crystalicl_jobflow.training.data.augmentation import equivalent_description
from crystalicl_jobflow.training.data.crystals import TrainingCrystal, training_crystal

SPREAD = 10
"""Maximum difference in Mendeleev number of replacements (Pettifor's chemical scale)."""


MOST_Z = 94
"""Heaviest replacement element: plutonium, the last one that is common in the data."""


MADE_UP = "made up"
"""Source of made-up crystals."""

STRAIN = 0.25
"""Maximum change of a cell length, as the logarithm of the ratio."""

TURN = 10.0
"""Maximum change of a free angle (degrees)."""

SHIFT = 0.15
"""Maximum change of each free coordinate of an orbit (fractional)."""

DESCRIBED_ANEW = 0.5
"""Share of the pairs that are not in the canonical description."""


SHARED = 0.4
"""Share of the second crystal's elements that are those of the first: lines with the same start
are the easiest to copy, and a model learns to copy them first."""


def made_up_pair(
    item: TrainingCrystal, rng: random.Random, *, aligned: bool = False
) -> tuple[TrainingCrystal, TrainingCrystal] | None:
    """Make up two crystals of one structure.

    Parameters
    ----------
    item
        An ordered crystal: group, Wyckoff positions and stoichiometry are its own.
    rng
        Random generator for everything else.
    aligned
        Whether the second crystal is written like the first one, whatever the order of its
        elements by electronegativity.

    Returns
    -------
    tuple of TrainingCrystal or None
        Two crystals with the same coordinates, angles and ratios of lengths, each with elements
        similar to the crystal's, in the same order of electronegativity (unless ``aligned``), some
        of them in both, and the volume that corresponds to their atoms as spheres. They need not
        be realistic: atoms may be close, and their symmetry may be higher than written. None if
        no such elements are found.
    """
    crystal = item.crystal
    number = crystal.space_group_number
    positions = {position.letter: position for position in wyckoff.wyckoff_positions(number)}
    sites = []
    for site in crystal.sites:
        free = positions[site.wyckoff_letter or ""].rotation
        shift = free @ np.array([rng.uniform(-SHIFT, SHIFT) for _ in range(3)])
        point = wyckoff.wrap(np.array(site.frac_coords) + shift)
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
    """Return similar elements, in the same order of electronegativity (that of texts) if asked."""
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


def substitute(
    item: TrainingCrystal, rng: random.Random, *, spread: int = SPREAD
) -> TrainingCrystal | None:
    """Replace the elements of a crystal by similar ones.

    Parameters
    ----------
    item
        An ordered crystal.
    rng
        Random generator of the replacements.
    spread
        Greatest difference of Mendeleev numbers between an element and its replacement.

    Returns
    -------
    TrainingCrystal or None
        The same structure of other elements, without properties, its volume scaled by
        that of the atoms as spheres of their atomic radii. None where the replaced crystal
        has another space group or cannot be described.
    """
    replaced: dict[Any, Any] = {}
    for element in item.demonstration.elements:
        taken = set(replaced.values())
        choices = [other for other in near_elements(element, spread) if other not in taken]
        if not choices:
            return None
        replaced[element] = rng.choice(choices)
    try:
        structure = SGS.build(item.crystal)
        before = sphere_volume(structure.composition)
        structure.replace_species(replaced)
        structure.scale_lattice(structure.volume * sphere_volume(structure.composition) / before)
        found = training_crystal(
            structure,
            name=f"{item.demonstration.demonstration_id}:{structure.composition.reduced_formula}",
            source="substituted",
            properties={},
        )
    except ValueError:  # spglib or the text format rejects it
        return None
    if found.demonstration.space_group != item.demonstration.space_group:
        return None
    return found


@cache
def near_elements(symbol: str, spread: int = SPREAD) -> tuple[str, ...]:
    """Return the elements that may replace one, including itself, by atomic number.

    Parameters
    ----------
    symbol
        An element.
    spread
        Greatest difference of Mendeleev numbers.
    """
    place = Element(symbol).mendeleev_no
    return tuple(
        other.symbol
        for other in sorted(Element, key=lambda candidate: candidate.Z)
        if other.Z <= MOST_Z
        and other.symbol not in ("D", "T")
        and not other.is_noble_gas
        and abs(other.mendeleev_no - place) <= spread
    )


def sphere_volume(composition: Composition) -> float:
    """Return the volume of the atoms as spheres of their atomic radii, less a factor (Å³)."""
    return sum(
        atomic_radius(element.symbol) ** 3 * amount for element, amount in composition.items()
    )
