"""Cell lengths that leave enough volume."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crystalicl_jobflow.generation.constraints.cell_values import length_mask, length_values


@pytest.mark.parametrize(
    ("number", "base"), [(194, math.sqrt(3) / 2), (166, math.sqrt(3) / 2), (123, 1.0), (62, 1.0)]
)
def test_the_last_length_gives_the_cell_its_volume(number: int, base: float) -> None:
    values = length_values(2.0, 20.0)
    everything = np.ones(len(values), dtype=bool)
    four = values.index["4.0"]
    offered = length_mask(number, (four, four), values, everything, 100.0)
    shortest = float(values.strings[int(np.flatnonzero(offered)[0])])
    # the shortest c in tenths of Å with base * 4.0 Å * 4.0 Å * c of at least 100 Å³
    assert base * 16 * shortest >= 100
    assert base * 16 * (shortest - 0.1) < 100 - 1e-9
    assert offered[np.flatnonzero(offered)[0] :].all()
