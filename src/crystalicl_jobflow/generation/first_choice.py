"""The first step of a text at which it can go on in several ways, as a search needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.schemas import SamplingParams

DECIMALS = 2
"""Decimals of the logarithms of probabilities: much coarser than rounding errors, so that the
same numbers are noted whatever else is in the batch."""


@dataclass(frozen=True)
class FirstChoice:
    """Where a text can go on in several ways, and how probable each is.

    Parameters
    ----------
    place
        Tokens of the text before it.
    tokens
        Ids of the tokens that can be drawn there, the most probable first.
    log_weights
        Natural logarithm of the probability of each, shape (tokens,), as it is drawn: with
        temperature, constraint and copy bias.
    """

    place: int
    tokens: tuple[int, ...]
    log_weights: tuple[float, ...]


class ChoiceWatch:
    """Notes the first choice of one row.

    A step at which the nucleus holds one token only is no choice: such tokens are written as
    forced ones are.

    Parameters
    ----------
    sampling
        Temperature and nucleus.
    width
        Most tokens that are noted.
    tolerance
        Relative rounding error of the probabilities between batches; 0 to ignore it.
    """

    def __init__(self, sampling: SamplingParams, width: int, *, tolerance: float) -> None:
        self._sampling = sampling
        self._width = width
        self._tolerance = tolerance
        self._expected: list[tuple[int, int]] = []
        self._choice: FirstChoice | None = None

    @property
    def is_open(self) -> bool:
        """Whether there was no choice so far."""
        return self._choice is None

    def see(
        self,
        place: int,
        ids: NDArray[np.int64],
        scores: NDArray[np.float64],
        *,
        alone: Callable[[], NDArray[np.float64]],
    ) -> None:
        """Look at a step.

        Parameters
        ----------
        place
            Tokens of the text before it.
        ids, scores
            Tokens and their scores before the temperature is applied, shape (tokens,).
        alone
            Computes the scores with the row alone, where rounding could change what is noted.
        """
        rounded, near = self._rounded(scores)
        kept = self._kept(ids, rounded)
        if near[rounded >= rounded[kept[-1]] - 1.5 * 10**-DECIMALS].any():
            rounded, _ = self._rounded(alone())
            kept = self._kept(ids, rounded)
        kept = kept[: self._width]
        tokens = tuple(int(token) for token in ids[kept])
        if len(tokens) == 1:
            self._expected.append((place, tokens[0]))
        else:
            self._choice = FirstChoice(place, tokens, tuple(map(float, rounded[kept])))

    def found(self, written: list[int]) -> FirstChoice | None:
        """Return the first choice of a finished text; None if it had none.

        Parameters
        ----------
        written
            Its tokens, the end token included. Where it has another token than the only one of
            the nucleus, which the constraint refused, that one is the choice.
        """
        for place, token in self._expected:
            if place >= len(written) or written[place] != token:
                return FirstChoice(place, (token,), (0.0,))
        return self._choice

    def _rounded(
        self, scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return logarithms of probabilities, and which of them lie close to a step."""
        scaled = scores / self._sampling.temperature
        top = scaled.max()
        logs = scaled - top - np.log(np.exp(scaled - top).sum())
        steps = np.where(np.isfinite(logs), logs, 0.0) * 10**DECIMALS
        near = np.abs(steps % 1 - 0.5) < self._tolerance * 10**DECIMALS
        return np.round(logs, DECIMALS), near

    def _kept(self, ids: NDArray[np.int64], logs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the places of the tokens in the nucleus, the most probable first."""
        order = np.lexsort((ids, -logs))
        order = order[np.isfinite(logs[order])][: self._sampling.top_k]
        mass = np.cumsum(np.exp(logs[order]))
        count = int((mass < self._sampling.top_p * mass[-1]).sum()) + 1
        return np.asarray(order[: min(count, len(order))], dtype=np.int64)
