"""What the shipped trees know of a crystal: composition, cell and symmetry as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure

from crystalicl_jobflow.comparison.fingerprint_sets import composition_fingerprint
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.validation.composition import composition_valid
from crystalicl_jobflow.validation.distances import min_distance
from crystalicl_jobflow.validation.summary import find_space_group

STRUCTURE_FEATURES = (
    "space_group",
    "num_sites_primitive",
    "volume_per_atom",
    "packing",
    "shortest_distance",
    "shortest_over_radii",
    "electrons_are_odd",
    "valence_electrons_per_atom",
    "composition_valid",
)
"""Features beside the 132 of Magpie's composition fingerprint.

``packing`` is the volume of atomic spheres per volume of the cell, ``shortest_over_radii`` the
shortest distance by the mean atomic diameter. ``electrons_are_odd`` is 1 where the primitive
cell holds an odd number of electrons: without magnetism such a crystal is a metal.
"""

NUM_FEATURES = 132 + len(STRUCTURE_FEATURES)

FEATURES_VERSION = "magpie+cell 1"
"""Part of a predictor's file: trees are only right on the features they were grown on."""


def crystal_features(structure: Structure) -> NDArray[np.float64]:
    """Return the features of one crystal.

    Parameters
    ----------
    structure
        A crystal, ordered or not.

    Returns
    -------
    numpy.ndarray
        Shape (141,), composition first; NaN where there is none, which trees can take.

    Raises
    ------
    ValueError
        If the crystal has no volume, or an element has no data at all.
    """
    composition = structure.composition.element_composition
    if structure.volume <= 0:
        raise ValueError("a cell without volume has no features")
    magpie, spheres, diameter, valence, neutral = _composition_features(
        tuple(sorted(composition.fractional_composition.get_el_amt_dict().items()))
    )
    volume = structure.volume / len(structure)
    group, _symbol, primitive = find_space_group(structure)
    electrons = sum(Element(el).Z * amount for el, amount in composition.get_el_amt_dict().items())
    electrons *= primitive / len(structure)
    shortest = min_distance(structure)
    own = (
        np.nan if group is None else group,
        primitive,
        volume,
        spheres / volume,
        shortest,
        shortest / diameter,
        round(electrons) % 2,
        valence,
        neutral,
    )
    return np.concatenate([magpie, np.array(own, dtype=np.float64)])


def feature_matrix(
    structures: Sequence[Structure | None],
) -> tuple[NDArray[np.float64], list[str | None]]:
    """Return the features of many crystals.

    Returns
    -------
    tuple
        Features, (n, 141), NaN in the rows of crystals that have none; for each crystal why
        it has none, or None.
    """
    matrix = np.full((len(structures), NUM_FEATURES), np.nan)
    errors: list[str | None] = []
    for row, structure in enumerate(structures):
        if structure is None or len(structure) == 0:
            errors.append("There is no crystal.")
            continue
        try:
            matrix[row] = crystal_features(structure)
            errors.append(None)
        except ValueError as error:
            errors.append(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return matrix, errors


@lru_cache(maxsize=65536)
def _composition_features(
    shares: tuple[tuple[str, float], ...],
) -> tuple[NDArray[np.float64], float, float, float, bool]:
    """Return Magpie's fingerprint, sphere volume and mean diameter per atom, and the like."""
    composition = Composition(dict(shares))
    magpie = composition_fingerprint(composition)
    spheres = diameter = valence = 0.0
    for symbol, share in shares:
        radius = atomic_radius(symbol)
        spheres += share * 4 / 3 * np.pi * radius**3
        diameter += share * 2 * radius
        valence += share * _valence_electrons(symbol)
    return magpie, spheres, diameter, valence, composition_valid(composition)


def _valence_electrons(symbol: str) -> int:
    """Return the electrons outside the noble-gas core, filled d and f shells not counted."""
    element = Element(symbol)
    group = element.group
    if element.is_lanthanoid or element.is_actinoid:
        return 3
    return group if group <= 12 else group - 10
