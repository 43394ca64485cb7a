"""Cells: lengths in Å, angles in degrees, vectors as rows in Å."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal.space_groups import crystal_system

Triple = tuple[float, float, float]


def constrain_lattice(
    lengths: Sequence[float], angles: Sequence[float], number: int
) -> tuple[Triple, Triple]:
    """Impose a group's crystal system on cell lengths (Å) and angles (degrees).

    Lengths that must be equal become their mean; angles that are fixed get their value.
    """
    a, b, c = (float(x) for x in lengths)
    system = crystal_system(number)
    if system == "triclinic":
        alpha, beta, gamma = (float(x) for x in angles)
        return (a, b, c), (alpha, beta, gamma)
    if system == "monoclinic":
        return (a, b, c), (90.0, float(angles[1]), 90.0)
    if system == "orthorhombic":
        return (a, b, c), (90.0, 90.0, 90.0)
    if system == "cubic":
        a = b = c = (a + b + c) / 3
        return (a, b, c), (90.0, 90.0, 90.0)
    a = b = (a + b) / 2
    return (a, b, c), (90.0, 90.0, 90.0 if system == "tetragonal" else 120.0)


def lattice_matrix(lengths: Sequence[float], angles: Sequence[float]) -> NDArray[np.float64]:
    """Return lattice vectors in Å as rows, shape (3, 3): c along z, a in the xz plane."""
    a, b, c = lengths
    cos_alpha, cos_beta, sin_alpha, sin_beta, cos_gamma_star, sin_gamma_star = _cosines(
        tuple(angles)
    )
    return np.array(
        [
            [a * sin_beta, 0.0, a * cos_beta],
            [-b * sin_alpha * cos_gamma_star, b * sin_alpha * sin_gamma_star, b * cos_alpha],
            [0.0, 0.0, c],
        ]
    )


@lru_cache(maxsize=1024)  # most cells have one of two shapes
def _cosines(angles: tuple[float, ...]) -> tuple[float, ...]:
    """Return cosines and sines of a cell's angles: alpha and beta, and of the reciprocal gamma."""
    cos_alpha, cos_beta, cos_gamma = np.cos(np.radians(angles))
    sin_alpha, sin_beta, _ = np.sin(np.radians(angles))
    cos_gamma_star = np.clip((cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta), -1, 1)
    sin_gamma_star = np.sqrt(1 - cos_gamma_star**2)
    values = (cos_alpha, cos_beta, sin_alpha, sin_beta, cos_gamma_star, sin_gamma_star)
    return tuple(map(float, values))


def lattice_parameters(lattice: NDArray[np.float64]) -> tuple[Triple, Triple]:
    """Return lengths and angles of a cell whose vectors are rows, shape (3, 3)."""
    products = (lattice @ lattice.T).tolist()
    a, b, c = (math.sqrt(products[i][i]) for i in range(3))

    def angle(product: float) -> float:
        return math.degrees(math.acos(max(-1.0, min(1.0, product))))

    alpha = angle(products[1][2] / (b * c))
    beta = angle(products[0][2] / (a * c))
    return (a, b, c), (alpha, beta, angle(products[0][1] / (a * b)))


def triple(values: Iterable[float]) -> Triple:
    """Return three values as a tuple of floats."""
    first, second, third = values
    return float(first), float(second), float(third)
