"""The reflections of a crystal, and the strains of its cell that keep its group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.thresholds import SYMPREC

if TYPE_CHECKING:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

MOST_REFLECTIONS = 20_000
"""Points of the reciprocal lattice up to which a pattern is computed: beyond, the range is cut.
20,000 take about a second; to d = 1.1 Å (Cu Kα, 90 degrees) a cell of 6,300 Å³ has as many."""

_NUDGES = (1.1e-3, -0.7e-3, 0.5e-3, 0.9e-3, -1.3e-3, 0.3e-3)
"""Strains with which reflections are told apart that only coincide by chance, such as (333) and
(511) of a tetragonal cell whose lengths are equal: they part when the cell is refined."""


@dataclass(frozen=True)
class Reflections:
    """Reflections of a crystal.

    Parameters
    ----------
    hkl
        Miller indices, one of each family, shape (n, 3).
    intensities
        Integrated intensities with multiplicity, Lorentz and polarisation factor, shape (n,).
    reciprocal
        Reciprocal vectors as rows, without 2π, Å⁻¹, shape (3, 3).
    strains
        Basis of the symmetric strains that keep the group, shape (free, 3, 3): one for a cubic
        crystal, six for a triclinic one. The first is the isotropic one.
    """

    hkl: NDArray[np.float64]
    intensities: NDArray[np.float64]
    reciprocal: NDArray[np.float64]
    strains: NDArray[np.float64]

    def positions(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1/d of the reflections in a strained cell, Å⁻¹, shape (n,).

        Parameters
        ----------
        amounts
            How much of each strain, shape (free,).
        """
        deformed = np.eye(3) + np.tensordot(amounts, self.strains, axes=1)
        vectors = self.hkl @ self.reciprocal @ np.linalg.inv(deformed)
        found: NDArray[np.float64] = np.sqrt((vectors**2).sum(axis=1))
        return found


def reflections(
    structure: Structure,
    *,
    wavelength: float,
    limits: tuple[float, float],
    symprec: float = SYMPREC,
) -> Reflections:
    """Return the reflections of a crystal by pymatgen's ``XRDCalculator``.

    Parameters
    ----------
    structure
        The crystal, ordered or not.
    wavelength
        Å
    limits
        Smallest and largest 1/d, Å⁻¹.
    symprec
        Tolerance in Å of the group that strains keep.

    Raises
    ------
    ValueError
        If an element has no scattering factor, or there is no reflection; one line.
    """
    low, high = limited(structure, wavelength, limits)
    strains = free_strains(structure, symprec=symprec)
    amounts = np.array(_NUDGES[: len(strains)])
    lattice = structure.lattice.matrix
    nudged = lattice @ (np.eye(3) + np.tensordot(amounts, strains, axes=1))
    angles = tuple(2 * math.degrees(math.asin(wavelength * x / 2)) for x in (low, high))
    pattern = calculator(wavelength).get_pattern(
        Structure(Lattice(nudged), structure.species_and_occu, structure.frac_coords),
        scaled=False,
        two_theta_range=angles,
    )
    first = [families[0]["hkl"] for families in pattern.hkls]
    hkl = np.array([(h[0], h[1], h[-1]) for h in first], dtype=float).reshape(-1, 3)
    return Reflections(
        hkl,
        np.asarray(pattern.y, dtype=float),
        np.asarray(np.linalg.inv(lattice).T, dtype=np.float64),
        strains,
    )


def calculator(wavelength: float) -> XRDCalculator:
    """Return pymatgen's calculator, whose import takes a second: it can draw, too.

    Parameters
    ----------
    wavelength
        Å
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    return XRDCalculator(wavelength)


def limited(
    structure: Structure, wavelength: float, limits: tuple[float, float]
) -> tuple[float, float]:
    """Return the range of 1/d in which a pattern is computed, Å⁻¹.

    Parameters
    ----------
    structure
        The crystal.
    wavelength
        Å; beyond 2/wavelength nothing is reflected.
    limits
        Smallest and largest 1/d wanted.

    Raises
    ------
    ValueError
        If the cell has more than `MOST_REFLECTIONS` below the range; one line.
    """
    low, high = limits
    most = (MOST_REFLECTIONS / (4 / 3 * math.pi * structure.volume)) ** (1 / 3)
    high = min(high, most, 2 / wavelength * 0.9999)
    if high <= low:
        raise ValueError("the cell is too large for a pattern in this range")
    return low, high


def free_strains(structure: Structure, *, symprec: float = SYMPREC) -> NDArray[np.float64]:
    """Return a basis of the strains that keep the group, shape (free, 3, 3).

    Parameters
    ----------
    structure
        The crystal.
    symprec
        Tolerance in Å of its group; where none is found, only the volume is free.

    Returns
    -------
    numpy.ndarray
        Symmetric, of norm √3, the first the unit matrix; a cell with vectors as rows L becomes
        ``L (1 + amount * strain)``.
    """
    isotropic = np.eye(3)
    dataset = structure_dataset(structure, symprec=symprec)
    if dataset is None:
        return isotropic[None]
    lattice = structure.lattice.matrix.T
    inverse = np.linalg.inv(lattice)
    rotations = np.unique(np.asarray(dataset.rotations), axis=0)
    turns = lattice @ rotations @ inverse  # (operations, 3, 3), Cartesian
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    means = [isotropic.ravel()]
    for i, j in pairs:
        single = np.zeros((3, 3))
        single[i, j] = single[j, i] = 1
        mean = (turns @ single @ turns.transpose(0, 2, 1)).mean(axis=0)
        means.append(((mean + mean.T) / 2).ravel())
    basis: list[NDArray[np.float64]] = []
    for vector in means:
        rest = vector - sum((b * (b @ vector) for b in basis), np.zeros(9))
        length = float(np.linalg.norm(rest))
        if length > _SAME:
            basis.append(rest / length)
    found: NDArray[np.float64] = math.sqrt(3) * np.array(basis).reshape(-1, 3, 3)
    return found


_SAME = 0.05
"""Norm below which a strain is one of those before it: a group at a tolerance is not exact."""
