"""The shipped tables of landing places against `snap` itself."""

from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.constraints.data.build_tables import landing_table
from crystalicl_jobflow.generation.constraints.landing import NOWHERE, landing


@pytest.mark.parametrize("number", range(1, 231))
def test_random_entries_are_what_snap_says(number: int) -> None:
    table = landing(number)
    rng = np.random.default_rng(number)
    points = rng.integers(0, 100, (60, 3))
    # half of them where positions are special
    special = rng.choice([0, 12, 13, 25, 33, 50, 67, 75, 98], (40, 3))
    points = np.concatenate([points, special])
    points[:20, 2] = points[:20, 1]  # and on diagonals
    snapped = wyckoff.snap(points / 100, number)
    expected = wyckoff.wyckoff_index(snapped.frac_coords, number, snapped.multiplicity)
    found = [table.index(*map(int, point)) for point in points]
    assert np.array_equal(found, np.where(expected < 0, NOWHERE, expected))


@pytest.mark.parametrize("number", [1, 2, 62, 148])
def test_a_whole_table_is_what_the_script_builds(number: int) -> None:
    table = landing(number)
    assert np.array_equal(table.rows[table.row_ids], landing_table(number))


@pytest.mark.parametrize("number", [2, 47, 166, 221])
def test_looking_ahead_agrees_with_the_points(number: int) -> None:
    table = landing(number)
    every = table.rows[table.row_ids]  # (x, y, z)
    for bit in range(len(wyckoff.wyckoff_positions(number))):
        reached = every == bit
        assert reached.any(), "every position can be written"
        assert np.array_equal(table.x_allowed(1 << bit), reached.any((1, 2)))
        x = int(np.flatnonzero(reached.any((1, 2)))[0])
        assert np.array_equal(table.y_allowed(x, 1 << bit), reached[x].any(1))
        assert np.array_equal(table.yz_allowed(x, 1 << bit), reached[x])
        y = int(np.flatnonzero(reached[x].any(1))[0])
        assert np.array_equal(table.z_allowed(x, y, 1 << bit), reached[x, y])
