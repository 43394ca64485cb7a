"""What is looked up of a site is what its images say."""

from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.site_kinds import site_kinds

ALL = range(1, 231)
PARAMETERS = np.array([0.1371, 0.2893, 0.4327])  # of points in no special place


@pytest.mark.parametrize("number", ALL)
def test_kinds_lead_to_the_first_triplets(number: int) -> None:
    rng = np.random.default_rng(number)
    positions = wyckoff.wyckoff_positions(number)
    normalizer = wyckoff.normalizer(number)
    group = wyckoff.operations(number)
    points = []
    for position in positions:
        point = position.rotation @ PARAMETERS + position.translation
        orbit = wyckoff.orbit(point, number)
        points.append(orbit[rng.integers(len(orbit))] + rng.integers(-1, 2, 3))
    snapped = wyckoff.snap(points, number, 1e-3)
    kinds = site_kinds(number, snapped)
    assert [kind.position for kind in kinds] == list(range(len(positions)))

    coset = int(rng.integers(len(normalizer.rotations)))
    shift = normalizer.translations[coset]
    for position, kind, point in zip(positions, kinds, snapped.frac_coords, strict=True):
        letter = normalizer.letters[coset][position.letter]
        target = next(p for p in positions if p.letter == letter)
        images = group.apply((normalizer.rotations[coset] @ point + shift)[None])
        expected = images[0, wyckoff.on_first_triplets(images, [target])[0]]
        rotations, translations = kind.to_first_triplet(coset)
        found = rotations @ (normalizer.rotations[coset] @ point + shift) + translations
        assert places(found) == places(expected)
        assert len(found) == len(places(found))  # each once


def places(points: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, np.round(wyckoff.wrap(points), 4) % 1))


def test_a_point_that_is_not_exact_has_a_kind_of_its_own() -> None:
    # two mirrors leave it where it is, but not the axis in which they meet
    mask = np.ones((1, 8), dtype=bool)
    mask[0, 1] = False
    near = wyckoff.SnapResult(
        np.array([[2e-4, 1e-4, 0.0]]), np.array([1]), mask, np.zeros((1, 8, 3))
    )
    assert site_kinds(47, near)[0].position == 0


@pytest.mark.parametrize("number", [1, 12, 62, 148, 166, 194, 216, 225, 230])
def test_orbits_are_those_of_each_point(number: int) -> None:
    points = [
        position.rotation @ PARAMETERS + position.translation
        for position in wyckoff.wyckoff_positions(number)
    ]
    snapped = wyckoff.snap(points, number, 1e-3)
    for orbit, point in zip(wyckoff.orbits(snapped, number), snapped.frac_coords, strict=True):
        assert np.array_equal(orbit, wyckoff.orbit(point, number))
        gaps = orbit[:, None] - orbit
        same = np.abs(gaps - np.rint(gaps)).max(2) < 1e-3
        assert same.sum() == len(orbit)
