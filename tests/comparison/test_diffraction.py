"""Crystals against measured patterns: similarity, the refined cell, the group that it keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
from crystalicl_jobflow.comparison.diffraction import (
    MeasuredProfile,
    drawn_pattern,
    fit_pattern,
    fit_patterns,
    similarity,
)
from crystalicl_jobflow.comparison.diffraction.profiles import background, is_peak_list
from crystalicl_jobflow.comparison.diffraction.reflections import free_strains
from crystalicl_jobflow.schemas.diffraction import PowderPattern
from crystalicl_jobflow.thresholds import PATTERN_STRAIN

Rows = Callable[[int], list[tuple[Structure, int, str]]]
COUNT = 8
CELLS = ("cubic", "hexagonal", "trigonal", "tetragonal", "orthorhombic", "monoclinic", "triclinic")


def deformed(structure: Structure, *factors: float) -> Structure:
    """Return a crystal with its three vectors longer by factors."""
    matrix = structure.lattice.matrix * np.array(factors)[:, None]
    return Structure(Lattice(matrix), structure.species, structure.frac_coords)


def of_group(symbol: str, lattice: Lattice) -> Structure:
    return Structure.from_spacegroup(symbol, lattice, ["Ca", "O"], [[0, 0, 0], [0.31, 0.23, 0.37]])


CRYSTALS = {
    "cubic": (of_group("Pm-3m", Lattice.cubic(9)), 1),
    "hexagonal": (of_group("P6/mmm", Lattice.hexagonal(8, 6)), 2),
    "trigonal": (of_group("P-3m1", Lattice.hexagonal(8, 6)), 2),
    "tetragonal": (of_group("P4/mmm", Lattice.tetragonal(8, 6)), 2),
    "orthorhombic": (of_group("Pmmm", Lattice.orthorhombic(6, 7, 8)), 3),
    "monoclinic": (of_group("P2/m", Lattice.monoclinic(6, 7, 8, 103)), 4),
    "triclinic": (of_group("P-1", Lattice.from_parameters(5, 6, 7, 80, 95, 103)), 6),
}


@pytest.fixture(scope="module")
def measured(mp_20: Rows) -> list[tuple[Structure, MeasuredProfile]]:
    """Return real crystals with a simulated measurement of each."""
    return [
        (
            crystal,
            MeasuredProfile.of(simulate_pattern(crystal, PatternSimulation(), name=name, seed=0)),
        )
        for crystal, _, name in mp_20(COUNT)
    ]


def test_the_true_crystal_explains_its_pattern_and_other_crystals_less(
    measured: list[tuple[Structure, MeasuredProfile]],
) -> None:
    for place, (crystal, profile) in enumerate(measured):
        true = fit_pattern(crystal, profile)
        wrong = fit_pattern(measured[(place + 1) % COUNT][0], profile)
        assert true.similarity is not None
        assert wrong.similarity is not None
        assert true.similarity > 0.97
        assert wrong.similarity < true.similarity - 0.1
        # peaks are shifted, so that the refined volume is a little off
        assert true.volume_ratio == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("factor", [0.96, 0.985, 1.015, 1.04])
def test_a_volume_that_is_wrong_by_several_per_cent_is_found(
    measured: list[tuple[Structure, MeasuredProfile]], factor: float
) -> None:
    for crystal, profile in measured:
        fit = fit_pattern(deformed(crystal, factor, factor, factor), profile)
        assert fit.volume_ratio is not None
        assert fit.volume_ratio * factor**3 == pytest.approx(1, abs=0.015)
        assert fit.similarity > 0.97
        assert fit.similarity_as_written < fit.similarity - 0.02
        assert fit.largest_strain <= PATTERN_STRAIN + 1e-6


def test_similarity_falls_slowly_with_the_error_of_a_cell(
    measured: list[tuple[Structure, MeasuredProfile]],
) -> None:
    for crystal, profile in measured:
        found = [
            similarity(deformed(crystal, factor, factor, factor), profile)
            for factor in (1.0, 1.002, 1.005, 1.02)
        ]
        # 0.2 % of the lengths: a peak's width at 90 degrees; shifts of peaks are as large
        assert min(found[:2]) > 0.95
        assert found[2] > 0.9
        assert found[3] < found[0] - 0.03


@pytest.mark.parametrize("name", CELLS)
def test_the_refined_cell_keeps_what_the_group_demands(name: str) -> None:
    crystal, free = CRYSTALS[name]
    assert len(free_strains(crystal)) == free
    pattern = simulate_pattern(crystal, PatternSimulation(), name=name, seed=1)
    number = SpacegroupAnalyzer(crystal, 0.01).get_space_group_number()
    wrong = {
        "cubic": (1.03, 1.03, 1.03),
        "hexagonal": (1.02, 1.02, 0.98),
        "trigonal": (0.98, 0.98, 1.02),
        "tetragonal": (1.02, 1.02, 0.98),
        "orthorhombic": (1.02, 0.98, 1.01),
        "monoclinic": (1.01, 0.98, 1.02),
        "triclinic": (1.01, 0.99, 1.01),
    }[name]
    start = deformed(crystal, *wrong)
    fit = fit_pattern(start, MeasuredProfile.of(pattern))
    refined = fit.refined(start)
    assert fit.num_parameters == free
    assert refined is not None
    assert SpacegroupAnalyzer(refined, 0.01).get_space_group_number() == number
    assert refined.lattice.abc == pytest.approx(crystal.lattice.abc, rel=0.01)
    assert refined.frac_coords == pytest.approx(start.frac_coords)
    assert start == deformed(crystal, *wrong)  # what is compared stays as it is


def test_an_atom_in_the_wrong_place_is_seen() -> None:
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    wrong = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.2, 0.2, 0]]
    )
    pattern = simulate_pattern(rutile, PatternSimulation(), name="rutile", seed=0)
    true, other = fit_patterns([rutile, wrong], pattern)
    assert true.similarity > other.similarity + 0.02


@pytest.mark.parametrize("radiation", ["MoKa", "CoKa1", "AgKa"])
def test_every_radiation_gives_the_same_verdict(mp_20: Rows, radiation: str) -> None:
    crystals = [crystal for crystal, _, _ in mp_20(3)]
    simulation = PatternSimulation(radiation=radiation, two_theta=(5.0, 70.0))
    pattern = simulate_pattern(crystals[0], simulation, name="x", seed=0)
    found = [fit.similarity for fit in fit_patterns(crystals, pattern)]
    assert found[0] == max(found)
    assert found[0] > 0.95


def test_a_list_of_peaks_is_taken_for_one_and_its_background_stays(mp_20: Rows) -> None:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    crystals = [crystal for crystal, _, _ in mp_20(3)]
    peaks = XRDCalculator("CuKa").get_pattern(crystals[0], two_theta_range=(10, 90))
    pattern = PowderPattern.build(peaks.x, peaks.y, name="peaks")
    assert is_peak_list(pattern)
    found = [fit.similarity for fit in fit_patterns(crystals, pattern)]
    assert found[0] == max(found)
    assert found[0] > 0.99
    scan = simulate_pattern(crystals[0], PatternSimulation(), name="x", seed=0)
    assert not is_peak_list(scan)


def test_a_background_is_taken_away_and_peaks_stay() -> None:
    angles = np.arange(10, 90, 0.02)
    broad = 500 + 1500 * np.exp(-(angles - 10) / 15)
    peaks = sum(1000 * np.exp(-(((angles - at) / 0.1) ** 2)) for at in (20.0, 45.0, 45.4, 80.0))
    found = background(angles, broad + peaks)
    assert np.abs(found - broad)[50:-50].max() < 60
    assert (found <= (broad + peaks) + 30).all()


def test_a_crystal_that_has_no_pattern_costs_no_other(
    measured: list[tuple[Structure, MeasuredProfile]],
) -> None:
    crystal, profile = measured[0]
    dummy = Structure(Lattice.cubic(4), ["X0+"], [[0, 0, 0]])
    tiny = Structure(Lattice.cubic(0.3), ["H"], [[0, 0, 0]])
    huge = Structure(Lattice.cubic(400), ["H"], [[0, 0, 0]])
    fits = fit_patterns([None, dummy, tiny, huge, crystal], profile.pattern)
    for fit in fits[:4]:
        assert fit.similarity is None
        assert fit.lattice is None
        assert fit.failure_message
        assert "\n" not in fit.failure_message
    assert fits[0].failure_message == "no crystal"
    assert fits[4].similarity > 0.97


def test_processes_give_what_one_gives(measured: list[tuple[Structure, MeasuredProfile]]) -> None:
    pattern = measured[0][1].pattern
    crystals = [crystal for crystal, _ in measured[:3]]
    assert fit_patterns(crystals, pattern, processes=2) == fit_patterns(crystals, pattern)


def test_cells_of_every_setting_and_size_are_compared_alike(
    measured: list[tuple[Structure, MeasuredProfile]],
) -> None:
    crystal, profile = measured[2]
    conventional = SpacegroupAnalyzer(crystal, 0.1).get_conventional_standard_structure()
    larger = crystal.copy()
    larger.make_supercell([[1, 0, 0], [0, 2, 0], [0, 0, 1]])
    found = [fit_pattern(item, profile).similarity for item in (crystal, conventional, larger)]
    assert max(found) - min(found) < 0.01


def test_simulated_patterns_are_those_of_their_seed_and_name(mp_20: Rows) -> None:
    crystal = mp_20(1)[0][0]
    simulation = PatternSimulation()
    first, again, other, second = (
        simulate_pattern(crystal, simulation, name=name, seed=seed)
        for name, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))
    )
    assert first == again
    assert first.intensity != other.intensity
    assert first.intensity != second.intensity
    assert (first.two_theta[0], round(first.two_theta[-1], 2)) == (10, 89.98)
    with pytest.raises(ValueError, match="radiation 'XxKa' is not known"):
        simulate_pattern(crystal, PatternSimulation(radiation="XxKa"), name="a", seed=0)


def test_peaks_are_drawn_where_the_calculation_has_them() -> None:
    crystal = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    pattern = PowderPattern.build(np.arange(20, 60, 0.02), np.arange(2000.0), name="x")
    angles, profile, peaks = drawn_pattern(crystal, pattern)
    # a = 5.64 Å: (200) of rock salt with Cu Kα is at 31.7 degrees
    assert angles[int(np.argmax(profile))] == pytest.approx(31.72, abs=0.05)
    assert peaks == pytest.approx([27.38, 31.72, 45.47, 53.90, 56.51], abs=0.05)
