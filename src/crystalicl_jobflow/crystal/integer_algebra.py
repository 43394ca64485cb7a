"""Integer linear algebra for the space-group tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def parse_triplet(text: str) -> tuple[list[list[int]], list[float]]:
    """Read a coordinate triplet such as ``x,2x,1/4`` as linear map and translation."""
    linear, shift = [], []
    for part in text.replace(" ", "").split(","):
        row, constant = [0, 0, 0], 0.0
        for term in re.findall(r"[+-]?[^+-]+", part):
            sign = -1 if term[0] == "-" else 1
            body = term.lstrip("+-")
            if body[-1] in "xyz":
                row["xyz".index(body[-1])] += sign * int(body[:-1] or 1)
            else:
                numerator, _, denominator = body.partition("/")
                constant += sign * int(numerator) / int(denominator or 1)
        linear.append(row)
        shift.append(constant)
    return linear, shift


def _unimodular_rows(columns: list[list[int]]) -> tuple[list[list[int]], int]:
    """Bring an integer matrix to row echelon form; return the row operations and the rank."""
    rows = [list(row) for row in columns]
    size = len(rows)
    operations = [[int(i == j) for j in range(size)] for i in range(size)]
    rank = 0
    for column in range(len(rows[0]) if rows else 0):
        while True:
            # Euclid's algorithm down the column, until one entry is left.
            nonzero = [i for i in range(rank, size) if rows[i][column]]
            if not nonzero:
                break
            pivot = min(nonzero, key=lambda i: abs(rows[i][column]))
            rows[rank], rows[pivot] = rows[pivot], rows[rank]
            operations[rank], operations[pivot] = operations[pivot], operations[rank]
            done = True
            for i in range(rank + 1, size):
                factor = rows[i][column] // rows[rank][column]
                if factor:
                    rows[i] = [a - factor * b for a, b in zip(rows[i], rows[rank], strict=True)]
                    operations[i] = [
                        a - factor * b for a, b in zip(operations[i], operations[rank], strict=True)
                    ]
                done = done and rows[i][column] == 0
            if done:
                rank += 1
                break
    return operations, rank


def integer_annihilator(linear: ArrayLike | Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return a basis of the integer rows that vanish on a linear map's image.

    A point ``p`` lies on the affine space ``linear @ v + shift``, up to a lattice
    vector, exactly when ``rows @ (p - shift)`` is integral: the rows can be completed
    to a unimodular matrix, so they map the lattice *onto* the integers.

    Parameters
    ----------
    linear
        Integer matrix, shape (3, 3).

    Returns
    -------
    numpy.ndarray
        Shape (3 - rank, 3).
    """
    matrix = np.asarray(linear, dtype=int)
    operations, rank = _unimodular_rows(matrix.tolist())
    return np.array(operations[rank:], dtype=np.int64).reshape(-1, matrix.shape[0])
