"""A unique description of a crystal.

A space group leaves freedom in how a crystal is written down: which point of an orbit,
which of several equivalent origins and axes (the cosets of the group in its Euclidean
normalizer), where the origin lies along a polar axis. Of all these the description is
chosen whose Wyckoff letters, and then whose written coordinates, come first in order.
So the same crystal gives the same text, however its atoms or its origin were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.lattice import triple
from crystalicl_jobflow.crystal.site_kinds import SiteKind, site_kinds

_LETTERS = "abcdefghijklmnopqrstuvwxyzA"
_ORDER = {letter: index for index, letter in enumerate(_LETTERS)}
#: Coordinates are written as multiples of one hundredth.
COORDINATE_STEPS = 100
_CODE = np.array([COORDINATE_STEPS**2, COORDINATE_STEPS, 1])
#: Images under origin shifts that are looked at together, which bounds the memory.
_MOST_TOGETHER = 1 << 18

#: By this sites are sorted and descriptions compared: species, letter, written coordinates.
_Key = tuple[int, int, int]
#: A site's key, which orbit it is, and which image of it (-1 for that of a fixed position).
_Site = tuple[_Key, int, int]


def canonical_sites(
    number: int, points: wyckoff.SnapResult, ranks: Sequence[int]
) -> list[tuple[int, str, tuple[float, float, float]]]:
    """Choose the description of a crystal that comes first.

    Parameters
    ----------
    number
        Space-group number.
    points
        One per orbit, on its Wyckoff position.
    ranks
        The species of each orbit as an integer, in the order in which they are written.

    Returns
    -------
    list of (index, letter, frac_coords)
        In the order in which the sites are written; `index` counts the given orbits.
    """
    kinds = site_kinds(number, points)
    indices = tuple(kind.position for kind in kinds)
    if min(indices) < 0:
        raise ValueError(f"a site lies on no Wyckoff position of group {number}")
    cosets, letters = _first_letters(number, tuple(ranks), indices)
    fixed = _fixed_points(number)
    # orbits that are free in one description are free in all
    free = [i for i, letter in enumerate(letters[0]) if fixed[letter] is None]
    images, ends = _images(number, points.frac_coords, kinds, cosets, free)
    best: tuple[list[_Key], list[_Site], NDArray[np.float64] | None] | None = None
    for new, first, shift in _descriptions(number, ranks, letters, free, images, ends):
        sites: list[_Site] = []
        for i, (rank, letter) in enumerate(zip(ranks, new, strict=True)):
            known = fixed[letter]
            code, at = first[i] if known is None else (known, -1)
            sites.append(((rank, letter, code), i, at))
        sites.sort(key=itemgetter(0))
        keys = [key for key, _, _ in sites]
        if best is None or keys < best[0]:
            best = keys, sites, shift
    assert best is not None
    _, sites, shift = best
    positions = wyckoff.wyckoff_positions(number)
    coords = np.array(
        [images[at] if at >= 0 else positions[key[1]].translation for key, _, at in sites]
    )
    coords = wyckoff.wrap(coords if shift is None else coords - shift)
    return [
        (index, _LETTERS[key[1]], triple(point))
        for (key, index, _), point in zip(sites, coords.tolist(), strict=True)
    ]


def written(frac_coords: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return coordinates as whole hundredths in 0 to 99; halves are rounded up despite noise.

    Those of a point, shape (…, 3), are the digits of one number, shape (…).
    """
    steps = np.floor(frac_coords * COORDINATE_STEPS + 0.5 + 1e-5).astype(np.int64)
    return np.asarray(steps % COORDINATE_STEPS @ _CODE)


@lru_cache(maxsize=1 << 14)
def _first_letters(
    number: int, ranks: tuple[int, ...], positions: tuple[int, ...]
) -> tuple[list[int], list[list[int]]]:
    """Return the cosets of the normalizer with the first letters.

    These come first: they leave few of the equivalent descriptions to compare in full.

    Parameters
    ----------
    number
        Space-group number.
    ranks, positions
        The species of each orbit, and the index of its Wyckoff position.

    Returns
    -------
    cosets, letters : list
        The letters of all orbits, as their places in the alphabet, under each of these cosets.
    """
    letters = _letters(number)[:, positions]  # (cosets, orbits)
    described = np.sort(letters + len(_LETTERS) * np.array(ranks), axis=1).tolist()
    first = min(described)
    cosets = [coset for coset, other in enumerate(described) if other == first]
    return cosets, letters[cosets].tolist()


