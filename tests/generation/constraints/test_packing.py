"""How near a site may come to itself and to others, on cells with short lattice vectors."""

from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.crystal.wyckoff import wyckoff_positions
from crystalicl_jobflow.generation.constraints.landing import landing
from crystalicl_jobflow.generation.constraints.packing import Packing, cell_matrix, site_orbit

HYDROGEN = 0.25
OXYGEN = 0.60


def empty(number: int, lengths: tuple[float, ...], angles: tuple[float, ...]) -> Packing:
    matrix = cell_matrix(number, lengths, angles)  # type: ignore[arg-type]  # three of each
    return Packing(number, matrix, min_distance=0.7, radii_fraction=0.5)


def test_a_site_keeps_its_distance_from_its_own_images() -> None:
    packing = empty(1, (2.0, 2.0, 5.0), (90, 90, 20))
    # the shortest lattice vector is a - b: 2 * 2.0 Å * sin(10°) = 0.695 Å, of 0.7 Å allowed
    expected = 4 * np.sin(np.radians(10)) / 0.7
    assert packing.room(site_orbit(1, (10, 20, 30)), HYDROGEN) == pytest.approx(expected)
    rooms = packing.rooms_along(10, 20, np.ones(100, dtype=bool), HYDROGEN)
    assert rooms == pytest.approx(np.full(100, expected))


@pytest.mark.parametrize(("number", "x", "y"), [(1, 0, 0), (2, 3, 0), (62, 5, 25), (99, 50, 50)])
def test_every_z_that_is_offered_is_accepted(number: int, x: int, y: int) -> None:
    packing = empty(number, (5.0, 5.0, 5.0), (90, 90, 90))
    packing.place(site_orbit(number, (x, y, 0)), OXYGEN)
    every_position = (1 << len(wyckoff_positions(number))) - 1
    allowed = landing(number).z_allowed(x, y, every_position)
    offered = packing.with_room(x, y, allowed, OXYGEN)
    accepted = [
        bool(allowed[z]) and packing.room(site_orbit(number, (x, y, z)), OXYGEN) >= 1
        for z in range(100)
    ]
    assert offered.tolist() == accepted
    assert 0 < offered.sum() < allowed.sum()
