from __future__ import annotations

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.symmetry.groups import SpaceGroup

from crystalicl_jobflow.crystal import wyckoff

ALL = range(1, 231)
numbers = st.integers(1, 230)


def test_there_are_1731_wyckoff_positions() -> None:
    assert sum(len(wyckoff.wyckoff_positions(n)) for n in ALL) == 1731


@pytest.mark.parametrize("number", ALL)
def test_every_symbol_names_its_group_alone(number: int) -> None:
    assert wyckoff.number(wyckoff.symbol(number)) == number
    assert wyckoff.number(str(number)) == wyckoff.number(number) == number


@pytest.mark.parametrize("number", ALL)
def test_symbols_are_those_pymatgen_knows_and_operations_agree(number: int) -> None:
    own = wyckoff.operations(number)
    theirs = SpaceGroup(wyckoff.symbol(number)).symmetry_ops
    assert len(own) == len(theirs)
    keys = {
        (*r.ravel().tolist(), *(np.rint(t * 24).astype(int) % 24).tolist())
        for r, t in zip(own.rotations, own.translations, strict=True)
    }
    assert keys == {
        (
            *np.rint(op.rotation_matrix).astype(int).ravel().tolist(),
            *(np.rint(op.translation_vector * 24).astype(int) % 24).tolist(),
        )
        for op in theirs
    }


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Fm-3m", 225),
        ("Fm3m", 225),
        ("F m -3 m", 225),
        ("Pm3m", 221),
        ("P2_1/c", 14),
        ("P21/c", 14),
        ("P 1 2_1/c 1", 14),
        ("Cmca", 64),
        ("Cmce", 64),
        ("Aba2", 41),
        ("R-3m", 166),
        ("p-1", 2),
        ("62", 62),
    ],
)
def test_aliases(name: str, number: int) -> None:
    assert wyckoff.number(name) == number


@pytest.mark.parametrize("name", ["I2/a", "P2_1/n", "Pbnm", "", "Na", "x"])
def test_other_settings_and_nonsense_are_refused(name: str) -> None:
    message = f"^no space group is called '{name}' in the standard setting$"
    with pytest.raises(ValueError, match=message):
        wyckoff.number(name)


@pytest.mark.parametrize("name", ["0", "231"])
def test_numbers_of_no_group_are_refused(name: str) -> None:
    message = f"^space group {name}: the number must lie between 1 and 230$"
    with pytest.raises(ValueError, match=message):
        wyckoff.number(name)


def test_coordinates_that_round_to_one_are_zero() -> None:
    wrapped = wyckoff.wrap(np.array([1 - 1e-12, -1e-12, 1.0, -0.25, 2.5, 1 - 1e-6]))
    assert wrapped.tolist() == [0.0, 0.0, 0.0, 0.75, 0.5, 1 - 1e-6]


@pytest.mark.parametrize(
    ("number", "system", "centring"),
    [
        (1, "triclinic", 1),
        (15, "monoclinic", 2),
        (38, "orthorhombic", 2),
        (74, "orthorhombic", 2),
        (142, "tetragonal", 2),
        (150, "trigonal", 1),
        (166, "trigonal", 3),
        (194, "hexagonal", 1),
        (225, "cubic", 4),
        (229, "cubic", 2),
    ],
)
def test_systems_and_centring(number: int, system: str, centring: int) -> None:
    assert wyckoff.crystal_system(number) == system
    assert wyckoff.centring_multiplicity(number) == centring


@pytest.mark.parametrize("number", ALL)
def test_wyckoff_positions_are_orbits_of_the_operations(number: int) -> None:
    rng = np.random.default_rng(number)
    group = wyckoff.operations(number)
    positions = wyckoff.wyckoff_positions(number)
    for index, position in enumerate(positions):
        point = position.rotation @ rng.uniform(0.05, 0.95, 3) + position.translation
        orbit = wyckoff.orbit(point, number)
        assert len(orbit) == position.multiplicity
        assert np.linalg.matrix_rank(position.rotation) == position.degrees_of_freedom
        stays = group.apply(point[None])[0] - point
        assert (np.abs(stays - np.rint(stays)).max(1) < 1e-6).sum() * position.multiplicity == len(
            group
        )
        # whichever member of the orbit is asked about, the position is found again
        some = orbit[rng.integers(len(orbit), size=3)] + rng.integers(-2, 3, (3, 3))
        multiplicity = np.full(3, position.multiplicity)
        assert wyckoff.wyckoff_index(some, number, multiplicity).tolist() == [index] * 3


