"""A constraint that lets a model write one number, in the format of property values in prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from crystalicl_jobflow.generation.base import GenerationError, TokenVocabulary

MAX_DIGITS = 3
"""Most digits before the point: no registered property needs more."""


@dataclass(frozen=True)
class NumberConstraint:
    """Texts that consist of one number with a decimal point.

    Parameters
    ----------
    lead
        Characters before the number: a blank after ``### Response:``.
    decimals
        Maximum number of digits after the point; there is at least one.
    negative
        Whether the number may be negative.
    """

    lead: str = " "
    decimals: int = 4
    negative: bool = True
    _tables: dict[str, dict[str, np.ndarray]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def describe(self) -> str:
        """Return the constraint in words, in one line."""
        sign = "number" if self.negative else "number from 0 on"
        return f"one {sign} with at most {self.decimals} decimals"

    def start(self, vocabulary: TokenVocabulary) -> NumberState:
        """Start a row.

        Raises
        ------
        GenerationError
            If the vocabulary cannot spell a number.
        """
        state = NumberState(self, vocabulary, self._tables.setdefault(vocabulary.fingerprint, {}))
        if not len(state.allowed()):
            raise GenerationError("the model's vocabulary cannot spell a number")
        return state

    def may_begin(self, text: str) -> bool:
        """Return whether a text can still become such a number."""
        if len(text) <= len(self.lead):
            return self.lead.startswith(text)
        sign = "-?" if self.negative else ""
        whole = rf"{sign}(?:(?:0|[1-9]\d{{0,{MAX_DIGITS - 1}}})(?:\.\d{{0,{self.decimals}}})?)?"
        return text.startswith(self.lead) and bool(re.fullmatch(whole, text[len(self.lead) :]))

    def is_number(self, text: str) -> bool:
        """Return whether a text is such a number."""
        return self.may_begin(text) and bool(re.search(r"\.\d+$", text))


class NumberState:
    """The tokens that are still allowed in one row."""

    relaxed: tuple[str, ...] = ()
    room = 1.0

    def __init__(
        self,
        constraint: NumberConstraint,
        vocabulary: TokenVocabulary,
        table: dict[str, np.ndarray],
    ) -> None:
        self._constraint = constraint
        self._vocabulary = vocabulary
        self._table = table
        self._text = ""

    def allowed(self) -> np.ndarray:
        """Return the token ids that may come next, int64, shape (choices,)."""
        found = self._table.get(self._text)
        if found is None:
            strings = self._vocabulary.strings
            ids = [
                token
                for token in self._candidates().tolist()
                if self._constraint.may_begin(self._text + strings[token])
            ]
            if self._constraint.is_number(self._text):
                ids += self._vocabulary.eos_token_ids
            found = self._table[self._text] = np.array(ids, dtype=np.int64)
        return found

    def advance(self, token_id: int) -> bool:
        """Append a token; allowed tokens are never rejected."""
        self._text += self._vocabulary.strings[token_id]
        return True

    def _candidates(self) -> np.ndarray:
        """Return the tokens that numbers are made of; found once per vocabulary."""
        key = "\0tokens"  # cannot be a text: texts contain no zero bytes
        if key not in self._table:
            alphabet = set(self._constraint.lead + "-.0123456789")
            self._table[key] = np.array(
                [
                    token
                    for token, text in enumerate(self._vocabulary.strings)
                    if text and set(text) <= alphabet
                ],
                dtype=np.int64,
            )
        return self._table[key]
