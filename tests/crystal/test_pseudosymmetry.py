from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import angles_fault
from crystalicl_jobflow.crystal.pseudosymmetry import may_be_higher
from crystalicl_jobflow.crystal.symmetry import has_group


def asked(
    number: int,
    lengths: tuple[float, float, float],
    sites: list[tuple[str, list[float]]],
    angles: tuple[float, float, float] = (90, 90, 90),
) -> tuple[bool, bool]:
    """Return whether the quick look sees more symmetry, and whether the search keeps the group."""
    lengths, angles = wyckoff.constrain_lattice(lengths, angles, number)
    lattice = wyckoff.lattice_matrix(lengths, angles)
    snapped = wyckoff.snap([point for _, point in sites], number).frac_coords
    orbits = [wyckoff.orbit(point, number) for point in snapped]
    names = [name for name, _ in sites]
    labels = [names.index(name) for name, orbit in zip(names, orbits, strict=True) for _ in orbit]
    return may_be_higher(number, lengths, lattice, orbits, names), has_group(
        lattice, np.concatenate(orbits), np.array(labels, dtype=np.intc), number
    )


@pytest.mark.parametrize(
    ("number", "lengths", "sites"),
    [
        # a tetragonal ferroelectric whose shifts are too small to be seen
        (99, (4.0, 4.0, 4.2), [("Pb", [0, 0, 0]), ("Ti", [0.5, 0.5, 0.51]), ("O", [0.5, 0.5, 0])]),
        (123, (4.0, 4.0, 4.02), [("Cs", [0, 0, 0]), ("Cl", [0.5, 0.5, 0.5])]),  # nearly cubic
        (47, (4.0, 5.5, 8.0), [("Na", [0, 0, 0]), ("Na", [0.5, 0.5, 0.5])]),  # body-centred
        (156, (4.0, 4.0, 7.0), [("Na", [0, 0, 0]), ("Cl", [1 / 3, 2 / 3, 0.5])]),  # -6m2
    ],
)
def test_more_symmetry_is_seen(
    number: int, lengths: tuple[float, float, float], sites: list[tuple[str, list[float]]]
) -> None:
    assert asked(number, lengths, sites) == (True, False)


def test_rutile_and_a_clear_ferroelectric_need_no_search() -> None:
    assert asked(136, (4.6, 4.6, 2.96), [("Ti", [0, 0, 0]), ("O", [0.3, 0.3, 0])]) == (False, True)
    lead_titanate = [
        ("Pb", [0, 0, 0]),
        ("Ti", [0.5, 0.5, 0.6]),
        ("O", [0.5, 0.5, 0.12]),
        ("O", [0.5, 0, 0.65]),
    ]
    assert asked(99, (3.9, 3.9, 4.15), lead_titanate) == (False, True)


@given(st.integers(16, 230), st.integers(0, 2**32 - 1))
def test_where_nothing_is_seen_the_search_finds_the_group(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions = wyckoff.wyckoff_positions(number)
    lengths = tuple(rng.uniform(5, 12, 3))
    sites, volume = [], float(np.prod(lengths))
    for name in ["Na", "Ti", "O"][: rng.integers(1, 4)]:
        position = positions[rng.integers(len(positions))]
        if position.multiplicity * 8 < volume:
            point = position.rotation @ rng.uniform(0, 1, 3) + position.translation
            sites.append((name, np.round(point, 2).tolist()))
    if not sites:
        return
    seen, kept = asked(number, lengths, sites)
    assert seen or kept


@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
def test_nor_do_low_groups_miss_anything(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions = wyckoff.wyckoff_positions(number)
    # cells that are nearly of a higher system, and others
    lengths = tuple(np.round(rng.choice([5.0, 5.2, 7.1, 9.0], 3) + rng.normal(0, 0.1, 3), 1))
    angles = tuple(np.round(rng.choice([85.0, 90.0, 100.0, 119.0], 3) + rng.normal(0, 2, 3)))
    if angles_fault(angles) is not None:
        return
    sites = []
    for name in ["Na", "Ti", "O"][: rng.integers(1, 4)]:
        position = positions[rng.integers(len(positions))]
        point = position.rotation @ rng.choice([0.0, 0.24, 0.31, 0.5], 3) + position.translation
        sites.append((name, np.round(point, 2).tolist()))
    seen, kept = asked(number, lengths, sites, angles)
    assert seen or kept


@pytest.mark.parametrize(
    ("number", "lengths", "angles", "sites", "seen"),
    [
        (14, (5.1, 7.3, 8.8), (90, 104, 90), [("Na", [0.2, 0.1, 0.4]), ("O", [0.6, 0.3, 0.1])], 0),
        (4, (5.1, 7.3, 8.8), (90, 104, 90), [("Na", [0.2, 0.1, 0.4])], 1),  # inversion
        (3, (5.1, 7.3, 8.8), (90, 91, 90), [("Na", [0, 0.1, 0]), ("Cl", [0.5, 0.6, 0.5])], 1),
        (2, (5.1, 7.3, 8.8), (81, 104, 97), [("Na", [0.2, 0.1, 0.4])], 0),
        (1, (5.1, 7.3, 8.8), (81, 104, 97), [("Na", [0.2, 0.1, 0.4])], 1),
    ],
)
def test_of_monoclinic_and_triclinic_crystals(
    number: int,
    lengths: tuple[float, float, float],
    angles: tuple[float, float, float],
    sites: list[tuple[str, list[float]]],
    seen: int,
) -> None:
    assert asked(number, lengths, sites, angles) == (bool(seen), not seen)