@pytest.mark.parametrize("number", [1, 12, 47, 62, 88, 123, 141, 148, 160, 166, 186, 194, 216, 227])
def test_letters_are_spglibs(number: int) -> None:
    lattice = {
        "triclinic": ((9.1, 10.7, 12.9), (83, 77, 71)),
        "monoclinic": ((9.1, 10.7, 12.9), (90, 103, 90)),
        "orthorhombic": ((9.1, 10.7, 12.9), (90, 90, 90)),
        "tetragonal": ((9.1, 9.1, 12.9), (90, 90, 90)),
        "trigonal": ((9.1, 9.1, 12.9), (90, 90, 120)),
        "hexagonal": ((9.1, 9.1, 12.9), (90, 90, 120)),
        "cubic": ((11.0, 11.0, 11.0), (90, 90, 90)),
    }[wyckoff.crystal_system(number)]
    rng = np.random.default_rng(0)
    general = [wyckoff.orbit(rng.uniform(0, 1, 3), number) for _ in range(3)]
    for position in wyckoff.wyckoff_positions(number):
        point = position.rotation @ rng.uniform(0.05, 0.95, 3) + position.translation
        orbits = [*general, wyckoff.orbit(point, number)]
        labels = [i for i, orbit in enumerate(orbits) for _ in orbit]
        dataset = spglib.get_symmetry_dataset(
            (wyckoff.lattice_matrix(*lattice), np.concatenate(orbits), labels), 1e-4
        )
        if dataset is None or dataset.number != number:
            continue
        # spglib may choose another of the equivalent origins: the letter is one of those
        # that the normalizer makes of ours
        possible = {mapping[position.letter] for mapping in wyckoff.normalizer(number).letters}
        found = dataset.wyckoffs[-1]
        assert found in possible


@given(numbers, st.integers(0, 2**32 - 1))
def test_snap_brings_rounded_points_back(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions = wyckoff.wyckoff_positions(number)
    position = positions[rng.integers(len(positions))]
    point = position.rotation @ rng.uniform(0, 1, 3) + position.translation
    result = wyckoff.snap(np.round(point, 2), number)
    # never off the position it was on, at most onto a more special one
    assert result.multiplicity[0] <= position.multiplicity
    assert position.multiplicity % result.multiplicity[0] == 0
    assert len(wyckoff.orbit(result.frac_coords[0], number)) == result.multiplicity[0]
    again = wyckoff.snap(result.frac_coords, number)
    assert np.allclose(again.frac_coords, result.frac_coords, atol=1e-8)


@given(numbers, st.integers(0, 2**32 - 1))
def test_snapping_many_points_is_snapping_each(number: int, seed: int) -> None:
    points = np.round(np.random.default_rng(seed).uniform(0, 1, (7, 3)), 2)
    together = wyckoff.snap(points, number)
    for i, point in enumerate(points):
        alone = wyckoff.snap(point[None], number)
        assert np.allclose(alone.frac_coords[0], together.frac_coords[i], atol=1e-12)
        assert alone.multiplicity[0] == together.multiplicity[i]
        assert np.array_equal(alone.stabilizer_mask[0], together.stabilizer_mask[i])


@pytest.mark.parametrize("number", ALL)
def test_normalizer_maps_the_group_onto_itself(number: int) -> None:
    group, others = wyckoff.operations(number), wyckoff.normalizer(number)
    rng = np.random.default_rng(0)
    point = rng.uniform(0, 1, 3)
    assert np.array_equal(others.rotations[0], np.eye(3))
    for rotation, translation in zip(others.rotations, others.translations, strict=True):
        assert round(np.linalg.det(rotation)) == 1  # a mirror image is another crystal
        moved_orbit = group.apply(point[None])[0] @ rotation.T + translation
        orbit_of_moved = group.apply((rotation @ point + translation)[None])[0]
        gaps = moved_orbit[:, None] - orbit_of_moved[None]
        gaps -= np.rint(gaps)
        gaps[..., others.polar] = 0.0 if others.polar.any() else gaps[..., others.polar]
        assert (np.abs(gaps).max(2).min(1) < 1e-6).all()


@pytest.mark.parametrize("number", ALL)
def test_lattices_obey_the_crystal_system(number: int) -> None:
    (a, b, c), (alpha, beta, gamma) = wyckoff.constrain_lattice((4, 5, 6), (91, 92, 93), number)
    system = wyckoff.crystal_system(number)
    assert (a == b) == (system in ("tetragonal", "trigonal", "hexagonal", "cubic"))
    assert (b == c) == (system == "cubic")
    assert (alpha == 90) == (system != "triclinic")
    assert (beta == 92) == (system in ("triclinic", "monoclinic"))
    assert (gamma == 120) == (system in ("trigonal", "hexagonal"))
    assert wyckoff.constrain_lattice((a, b, c), (alpha, beta, gamma), number) == (
        (a, b, c),
        (alpha, beta, gamma),
    )


@pytest.mark.parametrize(("x", "multiplicity"), [(0.0149, 1), (0.0151, 2)])
def test_a_point_snaps_where_an_operation_moves_it_by_less_than_0_03(
    x: float, multiplicity: int
) -> None:
    # inversion moves it by 2 x along a; two-decimal texts are 0.005 off at most
    snapped = wyckoff.snap(np.array([[x, 0.0, 0.5]]), 2)
    assert snapped.multiplicity.tolist() == [multiplicity]
    assert snapped.frac_coords[0, 0] == pytest.approx(0.0 if multiplicity == 1 else x)
