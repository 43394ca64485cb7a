"""Equivalent descriptions of the same crystal, for data augmentation.

`canonical` chooses one of the many ways to describe a crystal in its space group. Here one is
drawn at random: a coset of the group in its Euclidean normalizer (another origin or other axes),
an origin along polar axes, a point of each orbit, an order of the orbits. All decode to the same
crystal.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import triple
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.canonical import COORDINATE_STEPS


def equivalent_description(
    crystal: SGSCrystal,
    rng: random.Random,
    *,
    origin: bool = True,
    representatives: bool = True,
    order: bool = True,
) -> SGSCrystal:
    """Draw a description of the same crystal.

    Parameters
    ----------
    crystal
        As `SGSFormat.analyze` gives it, points exactly on their Wyckoff positions.
    rng
        Random generator of the choices.
    origin
        Whether the origin and the axes may change: a coset of the space group in its
        proper Euclidean normalizer for a cell of general metric (International Tables
        for Crystallography A, section 3.5), and a shift in whole hundredths along polar
        axes. Cell lengths and angles stay as they are.
    representatives
        Whether each orbit may be represented by another of its points.
    order
        Whether the orbits may be written in another order.

    Returns
    -------
    SGSCrystal
        Same group, cell and multiplicities; letters for the new origin.
    """
    number = crystal.space_group_number
    points = np.array([site.frac_coords for site in crystal.sites], dtype=float).reshape(-1, 3)
    letters = [site.wyckoff_letter for site in crystal.sites]
    if origin:
        normalizer = wyckoff.normalizer(number)
        coset = rng.randrange(len(normalizer.letters))
        shift = np.array([rng.randrange(COORDINATE_STEPS) / COORDINATE_STEPS for _ in range(3)])
        points = points @ normalizer.rotations[coset].T + normalizer.translations[coset]
        points = points + shift * normalizer.polar
        names = normalizer.letters[coset]
        letters = [letter and names[letter] for letter in letters]
    if representatives:
        images = wyckoff.operations(number).apply(points)  # (sites, operations, 3)
        points = np.array([rng.choice(list(of_site)) for of_site in images]).reshape(-1, 3)
    sites = [
        replace(site, frac_coords=triple(point), wyckoff_letter=letter)
        for site, point, letter in zip(
            crystal.sites, wyckoff.wrap(points).tolist(), letters, strict=True
        )
    ]
    if order:
        rng.shuffle(sites)
    return replace(crystal, sites=tuple(sites))
