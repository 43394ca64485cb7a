"""Shortest distances: exact, an atom's own images included."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.thresholds import MIN_DISTANCE
from crystalicl_jobflow.validation.distances import distance_report, min_distance


def brute_force(structure: Structure, images: int) -> float:
    """Return the shortest distance over a block of cells, one pair at a time."""
    shifts = np.array(list(itertools.product(range(-images, images + 1), repeat=3)))
    shortest = math.inf
    for i, j in itertools.combinations_with_replacement(range(len(structure)), 2):
        difference = structure.frac_coords[i] - structure.frac_coords[j]
        lengths = np.linalg.norm((difference + shifts) @ structure.lattice.matrix, axis=1)
        if i == j:
            lengths = lengths[shifts.any(axis=1)]
        shortest = min(shortest, lengths.min())
    return shortest


def test_a_single_atom_is_as_close_to_its_own_image_as_the_cell_is_short() -> None:
    atom = Structure(Lattice.from_parameters(0.3, 4, 5, 90, 90, 90), ["He"], [[0, 0, 0]])
    report = distance_report(atom)
    assert report.min_distance == pytest.approx(0.3)
    assert report.closest == (0, 0)


def test_the_shortest_image_need_not_lie_along_a_cell_vector() -> None:
    # two vectors of 3 Å at 5 degrees: their difference is the shortest translation
    atom = Structure(Lattice.from_parameters(3, 3, 9, 90, 90, 5), ["He"], [[0, 0, 0]])
    assert min_distance(atom) == pytest.approx(2 * 3 * math.sin(math.radians(2.5)))


def test_rock_salt(nacl: Structure) -> None:
    assert min_distance(nacl) == pytest.approx(5.69 / 2)


def test_atoms_across_the_cell_border_are_close() -> None:
    pair = Structure(Lattice.cubic(10), ["O", "O"], [[0.01, 0, 0], [0.99, 0, 0]])
    assert min_distance(pair) == pytest.approx(0.2)


@pytest.mark.parametrize("second", [[0, 0, 0], [1, -2, 3]])
def test_two_atoms_on_one_place_are_at_distance_zero(second: list[float]) -> None:
    pair = Structure(Lattice.cubic(5), ["Na", "Cl"], [[0, 0, 0], second])
    report = distance_report(pair)
    assert report.min_distance == pytest.approx(0, abs=1e-9)
    assert report.closest in ((0, 1), (1, 0))
    assert report.overlapping is not None


@given(
    lengths=st.tuples(*[st.floats(0.5, 12)] * 3),
    angles=st.tuples(*[st.floats(60, 110)] * 3),
    points=st.lists(st.tuples(*[st.floats(-1, 2)] * 3), min_size=1, max_size=5),
)
def test_equals_a_search_over_many_cells(
    lengths: tuple[float, ...], angles: tuple[float, ...], points: list[tuple[float, ...]]
) -> None:
    structure = Structure(Lattice.from_parameters(*lengths, *angles), ["O"] * len(points), points)
    # wrapped, two cells each way hold the nearest image at these angles and few atoms
    wrapped = Structure(structure.lattice, ["O"] * len(points), np.mod(points, 1.0))
    assert min_distance(structure) == pytest.approx(brute_force(wrapped, 4), abs=1e-6)


def test_supercells_have_the_same_shortest_distance(nacl: Structure) -> None:
    large = nacl * (3, 2, 4)
    assert min_distance(large) == pytest.approx(min_distance(nacl))


@pytest.mark.parametrize(
    ("distance", "overlaps"), [(1.39, True), (1.41, False)], ids=["below", "above"]
)
def test_radii_rule_is_half_the_sum_of_the_atomic_radii(distance: float, overlaps: bool) -> None:
    # Na 1.80 Å and Cl 1.00 Å: half their sum is 1.40 Å
    pair = Structure(
        Lattice.cubic(10), ["Na", "Cl"], [[0, 0, 0], [0, 0, distance]], coords_are_cartesian=True
    )
    report = distance_report(pair)
    assert (report.overlapping is not None) is overlaps
    if overlaps:
        assert report.overlap_limit == pytest.approx(1.4)
        assert report.overlap_distance == pytest.approx(distance)


def test_the_overlap_may_be_another_pair_than_the_closest() -> None:
    # H–H at 0.74 Å is a molecule, Cs–Cs at 2.0 Å is not possible (limit 2.6 Å)
    crystal = Structure(
        Lattice.cubic(20),
        ["H", "H", "Cs", "Cs"],
        [[0, 0, 0], [0, 0, 0.74], [10, 10, 10], [10, 10, 12]],
        coords_are_cartesian=True,
    )
    report = distance_report(crystal)
    assert report.min_distance == pytest.approx(0.74)
    assert report.overlapping is not None
    assert set(report.overlapping) == {2, 3}


def test_radii_where_the_empirical_one_is_missing() -> None:
    assert atomic_radius("Na") == pytest.approx(1.8)
    assert atomic_radius("He") == pytest.approx(0.31)  # calculated
    assert atomic_radius("Fr") == pytest.approx(3.48 / 2)  # half of van der Waals
    assert atomic_radius("Og") == 0.0


def test_a_mixed_site_has_its_mean_radius() -> None:
    # Cu and Au have 1.35 Å each, Cl 1.00 Å
    mixed = Structure(
        Lattice.cubic(10),
        [{"Cu": 0.5, "Au": 0.5}, "Cl"],
        [[0, 0, 0], [0, 0, 1.1]],
        coords_are_cartesian=True,
    )
    assert distance_report(mixed).overlap_limit == pytest.approx((1.35 + 1.0) / 2)


def test_a_crystal_without_atoms_is_refused() -> None:
    with pytest.raises(ValueError, match="without atoms"):
        distance_report(Structure(Lattice.cubic(3), [], []))


def test_a_flat_cell_is_refused() -> None:
    flat = Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["H"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no volume"):
        distance_report(flat)


@pytest.mark.parametrize(
    ("lengths", "sites"),
    [
        ((4, 4, 1e-8), 2),  # 38 characters of a text, and once 5 GB
        ((1000, 1000, 1e-14), 1),
        ((1, 1e-6, 1e-2), 1),
        ((1, 1, 1), 2000),
    ],
)
def test_a_heap_of_atoms_overlaps_without_a_search_through_gigabytes(
    lengths: tuple[float, float, float], sites: int
) -> None:
    coords = np.random.default_rng(0).random((sites, 3))
    heap = Structure(Lattice.orthorhombic(*lengths), ["Cs"] * sites, coords)
    tracemalloc.start()
    try:
        report = distance_report(heap)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500e6
    assert report.min_distance < 0.5
    assert report.overlapping is not None
    assert report.overlap_distance is not None
    assert report.overlap_limit is not None
    assert report.overlap_distance < report.overlap_limit


@pytest.mark.parametrize("lengths", [(4, 4), (4, 8)])
def test_a_cell_that_is_thin_because_it_is_skewed_is_known_by_its_shortest_translation(
    lengths: tuple[float, float],
) -> None:
    """Vectors of 4 Å and more, yet an atom comes again after 0.0001 Å: an overlap at once."""
    first, second = lengths
    matrix = [[first, 0, 0], [second, 1e-4, 0], [0, 0, 4]]
    report = distance_report(Structure(Lattice(matrix), ["Cs"], [[0, 0, 0]]))
    assert report.min_distance == pytest.approx(1e-4)
    assert report.closest == report.overlapping == (0, 0)
    assert report.overlap_limit == MIN_DISTANCE


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    atom = Structure(Lattice.cubic(4), ["Na"], [[0, 0, value]])
    with pytest.raises(ValueError, match="not a finite number"):
        distance_report(atom)
    with pytest.raises(ValueError, match="no volume"):
        distance_report(Structure(Lattice(np.full((3, 3), value)), ["Na"], [[0, 0, 0]]))
