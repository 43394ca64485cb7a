"""How far the distributions of properties of two sets of crystals lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

Values = Sequence[float | None] | NDArray[np.float64]

DISTRIBUTIONS: dict[str, str] = {
    "density": "g/cm³",
    "formation_energy_per_atom": "eV/atom",
    "num_elements": "",
}
"""The properties that CrystalICL compares, and their units, which are the distance's too."""


@dataclass(frozen=True)
class DistributionDistance:
    """The Wasserstein distance of one property between two sets.

    Parameters
    ----------
    distance
        In the property's unit; None where a set has no value.
    generated, reference
        Values that entered.
    generated_of, reference_of
        Crystals given, those without a value included.
    """

    distance: float | None
    generated: int
    generated_of: int
    reference: int
    reference_of: int


def wasserstein(generated: Values, reference: Values) -> DistributionDistance:
    """Return the first Wasserstein distance of two samples of a property.

    ``W = ∫ |F(x) - G(x)| dx`` with the empirical distribution functions F and G, by
    ``scipy.stats.wasserstein_distance``. A missing value (None, NaN) leaves the sample, and
    shows in the counts.

    Parameters
    ----------
    generated, reference
        Values; generated ones of valid crystals only, as CDVAE and CrystalICL take them.

    Raises
    ------
    ValueError
        If a value is infinite.
    """
    from scipy.stats import wasserstein_distance

    first, second = _known(generated), _known(reference)
    distance = float(wasserstein_distance(first, second)) if len(first) and len(second) else None
    return DistributionDistance(distance, len(first), len(generated), len(second), len(reference))


def property_distributions(
    generated: Sequence[Structure],
    reference: Sequence[Structure],
    *,
    generated_properties: Mapping[str, Values] | None = None,
    reference_properties: Mapping[str, Values] | None = None,
) -> dict[str, DistributionDistance]:
    """Compare density, number of elements and given properties of two sets.

    Parameters
    ----------
    generated
        The *valid* generated crystals, all of them.
    reference
        The test set.
    generated_properties, reference_properties
        Property name → one value per crystal, e.g. ``formation_energy_per_atom`` in eV/atom;
        compared where both have the name. Both by the same model, or the distance measures
        the models.

    Returns
    -------
    dict
        Property name → distance with its counts.

    Raises
    ------
    ValueError
        If a property has not one value per crystal.
    """
    first: dict[str, Values] = {
        "density": densities(generated),
        "num_elements": numbers_of_elements(generated),
        **(generated_properties or {}),
    }
    second: dict[str, Values] = {
        "density": densities(reference),
        "num_elements": numbers_of_elements(reference),
        **(reference_properties or {}),
    }
    for values, count in ((first, len(generated)), (second, len(reference))):
        for name, given in values.items():
            if len(given) != count:
                raise ValueError(f"{len(given)} values of {name} for {count} crystals")
    return {name: wasserstein(first[name], second[name]) for name in first if name in second}


def densities(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """Return the densities in g/cm³, shape (n,); NaN for a cell without volume."""
    return np.array([float(s.density) if s.volume > 0 else np.nan for s in structures])


def numbers_of_elements(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """Return the numbers of distinct elements, shape (n,); Fe2+ and Fe3+ are one element."""
    return np.array([float(len(s.composition.get_el_amt_dict())) for s in structures])


def _known(values: Values) -> NDArray[np.float64]:
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if np.isinf(numbers).any():
        raise ValueError("a property's value is infinite")
    return numbers[~np.isnan(numbers)]
