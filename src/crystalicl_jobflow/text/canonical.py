"""One description for one crystal.

A space group leaves freedom in how a crystal is written down: which point of an orbit,
which of several equivalent origins and axes (the cosets of the group in its Euclidean
normalizer), where the origin lies along a polar axis. Of all these the description is
chosen whose Wyckoff letters, and then whose written coordinates, come first in order.
The same crystal so gives the same text however its atoms or its origin were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.text import spacegroups
from crystalicl_jobflow.text.numbers import triple

_LETTERS = "abcdefghijklmnopqrstuvwxyzA"
#: Coordinates are written as multiples of one hundredth.
COORDINATE_STEPS = 100


def written(frac_coords: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return coordinates as whole hundredths in 0 to 99; halves go up, whatever the noise."""
    return np.floor(frac_coords * COORDINATE_STEPS + 0.5 + 1e-5).astype(np.int64) % COORDINATE_STEPS


def canonical_sites(
    number: int,
    frac_coords: NDArray[np.float64],
    multiplicity: NDArray[np.int64],
    ranks: Sequence[int],
) -> list[tuple[int, str, tuple[float, float, float]]]:
    """Choose the description of a crystal that comes first.

    Parameters
    ----------
    number
        Space-group number.
    frac_coords, multiplicity
        One point per orbit, exactly on its Wyckoff position, and the orbits' sizes in
        the conventional cell; shapes (n, 3) and (n,).
    ranks
        The species of each orbit as an integer, in the order in which they are written.

    Returns
    -------
    list of (index, letter, frac_coords)
        In the order in which the sites are written; `index` counts the given orbits.
    """
    positions = spacegroups.wyckoff_positions(number)
    by_letter = {position.letter: position for position in positions}
    indices = spacegroups.wyckoff_index(frac_coords, number, multiplicity)
    if (indices < 0).any():
        raise ValueError(f"a site lies on no Wyckoff position of group {number}")
    letters = [positions[i].letter for i in indices]
    normalizer = spacegroups.normalizer(number)

    # Letters first: they leave few of the equivalent descriptions to compare in full.
    cosets = []
    for coset, mapping in enumerate(normalizer.letters):
        new = [mapping[letter] for letter in letters]
        key = sorted((rank, _LETTERS.index(x)) for rank, x in zip(ranks, new, strict=True))
        cosets.append((key, coset, new))
    best_key = min(key for key, _, _ in cosets)

    best: list[tuple[tuple[int, int, int, int, int], int, str, NDArray[np.float64]]] | None = None
    for key, coset, new in cosets:
        if key != best_key:
            continue
        moved = frac_coords @ normalizer.rotations[coset].T + normalizer.translations[coset]
        images = spacegroups.operations(number).apply(moved)  # (n, operations, 3)
        triplets = [
            images[i][spacegroups.on_first_triplet(images[i], by_letter[letter])]
            for i, letter in enumerate(new)
        ]
        anchors = [
            triplets[i]
            for i, letter in enumerate(new)
            if (ranks[i], _LETTERS.index(letter)) == key[0]
        ]
        for shift in _polar_shifts(np.concatenate(anchors), normalizer.polar):
            sites = []
            for i, letter in enumerate(new):
                choices = triplets[i] - shift
                digits = written(choices)
                codes = digits @ np.array([COORDINATE_STEPS**2, COORDINATE_STEPS, 1])
                first = int(np.argmin(codes))
                order = (ranks[i], _LETTERS.index(letter), *digits[first].tolist())
                sites.append((order, i, letter, choices[first]))
            sites.sort(key=lambda site: site[0])
            if best is None or [s[0] for s in sites] < [s[0] for s in best]:
                best = sites
    assert best is not None
    return [(index, letter, triple(spacegroups.wrap(point))) for _, index, letter, point in best]


def _polar_shifts(anchors: NDArray[np.float64], polar: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the origin shifts along polar axes that put one of the anchors at zero."""
    if not polar.any():
        return np.zeros((1, 3))
    shifts = spacegroups.wrap(anchors * polar)
    _, index = np.unique(np.rint(shifts * 1e5) % 1e5, axis=0, return_index=True)
    return shifts[index]
