"""A hash of a crystal's cell and sites, used as key of results and to order sets."""

from __future__ import annotations

import hashlib

import numpy as np
from pymatgen.core import Structure


def structure_hash(structure: Structure) -> str:
    """Return a hash of a crystal: the same for the same cell and sites.

    Lattice parameters and wrapped fractional coordinates enter at six decimals, sites in
    any order, so a crystal that went through JSON or was turned in space keeps its hash.
    Another cell of the same crystal has another one.

    Parameters
    ----------
    structure
        Crystal, ordered or not.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    parameters = np.round(structure.lattice.parameters, 6) + 0.0  # no -0.0
    coords = np.round(structure.frac_coords % 1.0, 6) % 1.0 + 0.0
    sites = sorted(
        f"{site.species_string} {x:.6f} {y:.6f} {z:.6f}"
        for site, (x, y, z) in zip(structure, coords, strict=True)
    )
    text = "\n".join([" ".join(f"{value:.6f}" for value in parameters), *sites])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
