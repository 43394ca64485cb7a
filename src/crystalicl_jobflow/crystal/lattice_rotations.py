"""The rotations that a lattice has, or nearly has.

As spglib looks for them: the vectors of a reduced cell go onto sums and differences of these
vectors that have the same lengths and angles, within tolerances.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import spglib
from numpy.typing import NDArray

#: Sums and differences of the vectors of a reduced cell.
_STEPS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
_STEP_ROWS = np.array(_STEPS, dtype=float)
#: Which of them are the vectors themselves.
_A, _B, _C = (_STEPS.index(axis) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
#: Which three of them span a primitive cell.
_VOLUMES = np.cross(_STEP_ROWS[:, None], _STEP_ROWS) @ _STEP_ROWS.T
_UNIMODULAR: list[list[list[bool]]] = (np.abs(np.abs(_VOLUMES) - 1) < 0.5).tolist()


def lattice_rotations(
    vectors: NDArray[np.float64], *, length_tolerance: float, angle_tolerance: float
) -> NDArray[np.float64] | None:
    """Return the rotations, proper and improper, of a lattice.

    Parameters
    ----------
    vectors
        A primitive cell's as rows, in Å, shape (3, 3).
    length_tolerance, angle_tolerance
        By how much a length (Å) and an angle (degrees) may change.

    Returns
    -------
    numpy.ndarray or None
        Whole numbers acting on fractional column vectors of this cell, shape (n, 3, 3); None
        where the cell cannot be reduced.
    """
    reduced = spglib.delaunay_reduce(vectors)
    if reduced is None:
        return None
    change = np.rint(reduced @ np.linalg.inv(vectors))  # of rows: reduced = change @ vectors
    steps = _STEP_ROWS @ reduced
    images = list(_images((steps @ steps.T).tolist(), length_tolerance, angle_tolerance))
    rotations = np.linalg.inv(change) @ _STEP_ROWS[images] @ change  # of the rows of the cell
    return np.asarray(np.rint(rotations).transpose(0, 2, 1))


def _images(
    products: list[list[float]], length_tolerance: float, angle_tolerance: float
) -> Iterator[tuple[int, int, int]]:
    """Yield which steps the three vectors can go onto, from the scalar products of all steps.

    As a rule these are few, for which arrays take longer.
    """
    lengths = [math.sqrt(row[i]) for i, row in enumerate(products)]

    def angle(i: int, j: int) -> float:
        cosine = products[i][j] / (lengths[i] * lengths[j])
        return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))

    def alike(axis: int) -> list[int]:
        return [
            i for i, length in enumerate(lengths) if abs(length - lengths[axis]) < length_tolerance
        ]

    gamma, beta, alpha = angle(_A, _B), angle(_A, _C), angle(_B, _C)
    like_b, like_c = alike(_B), alike(_C)
    for i in alike(_A):
        third = [k for k in like_c if k != i and abs(angle(i, k) - beta) < angle_tolerance]
        for j in like_b:
            if j == i or abs(angle(i, j) - gamma) >= angle_tolerance:
                continue
            for k in third:
                if _UNIMODULAR[i][j][k] and abs(angle(j, k) - alpha) < angle_tolerance:
                    yield i, j, k
