"""A unique description of a crystal.

A space group leaves freedom in how a crystal is written down: which point of an orbit,
which of several equivalent origins and axes (the cosets of the group in its Euclidean
normalizer), where the origin lies along a polar axis. Of all these the description is
chosen whose Wyckoff letters, and then whose written coordinates, come first in order.
So the same crystal gives the same text, however its atoms or its origin were chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import triple

_LETTERS = "abcdefghijklmnopqrstuvwxyzA"
_ORDER = {letter: index for index, letter in enumerate(_LETTERS)}
#: Coordinates are written as multiples of one hundredth.
COORDINATE_STEPS = 100
_CODE = np.array([COORDINATE_STEPS**2, COORDINATE_STEPS, 1])

#: (rank, letter, digits), which orbit, coordinates.
_Site = tuple[tuple[int, ...], int, NDArray[np.float64]]


def written(frac_coords: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return coordinates as whole hundredths in 0 to 99; halves are rounded up despite noise."""
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
    positions = wyckoff.wyckoff_positions(number)
    indices = wyckoff.wyckoff_index(frac_coords, number, multiplicity)
    if (indices < 0).any():
        raise ValueError(f"a site lies on no Wyckoff position of group {number}")
    letters = [positions[i].letter for i in indices]
    normalizer = wyckoff.normalizer(number)

    # Letters first: they leave few of the equivalent descriptions to compare in full.
    described = []
    for mapping in normalizer.letters:
        new = [_ORDER[mapping[letter]] for letter in letters]
        described.append((sorted(zip(ranks, new, strict=True)), new))
    key = min(described)[0]
    cosets = [coset for coset, (other, _) in enumerate(described) if other == key]
    choices = _Choices(number, frac_coords, cosets, [described[coset][1] for coset in cosets])

    best: list[_Site] | None = None
    for row in range(len(cosets)):
        anchors = [i for i, new in enumerate(choices.letters[row]) if (ranks[i], new) == key[0]]
        for shift in choices.shifts(row, anchors):
            sites = choices.sites(row, ranks, shift)
            sites.sort(key=lambda site: site[0])
            if best is None or [s[0] for s in sites] < [s[0] for s in best]:
                best = sites
    assert best is not None
    points = wyckoff.wrap(np.array([point for _, _, point in best]))
    return [
        (index, _LETTERS[order[1]], triple(point))
        for (order, index, _), point in zip(best, points.tolist(), strict=True)
    ]


class _Choices:
    """Points of each orbit on its position's first triplet, in several descriptions.

    Fixed positions have one such point, which the tables hold. The others are found at
    once for all descriptions (rows) and orbits.
    """

    def __init__(
        self,
        number: int,
        frac_coords: NDArray[np.float64],
        cosets: list[int],
        letters: list[list[int]],
    ) -> None:
        positions = wyckoff.wyckoff_positions(number)
        normalizer = wyckoff.normalizer(number)
        self.letters = letters
        self.fixed = _fixed_points(number)
        self.polar = normalizer.polar if normalizer.polar.any() else None
        # orbits that are free in one description are free in all
        free = [i for i, letter in enumerate(letters[0]) if self.fixed[letter] is None]
        self.row_of = {i: row for row, i in enumerate(free)}
        self.n_free = len(free)
        if not free:
            return
        moved = (
            frac_coords[free] @ normalizer.rotations[cosets].transpose(0, 2, 1)
            + normalizer.translations[cosets][:, None]
        )  # (cosets, free, 3)
        self.images = wyckoff.operations(number).apply(moved.reshape(-1, 3))
        planes = [positions[new[i]] for new in letters for i in free]
        self.on_plane = wyckoff.on_first_triplets(self.images, planes)
        if self.polar is None:
            digits = written(self.images)
            codes = np.where(self.on_plane, digits @ _CODE, COORDINATE_STEPS**3)
            first = np.argmin(codes, axis=1)
            rows = np.arange(len(first))
            self.digits = digits[rows, first].tolist()
            self.points = self.images[rows, first]

    def shifts(self, row: int, anchors: list[int]) -> Iterable[NDArray[np.float64] | None]:
        """Return the origin shifts to be tried in a description, None for no shift."""
        if self.polar is None:
            return (None,)
        points = [self._on_plane(row, i) for i in anchors]
        return _polar_shifts(np.concatenate(points), self.polar)

    def sites(
        self, row: int, ranks: Sequence[int], shift: NDArray[np.float64] | None
    ) -> list[_Site]:
        """Return the first point of every orbit, with its sort key."""
        sites: list[_Site] = []
        for i, letter in enumerate(self.letters[row]):
            known = self.fixed[letter]
            if known is not None:
                sites.append(((ranks[i], letter, *known[0]), i, known[1]))
                continue
            if shift is None:
                at = row * self.n_free + self.row_of[i]
                sites.append(((ranks[i], letter, *self.digits[at]), i, self.points[at]))
                continue
            points = self._on_plane(row, i) - shift
            digits = written(points)
            first = int(np.argmin(digits @ _CODE))
            sites.append(((ranks[i], letter, *digits[first].tolist()), i, points[first]))
        return sites

    def _on_plane(self, row: int, i: int) -> NDArray[np.float64]:
        at = row * self.n_free + self.row_of[i]
        return np.asarray(self.images[at][self.on_plane[at]])


@cache
def _fixed_points(
    number: int,
) -> list[tuple[tuple[int, int, int], NDArray[np.float64]] | None]:
    """Return `_fixed_point` of each position of a group."""
    return [_fixed_point(position) for position in wyckoff.wyckoff_positions(number)]


def _fixed_point(
    position: wyckoff.WyckoffPosition,
) -> tuple[tuple[int, int, int], NDArray[np.float64]] | None:
    """Return digits and coordinates of a fixed position's first triplet, None of others."""
    if position.degrees_of_freedom:
        return None
    x, y, z = written(position.translation).tolist()
    return (x, y, z), position.translation


def _polar_shifts(anchors: NDArray[np.float64], polar: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the origin shifts along polar axes that put one of the anchors at zero."""
    if not polar.any():
        return np.zeros((1, 3))
    shifts = wyckoff.wrap(anchors * polar)
    _, index = np.unique(np.rint(shifts * 1e5) % 1e5, axis=0, return_index=True)
    return shifts[index]