@cache
def _letters(number: int) -> NDArray[np.int64]:
    """Return what each position's letter becomes under each coset, shape (cosets, positions)."""
    names = [position.letter for position in wyckoff.wyckoff_positions(number)]
    mappings = wyckoff.normalizer(number).letters
    return np.array([[_ORDER[mapping[name]] for name in names] for mapping in mappings])


def _images(
    number: int,
    frac_coords: NDArray[np.float64],
    kinds: Sequence[SiteKind],
    cosets: Sequence[int],
    free: Sequence[int],
) -> tuple[NDArray[np.float64], list[int]]:
    """Return the points of free orbits on the first triplets of their positions.

    Returns
    -------
    images, ends
        Shape (n, 3), for all cosets and within them for all free orbits; where those of each
        begin and end.
    """
    if not free:
        return np.empty((0, 3)), [0]
    normalizer = wyckoff.normalizer(number)
    moved = (
        frac_coords[free] @ normalizer.rotations[cosets].transpose(0, 2, 1)
        + normalizer.translations[cosets][:, None]
    )  # (cosets, free, 3)
    operations = [kinds[i].to_first_triplet(coset) for coset in cosets for i in free]
    counts = [len(translations) for _, translations in operations]
    images = np.einsum(
        "nij,nj->ni",
        np.concatenate([rotations for rotations, _ in operations]),
        moved.reshape(-1, 3).repeat(counts, axis=0),
    )
    images += np.concatenate([translations for _, translations in operations])
    return images, list(accumulate(counts, initial=0))


def _descriptions(
    number: int,
    ranks: Sequence[int],
    letters: Sequence[Sequence[int]],
    free: Sequence[int],
    images: NDArray[np.float64],
    ends: Sequence[int],
) -> Iterator[tuple[Sequence[int], dict[int, tuple[int, int]], NDArray[np.float64] | None]]:
    """Yield the descriptions of a crystal, in each of which an orbit is written by its first point.

    Parameters
    ----------
    number
        Space-group number.
    ranks, letters
        The species of each orbit, and the letters of all orbits in each choice of origin and axes.
    free, images, ends
        Orbits without a fixed point, and their points, see `_images`.

    Yields
    ------
    letters, points, shift
        Of each free orbit the first point as it is written, and which of the images it is; the
        shift of the origin, None where no axis is polar.
    """
    if not free:  # all descriptions with these letters are one
        yield letters[0], {}, None
        return
    polar = wyckoff.normalizer(number).polar
    is_polar = bool(polar.any())
    codes = [] if is_polar else written(images).tolist()
    for row, new in enumerate(letters):
        own = ends[row * len(free) : (row + 1) * len(free) + 1]
        part = slice(own[0], own[-1])
        if not is_polar:
            yield new, dict(zip(free, _first(codes[part], own), strict=True)), None
            continue
        first = min(zip(ranks, new, strict=True))
        anchors = [
            images[start:end]
            for i, (start, end) in zip(free, pairwise(own), strict=True)
            if (ranks[i], new[i]) == first
        ]
        shifts = _polar_shifts(np.concatenate(anchors), polar)
        together = max(1, _MOST_TOGETHER // (own[-1] - own[0]))
        for some in range(0, len(shifts), together):
            shifted = images[part] - shifts[some : some + together, None]
            for shift, codes in zip(shifts[some:], written(shifted).tolist(), strict=False):
                yield new, dict(zip(free, _first(codes, own), strict=True)), shift


def _polar_shifts(anchors: NDArray[np.float64], polar: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the origin shifts along polar axes that put one of the anchors at zero."""
    shifts = wyckoff.wrap(anchors * polar)
    places: dict[tuple[float, ...], int] = {}
    for index, digits in enumerate((np.rint(shifts * 1e5) % 1e5).tolist()):
        places.setdefault(tuple(digits), index)
    return shifts[[places[digits] for digits in sorted(places)]]


def _first(codes: Sequence[int], ends: Sequence[int]) -> list[tuple[int, int]]:
    """Return the least number of each part of a list, and where it is.

    Parameters
    ----------
    codes
        Those from the first of the ends on.
    ends
        Where the first part begins, and where each ends.
    """
    least = []
    for start, end in pairwise(ends):
        start, end = start - ends[0], end - ends[0]
        code = min(codes[start:end])
        least.append((code, ends[0] + codes.index(code, start, end)))
    return least


@cache
def _fixed_points(number: int) -> list[int | None]:
    """Return the first triplet of each fixed position as it is written, None of others."""
    return [
        None if position.degrees_of_freedom else int(written(position.translation))
        for position in wyckoff.wyckoff_positions(number)
    ]
