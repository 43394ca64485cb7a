"""A prior for copying: what the demonstrations hold at the same place is made likelier.

Prompts show their crystals in one description (`alignment`), and a crystal of the same
structure is written line for line as they are. As long as a text keeps to one of them,
its next token has a counterpart there: the same coordinate, a length in the same ratio,
the end. A small model that knows what it is to do slips now and then, and one slip off a
Wyckoff position spoils a crystal. Raising the counterparts' scores by a fixed amount leaves
the decision to the model and asks for better reasons to deviate.

Only for tokenizers whose tokens are whole words of the SGS text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.rows import Row

CELL = 7
"""Tokens of a crystal's text before its first orbit: group, lengths, angles."""

ORBIT = 4
"""Tokens of an orbit: element and coordinates."""

SAME = 0.005
"""Coordinates this near are the same one."""

NEAR = 0.035
"""Coordinates this near are raised by half."""

LEFT = 0.06
"""A text with a coordinate farther off than this copies no more."""

FIRST_LENGTH = 0.12
"""How far the first length may be off, as a logarithm."""

RATIO = 0.05
"""How far the other lengths may be off their ratio to the first, as a logarithm."""

TURN = 4.0
"""How far angles may be off (degrees)."""

CELL_SHARE = 0.7
"""Share of the strength for lengths and angles: several values are as good."""

_NUMBER = re.compile(r"(?:\n### | )(\d+(?:\.\d+)?)")
_ELEMENT = re.compile(r"\n### ([A-Z][a-z]?)")
_FORMULA = re.compile(r"The chemical formula is ([A-Za-z0-9().]+?)\.(?=\s)")
_LENGTH, _ANGLE, _COORDINATE = 1, 2, 3


@dataclass(frozen=True, eq=False)
class _Shown:
    """A crystal of a prompt.

    Attributes
    ----------
    tokens
        Its text.
    partners
        For each of its elements those of the formula asked for that have its amount.
    """

    tokens: tuple[int, ...]
    partners: Mapping[str, Sequence[str]]


@dataclass(eq=False)
class _Trail:
    """How far a text keeps to a crystal of its prompt.

    Attributes
    ----------
    shown
        The crystal.
    known
        Which elements stand for which.
    read
        Tokens of the text that were compared.
    is_lost
        Whether the text copies no more.
    """

    shown: _Shown
    known: dict[str, str] = field(default_factory=dict)
    read: int = 0
    is_lost: bool = False


