"""Wasserstein distances of property distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.comparison.distributions import property_distributions, wasserstein

samples = st.lists(st.floats(-50, 50), min_size=1, max_size=20)


def by_hand(first: list[float], second: list[float]) -> float:
    """Integrate the difference of the two empirical distribution functions."""
    points = np.unique(np.concatenate([first, second]))
    below = [np.mean(np.asarray(values)[:, None] <= points, axis=0) for values in (first, second)]
    return float(np.sum(np.abs(below[0] - below[1])[:-1] * np.diff(points)))


def test_distance_by_hand() -> None:
    # half of the first sample has to move by 1, half by 3
    assert wasserstein([0.0, 1.0], [1.0, 4.0]).distance == pytest.approx(2.0)
    # samples of different size: 1/3 moves from 0 to 3
    assert wasserstein([0.0, 0.0, 0.0], [0.0, 0.0, 3.0]).distance == pytest.approx(1.0)
    assert wasserstein([5.0], [1.0, 1.0, 1.0]).distance == pytest.approx(4.0)


@given(samples, samples)
def test_distance_is_the_area_between_the_distribution_functions(
    first: list[float], second: list[float]
) -> None:
    found = wasserstein(first, second).distance
    assert found == pytest.approx(by_hand(first, second), abs=1e-9)
    assert wasserstein(second, first).distance == pytest.approx(found, abs=1e-9)


@given(samples, st.randoms(use_true_random=False), st.floats(-5, 5))
def test_identities(values: list[float], random: object, shift: float) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert wasserstein(values, shuffled).distance == pytest.approx(0, abs=1e-12)
    assert wasserstein(values * 3, values).distance == pytest.approx(0, abs=1e-9)
    moved = [value + shift for value in values]
    assert wasserstein(moved, values).distance == pytest.approx(abs(shift), abs=1e-9)


def test_missing_values_leave_the_sample_and_show_in_the_counts() -> None:
    found = wasserstein([1.0, None, float("nan")], np.array([2.0, np.nan]))
    assert found.distance == 1.0
    assert (found.generated, found.generated_of) == (1, 3)
    assert (found.reference, found.reference_of) == (1, 2)
    assert wasserstein([], [1.0]).distance is None
    assert wasserstein([None], [1.0]).distance is None
    with pytest.raises(ValueError, match="infinite"):
        wasserstein([float("inf")], [1.0])


def test_density_and_number_of_elements(nacl: Structure, cscl: Structure) -> None:
    metal = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = property_distributions([nacl, metal], [cscl, cscl * (1, 1, 2)])
    # mass of four NaCl in 5.69³ Å³ and of CsCl in 4.12³ Å³; 1 amu/Å³ = 1.66054 g/cm³
    densities = [4 * 58.44277 / 5.69**3, 2 * 55.845 / 2.87**3, 168.35845 / 4.12**3]
    densities = [value * 1.66054 for value in densities]
    first, second, third = densities
    assert found["density"].distance == pytest.approx(
        (abs(first - third) + abs(second - third)) / 2, rel=1e-4
    )
    assert found["num_elements"].distance == pytest.approx(0.5)  # 2, 1 against 2, 2
    assert "formation_energy_per_atom" not in found


def test_ions_of_one_element_are_one_element(nacl: Structure) -> None:
    mixed = Structure(
        Lattice.cubic(4), ["Fe2+", "Fe3+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]
    )
    assert property_distributions([mixed], [nacl])["num_elements"].distance == 0


def test_given_properties_are_compared_where_both_have_them(nacl: Structure) -> None:
    found = property_distributions(
        [nacl, nacl],
        [nacl],
        generated_properties={"formation_energy_per_atom": [-2.0, None], "band_gap": [1.0, 2.0]},
        reference_properties={"formation_energy_per_atom": [-1.5]},
    )
    assert found["formation_energy_per_atom"].distance == pytest.approx(0.5)
    assert found["formation_energy_per_atom"].generated == 1
    assert found["density"].distance == 0
    assert "band_gap" not in found
    with pytest.raises(ValueError, match="1 values of band_gap for 2 crystals"):
        property_distributions([nacl, nacl], [nacl], generated_properties={"band_gap": [1.0]})


def test_a_cell_without_volume_has_no_density(nacl: Structure) -> None:
    flat = Structure(Lattice([[1, 0, 0], [2, 0, 0], [0, 0, 1]]), ["Cs"], [[0, 0, 0]])
    found = property_distributions([flat, nacl], [nacl])
    assert (found["density"].generated, found["density"].generated_of) == (1, 2)
    assert found["density"].distance == 0
