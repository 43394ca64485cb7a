"""Least squares in which single large errors count less."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def robust_lstsq(
    rows: NDArray[np.float64],
    target: NDArray[np.float64],
    *,
    huber: float = 0.1,
    iterations: int = 20,
) -> NDArray[np.float64]:
    """Return x for which ``rows @ x`` is near ``target``.

    Least squares, reweighted so that errors beyond ``huber`` count linearly (Huber 1964).

    Parameters
    ----------
    rows
        Shape (n, m).
    target
        Shape (n,).
    huber
        Error beyond which a row counts less, in the target's unit.
    iterations
        Rounds of reweighting.
    """
    weights = np.ones(len(target))
    found: NDArray[np.float64] = np.zeros(rows.shape[1])
    for _ in range(iterations):
        root = np.sqrt(weights)
        answer = np.linalg.lstsq(rows * root[:, None], target * root, rcond=None)[0]
        found = np.asarray(answer, dtype=np.float64)
        errors = np.abs(rows @ found - target)
        weights = np.minimum(1.0, huber / np.maximum(errors, huber * 1e-6))
    return found
