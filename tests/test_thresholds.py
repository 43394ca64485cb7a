"""Every tolerance is the one of its source: a rate means nothing at another."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow import thresholds
from crystalicl_jobflow.comparison import MATCH, match_structures, unique_groups
from crystalicl_jobflow.thresholds import check_tolerances, evaluation_tolerances, meets_value
from crystalicl_jobflow.validation.checks import validate_structure
from crystalicl_jobflow.validation.distances import min_distance

PINNED = {
    "SYMPREC": 0.1,
    "ANGLE_TOLERANCE": 5.0,
    "MIN_DISTANCE": 0.5,
    "MIN_VOLUME": 0.1,
    "MIN_VOLUME_PER_ATOM": 1.5,
    "RADII_FRACTION": 0.5,
    "OXIDATION_STATES_SET": "smact14",
    "MAX_OXIDATION_COMBINATIONS": 10_000_000,
    "MATCH_STOL": 0.5,
    "MATCH_LTOL": 0.3,
    "MATCH_ANGLE_TOL": 10.0,
    "UNIQUE_STOL": 0.3,
    "UNIQUE_LTOL": 0.2,
    "UNIQUE_ANGLE_TOL": 5.0,
    "MATCH_TIMEOUT": 60.0,
    "MAX_POLYMORPH_PAIRS": 20_000,
    "COVERAGE_CUTOFFS": {
        "mp_20": (0.4, 10.0),
        "carbon_24": (0.2, 4.0),
        "perov_5": (0.2, 4.0),
    },
    "FINGERPRINT_TIMEOUT": 60.0,
    "FINGERPRINT_MIN_VOLUME": 0.5,
    "STABLE_E_ABOVE_HULL": 0.0,
    "METASTABLE_E_ABOVE_HULL": 0.1,
    "HULL_ROUNDING": 1e-8,
    "NEGATIVE_FORMATION_ENERGY": 0.0,
    "BOND_TOLERANCE": 0.32,
    "HYDROGEN_BOND_FACTOR": 2.5,
    "IONIC_ELECTRONEGATIVITY": 1.7,
    "BOND_LENGTH_SCORE": 1.0,
    "REWARD_PARTS": {"parse": 0.5, "valid": 0.5, "formula": 0.5},
    "REWARD_MATCH": {
        "match_loose": (0.9, 0.7, 20.0, 0.25),
        "match_medium": (0.7, 0.5, 15.0, 0.25),
        "match_tight": (0.5, 0.3, 10.0, 1.0),
    },
    "REWARD_PENALTY": -1.0,
    "BAND_GAP_TOLERANCE": 0.5,
    "E_ABOVE_HULL_TOLERANCE": 0.1,
    "RELATIVE_TOLERANCE": 0.1,
    "PATTERN_SCALING": 0.05,
    "PATTERN_STRAIN": 0.08,
    "PATTERN_SEARCH_WIDTH": 0.03,
    "PATTERN_WIDTH": 0.016,
}
"""The values by name; those that have no test elsewhere are bounds of what may be read."""


def test_the_values_are_those_of_their_sources() -> None:
    assert {name: getattr(thresholds, name) for name in PINNED} == PINNED


def test_documents_state_the_values_that_the_checks_use() -> None:
    stated = check_tolerances()
    for name in ("symprec", "angle_tolerance", "min_distance", "min_volume", "radii_fraction"):
        assert stated[name] == PINNED[name.upper()]
    assert check_tolerances(0.01)["symprec"] == 0.01
    compared = evaluation_tolerances()
    for name in ("stol", "ltol", "angle_tol"):
        for kind in ("match", "unique"):
            assert compared[f"{kind}_{name}"] == PINNED[f"{kind}_{name}".upper()]


@pytest.mark.parametrize(
    ("name", "value", "asked", "met"),
    [
        ("band_gap", 2.2, 1.7, True),
        ("band_gap", 2.21, 1.7, False),
        ("band_gap", 1.2, 1.7, True),
        ("energy_above_hull", 0.15, 0.05, True),
        ("energy_above_hull", 0.16, 0.05, False),
        ("energy_above_hull", -3.0, 0.05, True),
        ("formation_energy_per_atom", -0.01, -2.0, True),
        ("formation_energy_per_atom", 0.01, -2.0, False),
        ("formation_energy_per_atom", 0.0, 0.4, True),
        ("bulk_modulus", 110.0, 100.0, True),
        ("bulk_modulus", 110.1, 100.0, False),
        ("bulk_modulus", -90.0, -100.0, True),
    ],
)
def test_single_values_are_met_within_their_tolerances(
    name: str, value: float, asked: float, met: bool
) -> None:
    assert meets_value(name, value, asked) is met


def hydrogen(length: float) -> Structure:
    """Return one atom in a rhombohedral cell of 60°, the densest packing."""
    return Structure(
        Lattice.from_parameters(length, length, length, 60, 60, 60), ["H"], [[0, 0, 0]]
    )


def test_the_smallest_volume_decides_where_the_distance_does_not() -> None:
    small = hydrogen(0.52)
    assert small.volume == pytest.approx(0.52**3 / math.sqrt(2))
    assert small.volume < 0.1
    assert min_distance(small) > 0.5
    checks = validate_structure(small).checks
    assert checks.structure_valid is False
    assert checks.structure_valid_radii is True
    assert validate_structure(hydrogen(0.53)).checks.structure_valid is True


@pytest.mark.parametrize(("length", "valid"), [(0.5, True), (0.4999, False)])
def test_the_shortest_distance_is_inclusive(length: float, valid: bool) -> None:
    chain = Structure(Lattice.orthorhombic(length, 5, 5), ["H"], [[0, 0, 0]])
    assert validate_structure(chain).checks.structure_valid is valid


def caesium_chloride(*, ratio: float = 1.0, gamma: float = 90.0, z: float = 0.5) -> Structure:
    lattice = Lattice.from_parameters(4, 4, 4 * ratio, 90, 90, gamma)
    return Structure(lattice, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, z]])


@pytest.mark.parametrize(
    ("changed", "matches", "same"),
    [
        ({"ratio": 1.30}, True, True),
        ({"ratio": 1.35}, True, False),
        ({"gamma": 94}, True, True),
        ({"gamma": 96}, True, False),
        ({"gamma": 99}, True, False),
        ({"gamma": 101}, False, False),
        ({"z": 0.95}, True, True),
        ({"z": 1.0}, True, False),
    ],
)
def test_structures_match_and_are_the_same_up_to_the_tolerances(
    changed: dict[str, float], matches: bool, same: bool
) -> None:
    ideal, other = caesium_chloride(), caesium_chloride(**changed)
    assert match_structures(other, ideal).matched is matches
    assert match_structures(other, ideal, tolerances=MATCH).matched is matches
    assert (len(set(unique_groups([ideal, other]))) == 1) is same
