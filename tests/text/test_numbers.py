"""Halves go up in what is written, whatever the noise of floating-point numbers."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths
from crystalicl_jobflow.text.species import read_species


def test_lengths() -> None:
    assert format_lengths([5.25 - 1e-9, 5.25, 5.25 + 1e-9]) == "5.3 5.3 5.3"
    assert format_lengths([5.2499, 5.3499, 10.0]) == "5.2 5.3 10.0"


def test_angles() -> None:
    assert format_angles([90.5, 91.5, 90.5 - 1e-9]) == "91 92 91"
    assert format_angles([90.4999, 119.5001, 60.0]) == "90 120 60"


def test_coordinates() -> None:
    assert format_coords([0.125, 0.125 - 1e-9, 0.1249]) == "0.13 0.13 0.12"
    assert format_coords([0.995, 1 - 1e-12, -0.25]) == "0.00 0.00 0.75"


def test_an_occupancy_of_too_many_digits_is_named_by_its_element() -> None:
    digits = "0." + "3" * 40
    with pytest.raises(ValueError, match="the occupancy of Na has too many digits"):
        read_species(f"K0.5 Na{digits}")
    assert read_species("Na0.5 K0.5")[0] == "K0.5 Na0.5"
