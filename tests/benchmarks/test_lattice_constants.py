"""Lattice constants beside the true ones: errors by hand."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.benchmarks.lattice_constants import (
    CubicPair,
    lattice_document,
    lattice_errors,
)

ROCK_SALTS = [CubicPair("AB-225", 5.0, 5.0), CubicPair("AB-225", 6.2, 6.0)]
PEROVSKITES = [CubicPair("ABC3-221", 3.9, 4.0)]


def test_errors_by_hand() -> None:
    errors = lattice_errors([*ROCK_SALTS, *PEROVSKITES])
    assert errors["crystals"] == 3
    assert errors["mae"] == pytest.approx(0.1)
    assert errors["mean"] == pytest.approx(0.1 / 3)
    assert errors["relative"] == pytest.approx((0 + 0.2 / 6 + 0.1 / 4) / 3)
    # squared errors 0.05; about the mean 5 the true values have 2, about those of families 0.5
    assert errors["r2"] == pytest.approx(1 - 0.05 / 2)
    assert errors["r2_within"] == pytest.approx(1 - 0.05 / 0.5)


def test_what_cannot_be_told_of_one_crystal_or_none_is_left_out() -> None:
    assert lattice_errors(PEROVSKITES)["r2"] is None
    assert lattice_errors([]) == {
        "crystals": 0, "mae": None, "mean": None, "relative": None, "r2": None, "r2_within": None,
    }  # fmt: skip
    document = lattice_document({"a": [*ROCK_SALTS, *PEROVSKITES], "b": []}, families=1)
    assert list(document["measured"]["b"]) == ["all", "AB-225"]
    assert [row[:3] for row in document["rows"]] == [
        ["a", "cubic", "3"], ["", "AB-225", "2"], ["b", "cubic", "0"], ["", "AB-225", "0"],
    ]  # fmt: skip
