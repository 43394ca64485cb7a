"""Compounds that do not exist, to teach a model to read what it is shown.

A model that has learned its training crystals by heart writes them without looking at the
demonstrations, and so never learns to use them. With its elements replaced by similar ones,
a crystal cannot be recalled: what its structure is only the demonstrations tell.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from pymatgen.core import Composition, Element

from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.radii import atomic_radius
from crystalicl_jobflow.training.crystals import TrainingCrystal, training_crystal

SPREAD = 10
"""How far replacements may be by Mendeleev number (Pettifor's chemical scale)."""

MOST_Z = 94
"""Heaviest replacement: plutonium, the last element that is common in the data."""


def substitute(
    item: TrainingCrystal, rng: random.Random, *, spread: int = SPREAD
) -> TrainingCrystal | None:
    """Replace the elements of a crystal by similar ones.

    Parameters
    ----------
    item
        An ordered crystal.
    rng
        Draws the replacements.
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
    except ValueError:  # spglib or the text refuse it
        return None
    if found.demonstration.space_group != item.demonstration.space_group:
        return None
    return found


@cache
def near_elements(symbol: str, spread: int = SPREAD) -> tuple[str, ...]:
    """Return the elements that may stand for one, itself among them, by atomic number.

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