class CopyPrior:
    """Raises the scores of tokens that keep to a demonstration.

    Parameters
    ----------
    vocabulary
        Texts of the token ids.
    strength
        Nats by which the score of an exact copy is raised, before the temperature.
    """

    def __init__(self, vocabulary: TokenVocabulary, strength: float) -> None:
        self.strength = strength
        self._ends = frozenset(vocabulary.eos_token_ids)
        self._strings = [piece.decode("utf-8", "replace") for piece in vocabulary.pieces]
        self._values = np.full(len(self._strings), np.nan)
        self._kinds = np.zeros(len(self._strings), dtype=np.int8)
        self._elements: dict[int, str] = {}
        for token, text in enumerate(self._strings):
            if found := _NUMBER.fullmatch(text):
                self._values[token] = float(found[1])
                decimals = len(found[1].partition(".")[2])
                self._kinds[token] = (_ANGLE, _LENGTH, _COORDINATE)[min(decimals, 2)]
            elif found := _ELEMENT.fullmatch(text):
                self._elements[token] = found[1]
        self._value_list: list[float] = self._values.tolist()
        self._kind_list: list[int] = self._kinds.tolist()
        self._trails: WeakKeyDictionary[Row, list[_Trail]] = WeakKeyDictionary()
        self._shown = lru_cache(maxsize=4096)(self._read)

    def bonus(self, row: Row, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return by how much the scores of a row's next tokens are raised, shape (ids,)."""
        total = np.zeros(len(ids))
        written = row.tokens
        if not written:
            return total
        trails = self._trails.get(row)
        if trails is None:
            trails = [_Trail(shown) for shown in self._shown(row.prompt_ids)]
            self._trails[row] = trails
        for trail in trails:
            self._follow(written, trail)
            if not trail.is_lost:
                found = self._counterparts(written, trail.shown, trail.known, ids)
                total = np.maximum(total, found)
        return self.strength * total

    def _follow(self, written: Sequence[int], trail: _Trail) -> None:
        """Compare the tokens that a text has got since the last time."""
        shown, known = trail.shown, trail.known
        if trail.is_lost:
            return
        trail.is_lost = True
        if written[0] != shown.tokens[0] or len(written) > len(shown.tokens):
            return
        for place in range(max(CELL, trail.read), len(written)):
            own, other = written[place], shown.tokens[place]
            if (place - CELL) % ORBIT:
                if not self._gap(own, other) <= LEFT:
                    return
                continue
            name, theirs = self._elements.get(own, ""), self._elements[other]
            if known.setdefault(theirs, name) != name or name not in shown.partners[theirs]:
                return
        trail.read = len(written)
        trail.is_lost = len(set(known.values())) < len(known)

    def _counterparts(
        self,
        written: Sequence[int],
        shown: _Shown,
        known: Mapping[str, str],
        ids: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return how much each token is a copy of a crystal's token at the same place."""
        place = len(written)
        if place == len(shown.tokens):
            return np.array([float(token in self._ends) for token in ids.tolist()])
        other = shown.tokens[place]
        if place < CELL:
            return CELL_SHARE * self._cell(written, shown, ids)
        if (place - CELL) % ORBIT:
            gaps = self._gaps(other, ids)
            return np.where(gaps < SAME, 1.0, np.where(gaps < NEAR, 0.5, 0.0))
        theirs = self._elements[other]
        taken = set(known.values())
        fitting = (
            {known[theirs]} if theirs in known else set(shown.partners[theirs]).difference(taken)
        )
        return np.array([float(self._elements.get(token) in fitting) for token in ids.tolist()])

    def _cell(
        self, written: Sequence[int], shown: _Shown, ids: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        place = len(written)
        value = self._values[shown.tokens[place]]
        kinds = self._kinds[ids]
        if place > ORBIT - 1:
            return np.where(
                (kinds == _ANGLE) & (np.abs(self._values[ids] - value) <= TURN), 1.0, 0.0
            )
        ratios = np.full(len(ids), np.inf)
        lengths = kinds == _LENGTH
        ratios[lengths] = np.log(self._values[ids[lengths]] / value)
        if place == 1:
            return np.where(np.abs(ratios) < FIRST_LENGTH, 1.0, 0.0)
        first = math.log(self._values[written[1]] / self._values[shown.tokens[1]])
        return np.where(np.abs(ratios - first) < RATIO, 1.0, 0.0)

    def _gap(self, own: int, other: int) -> float:
        """Return how far a coordinate is from another; infinite for another token."""
        if self._kind_list[own] != _COORDINATE:
            return math.inf
        gap = abs(self._value_list[own] - self._value_list[other])
        return min(gap, 1 - gap)

    def _gaps(self, token: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far coordinates are from one; infinite for other tokens."""
        gaps = np.abs(self._values[ids] - self._values[token])
        return np.where(self._kinds[ids] == _COORDINATE, np.minimum(gaps, 1 - gaps), np.inf)

    def _read(self, prompt_ids: tuple[int, ...]) -> tuple[_Shown, ...]:
        """Return the crystals of a prompt that have the stoichiometry asked for."""
        text = "".join(self._strings[token] for token in prompt_ids)
        formulas = [found[1] for found in _FORMULA.finditer(text)]
        crystals = list(self._crystals(prompt_ids))
        if not crystals or len(formulas) != len(crystals) + 1:
            return ()
        amounts = _amounts(formulas.pop())
        found = []
        for tokens, formula in zip(crystals, formulas, strict=True):
            own = _amounts(formula)
            names = {self._elements[token] for token in tokens[CELL::ORBIT]}
            if sorted(own.values()) == sorted(amounts.values()) and names == own.keys():
                partners = {
                    name: [other for other, much in amounts.items() if much == own[name]]
                    for name in own
                }
                found.append(_Shown(tokens, partners))
        return tuple(found)

    def _crystals(self, prompt_ids: tuple[int, ...]) -> list[tuple[int, ...]]:
        kinds = self._kinds[list(prompt_ids)].tolist()
        found = []
        start = 0
        while start + CELL < len(prompt_ids):
            if kinds[start + 1 : start + CELL] != [_LENGTH] * 3 + [_ANGLE] * 3:
                start += 1
                continue
            end = start + CELL
            while (
                end + ORBIT <= len(prompt_ids)
                and prompt_ids[end] in self._elements
                and kinds[end + 1 : end + ORBIT] == [_COORDINATE] * 3
            ):
                end += ORBIT
            found.append(prompt_ids[start:end])
            start = end
        return found


@lru_cache(maxsize=65536)
def _amounts(formula: str) -> dict[str, float]:
    reduced = Composition(formula).get_reduced_composition_and_factor()[0]
    return {element.symbol: float(amount) for element, amount in reduced.items()}
