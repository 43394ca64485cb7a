"""Ordered crystals as arrays: what data sets consist of, without an object for each site."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Lattice, Structure

from crystalicl_jobflow.crystal.formula import whole_numbers
from crystalicl_jobflow.crystal.structure_documents import lattice_as_dict


@dataclass(frozen=True, eq=False)
class OrderedCrystal:
    """A crystal with one full element on every site, and nothing else that a structure may have.

    Attributes
    ----------
    lattice
        The cell.
    symbols
        The element of each site.
    frac_coords
        Shape (n, 3).

    Examples
    --------
    >>> import numpy as np
    >>> polonium = OrderedCrystal(Lattice.cubic(3.35), ["Po"], np.zeros((1, 3)))
    >>> polonium.as_dict() == polonium.structure().as_dict()
    True
    """

    lattice: Lattice
    symbols: list[str]
    frac_coords: NDArray[Any]

    def structure(self) -> Structure:
        """Return the crystal as a structure."""
        return Structure(
            self.lattice, [_full_site(name) for name in self.symbols], self.frac_coords
        )

    def composition(self) -> Composition:
        """Return `crystal_composition` of the structure."""
        return whole_numbers(Counter(self.symbols))

    def as_dict(self) -> dict[str, Any]:
        """Return ``as_dict()`` of the structure."""
        coords = self.lattice.get_cartesian_coords(self.frac_coords).tolist()
        return {
            "@module": Structure.__module__,
            "@class": Structure.__name__,
            "charge": 0.0,
            "lattice": lattice_as_dict(self.lattice),
            "properties": {},
            "sites": [
                {
                    "species": [{"element": name, "occu": 1}],
                    "abc": abc,
                    "properties": {},
                    "label": name,
                    "xyz": xyz,
                }
                for name, abc, xyz in zip(
                    self.symbols, self.frac_coords.tolist(), coords, strict=True
                )
            ],
        }


@cache
def _full_site(symbol: str) -> Composition:
    """Return the content of a site, shared by all sites of an element."""
    return Composition({Element(symbol): 1})
