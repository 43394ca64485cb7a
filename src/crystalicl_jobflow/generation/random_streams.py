"""Random streams of single rows, and the draw of one token for many rows at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

_WORD = 2**64
_BLOCK = 64


class RowStream:
    """The uniform numbers of one row: sample and attempt of one request under one seed.

    Philox counters keyed by a ``SeedSequence`` over (seed, request, sample, attempt): a row's
    numbers do not depend on which other rows are drawn.

    Parameters
    ----------
    seed
        The run's seed; any integer.
    key
        The request's key; '' to use its index.
    request_index, sample_index, attempt
        Identify the draw; each counts from 0.
    """

    def __init__(
        self, seed: int, *, key: str, request_index: int, sample_index: int, attempt: int
    ) -> None:
        # the first word keeps a request named "3" apart from the fourth unnamed one
        name = f"key:{key}" if key else f"index:{request_index}"
        digest = hashlib.sha256(name.encode("utf-8")).digest()
        self._entropy = [
            seed % _WORD,
            int.from_bytes(digest[:8], "little"),
            sample_index,
            attempt,
        ]
        self._generator = np.random.Generator(
            np.random.Philox(np.random.SeedSequence(self._entropy))
        )
        self._uniforms: list[float] = []

    def uniform(self, index: int) -> float:
        """Return the stream's number at a place, in [0, 1)."""
        while index >= len(self._uniforms):
            self._uniforms.extend(self._generator.random(_BLOCK).tolist())
        return self._uniforms[index]

    def server_seed(self) -> int:
        """Return a seed for a model server that draws the whole text, from 0 to 2³¹ - 1."""
        sequence = np.random.SeedSequence(self._entropy, spawn_key=(2,))
        return int(sequence.generate_state(1, np.uint32)[0]) >> 1


@dataclass(frozen=True)
class Draw:
    """Tokens drawn for several rows.

    Parameters
    ----------
    columns
        Index of the chosen column of each row, shape (rows,).
    doubtful
        Whether a change of the probabilities within the tolerance could change the
        choice, shape (rows,).
    """

    columns: np.ndarray
    doubtful: np.ndarray


def draw(
    logits: np.ndarray,
    uniforms: np.ndarray,
    *,
    temperature: float,
    top_p: float,
    top_k: int | None = None,
    log_mass: np.ndarray | None = None,
    tolerance: float = 0.0,
) -> Draw:
    """Draw one column per row by the inverse of the cumulative distribution.

    Temperature is applied first, then the `top_k` most likely tokens are kept, then the nucleus:
    the most likely tokens up to and including the one that reaches `top_p` (Holtzman et al.,
    2020). All in float64. The cumulative distribution is in the order of the columns, not of the
    probabilities, so rounding can shift its steps but not swap them.

    Parameters
    ----------
    logits
        Shape (rows, columns); -inf pads a row with fewer choices.
    uniforms
        One number in [0, 1) per row, shape (rows,).
    temperature, top_p, top_k
        See :class:`~crystalicl_jobflow.schemas.SamplingParams`.
    log_mass
        Logarithm of each row's whole mass (of exp(logits / temperature)) where the
        columns hold only a part of it, shape (rows,).
    tolerance
        Relative uncertainty of the probabilities, for :attr:`Draw.doubtful`.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if log_mass is None:
        probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    else:
        probabilities = np.exp(scaled - log_mass[:, None])
    num_rows, num_columns = probabilities.shape
    uncertain = None
    if top_p < 1.0 or top_k is not None:
        probabilities, uncertain = _cut(
            probabilities, top_p=top_p, top_k=top_k, tolerance=tolerance
        )
    cumulative = np.cumsum(probabilities, axis=1)
    total = cumulative[:, -1]
    target = np.asarray(uniforms, dtype=np.float64) * total
    columns = (cumulative <= target[:, None]).sum(axis=1)
    # u close to 1 times the total may round up to the total itself
    columns = np.minimum(columns, num_columns - 1 - np.argmax(probabilities[:, ::-1] > 0, axis=1))
    rows = np.arange(num_rows)
    doubtful = np.zeros(num_rows, dtype=bool)
    if tolerance:
        upper = cumulative[rows, columns]
        lower = upper - probabilities[rows, columns]
        slack = tolerance * total
        if uncertain is not None:
            # columns that may be in or out shift every step of the distribution by their mass
            slack = slack + uncertain.sum(axis=1)
            doubtful |= uncertain[rows, columns] > 0
        # no other choice lies below the first or above the last one
        doubtful |= (target - lower < slack) & (lower > 0)
        doubtful |= (upper - target < slack) & (total > upper)
    return Draw(columns=columns, doubtful=doubtful)


def _cut(
    probabilities: np.ndarray, *, top_p: float, top_k: int | None, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Set probabilities outside the nucleus to 0.

    Returns
    -------
    tuple of numpy.ndarray
        The remaining probabilities, and those of the columns for which it is uncertain, within
        the tolerance, whether they belong to the nucleus (0 for all others).
    """
    num_rows, num_columns = probabilities.shape
    rows = np.arange(num_rows)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    cumulative = np.cumsum(ranked, axis=1)
    mass = np.ones(num_rows)
    limit = num_columns
    if top_k is not None:
        limit = min(top_k, num_columns)
        mass = cumulative[:, limit - 1]
    threshold = top_p * mass
    count = np.minimum((cumulative < threshold[:, None]).sum(axis=1) + 1, limit)
    kept = np.arange(num_columns)[None, :] < count[:, None]
    result = np.zeros_like(probabilities)
    np.put_along_axis(result, order, np.where(kept, ranked, 0.0), axis=1)
    uncertain = np.zeros_like(probabilities)
    if tolerance:
        last = ranked[rows, count - 1][:, None]
        beyond = np.minimum(count, num_columns - 1)
        following = np.where(count < num_columns, ranked[rows, beyond], 0.0)[:, None]
        before = cumulative - ranked
        slack = (tolerance * mass)[:, None]
        # certainly in: more likely than all that is out, and needed to reach the mass
        sure_in = (ranked > following * (1 + tolerance)) & (before < threshold[:, None] - slack)
        sure_in[:, 0] |= ranked[:, 0] > following[:, 0] * (1 + tolerance)
        # certainly out: less likely than all that is in, and the mass is reached without it
        sure_out = (ranked < last * (1 - tolerance)) & (before >= threshold[:, None] + slack)
        if limit < num_columns:
            sure_in &= np.arange(num_columns)[None, :] < limit
            sure_out[:, limit:] |= ranked[:, limit:] < last * (1 - tolerance)
        np.put_along_axis(uncertain, order, np.where(sure_in | sure_out, 0.0, ranked), axis=1)
    return result, uncertain
