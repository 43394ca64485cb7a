"""Atomic radii, as the overlap rule and the constraint on distances use them."""

from __future__ import annotations

import warnings
from functools import cache

from pymatgen.core import Element


@cache
def atomic_radius(symbol: str) -> float:
    """Return an element's radius in Å, 0 where none is known.

    In this order: Slater's empirical radii (J. Chem. Phys. 41, 3199 (1964)), calculated
    ones (Clementi et al. 1967), half the van der Waals radius; all as pymatgen has them.
    """
    element = Element(symbol)
    with warnings.catch_warnings():  # pymatgen warns for every radius it lacks
        warnings.simplefilter("ignore")
        for radius, scale in (
            (element.atomic_radius, 1.0),
            (element.atomic_radius_calculated, 1.0),
            (element.van_der_waals_radius, 0.5),
        ):
            if radius is not None:
                return float(radius) * scale
    return 0.0
