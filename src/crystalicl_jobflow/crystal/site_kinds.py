"""What points with the same site-symmetry group have in common, found once for all of them.

A point on its Wyckoff position stays where it is under some operations of the group, each of
which may add a lattice vector. Points with the same such operations are on the same position, and
the same operations take each of them to the position's first triplet. Crystals have few kinds of
sites, so that a look into a table replaces the work on all images of every point.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff

#: Of a point in no special place, from which a point of each kind is made.
_GENERIC = np.array([0.1234, 0.2718, 0.4142])
#: Stands for the lattice vector of an operation that moves the point; bounds of coordinates
#: (`MAX_COORDINATE`) keep all others well below it.
_MOVES = 127
#: Exact points stay within this, fractional.
_EXACT = 1e-6


class SiteKind:
    """Points of a space group with one site-symmetry group.

    Parameters
    ----------
    number
        Space-group number.
    point
        One of the points, shape (3,).
    multiplicity
        Points of its orbit in the conventional cell.

    Attributes
    ----------
    position
        Which of `wyckoff.wyckoff_positions` it is; -1 for none.
    """

    def __init__(self, number: int, point: NDArray[np.float64], multiplicity: int) -> None:
        self._number = number
        self._point = point
        self.position = int(wyckoff.wyckoff_index(point[None], number, np.array([multiplicity]))[0])
        self._to_first_triplet: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def to_first_triplet(self, coset: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the operations that take a point to the first triplet of its position.

        Parameters
        ----------
        coset
            The point was moved by this coset of the group's normalizer before.

        Returns
        -------
        rotations, translations : numpy.ndarray
            Shapes (n, 3, 3) and (n, 3), in the order of the group's operations; of several with
            the same image the first.
        """
        found = self._to_first_triplet.get(coset)
        if found is None:
            found = self._to_first_triplet[coset] = self._find(coset)
        return found

    def _find(self, coset: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        normalizer = wyckoff.normalizer(self._number)
        positions = wyckoff.wyckoff_positions(self._number)
        letter = normalizer.letters[coset][positions[self.position].letter]
        position = next(p for p in positions if p.letter == letter)
        moved = self._point @ normalizer.rotations[coset].T + normalizer.translations[coset]
        group = wyckoff.operations(self._number)
        images = group.apply(moved[None])
        on_plane = np.flatnonzero(wyckoff.on_first_triplets(images, [position])[0])
        places = wyckoff.wrap(images[0, on_plane])
        first: dict[tuple[float, ...], int] = {}
        for operation, place in zip(
            on_plane.tolist(), (places * 1e4).round().tolist(), strict=True
        ):
            first.setdefault(tuple(place), operation)
        chosen = list(first.values())
        return group.rotations[chosen].astype(float), group.translations[chosen]


def site_kinds(number: int, snapped: wyckoff.SnapResult) -> list[SiteKind]:
    """Return the kind of each point of a space group."""
    vectors = np.where(snapped.stabilizer_mask[:, :, None], snapped.vectors, _MOVES)
    kinds = []
    for i, own in enumerate(vectors.astype(np.int8)):
        kind = _kind(number, own.tobytes())
        if kind is None:  # the operations are those of no exact point
            kind = SiteKind(number, snapped.frac_coords[i], int(snapped.multiplicity[i]))
        kinds.append(kind)
    return kinds


@lru_cache(maxsize=1 << 14)
def _kind(number: int, added: bytes) -> SiteKind | None:
    """Return a kind by the lattice vectors that the operations add, shape (operations, 3).

    It is found from an exact point of its own, so that it does not depend on which crystal was
    the first with it.
    """
    group = wyckoff.operations(number)
    vectors = np.frombuffer(added, dtype=np.int8).reshape(-1, 3)
    stays = vectors[:, 0] != _MOVES
    point = (group.apply(_GENERIC[None])[0] - vectors)[stays].mean(0)
    moves = group.apply(point[None])[0] - point
    near = np.abs(moves - np.rint(moves)).max(1) < wyckoff.SAME_POINT
    if not np.array_equal(near, stays) or np.abs(moves - vectors)[stays].max() > _EXACT:
        return None
    return SiteKind(number, point, len(group) // int(stays.sum()))
