"""Fields of a text, and the tokens of a vocabulary that can spell them.

A field is one symbol or number with what separates it from the field before: a line
break and the line's prefix, or a space. A field's *values* are finitely many strings
(230 symbols, 100 coordinates, …), of which a mask allows some at a time. Tokens may be
a whole field, a part of one, or reach into the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.generation.base import TokenVocabulary

Mask = NDArray[np.bool_]
TokenIds = NDArray[np.int64]

_CACHED_MASKS = 20_000
#: First characters of what separates fields; no value holds one of them.
_SEPARATORS = ("\n", " ")
_HERE = ""  # key of the token ids in a trie node; no character is empty


@dataclass(frozen=True, eq=False)
class Values:
    """The values that a kind of field may have.

    Attributes
    ----------
    name
        Kind of field, for error messages.
    strings
        All values.
    """

    name: str
    strings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.strings)

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of each value."""
        return {text: i for i, text in enumerate(self.strings)}


@dataclass(eq=False)
class Step:
    """Tokens that may come next at one place within a field.

    Attributes
    ----------
    ids
        Tokens that end within the field or with it, shape (n,).
    fits
        Which values each of them may still become, shape (n, values).
    beyond
        Tokens that end the field and continue into the next: the id, the value's index, the rest.
    complete
        Index of the value that is complete here, or None.
    """

    ids: TokenIds
    fits: Mask
    beyond: list[tuple[int, int, str]]
    complete: int | None
    _cache: dict[bytes, TokenIds] = field(default_factory=dict)

    @cached_property
    def _only(self) -> NDArray[np.int64] | None:
        """The one value of each token, where each has one (words)."""
        return self.fits.argmax(1) if (self.fits.sum(1) == 1).all() else None

    def allowed(self, mask: Mask) -> TokenIds:
        """Return the tokens that stay within the field and lead to a value of the mask."""
        key = mask.tobytes()
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHED_MASKS:
                self._cache.clear()
            if self._only is not None:
                found = self.ids[mask[self._only]]
            else:
                found = self.ids[self.fits[:, mask].any(1)]
            found.flags.writeable = False
            self._cache[key] = found
        return found


class FieldTable:
    """All places within one kind of field, for one vocabulary.

    Parameters
    ----------
    values
        The values that the field may have.
    separator
        Characters before the value.
    trie
        The vocabulary, see `build_trie`.
    """

    def __init__(self, values: Values, separator: str, trie: dict[str, Any]) -> None:
        self.values = values
        self.separator = separator
        self.writable: Mask = np.zeros(len(values), dtype=bool)
        within: dict[str, dict[int, list[int]]] = {}
        beyond: dict[str, list[tuple[int, int, str]]] = {}
        complete: dict[str, int] = {}
        for value, text in enumerate(values.strings):
            full = separator + text
            complete[full] = value
            within.setdefault(full, {})
            self.writable[value] = _spell(full, value, trie, within, beyond)
        words = {value: _tokens(full, trie) for full, value in complete.items()}
        if not beyond and 2 * sum(map(bool, words.values())) > len(values):
            # A vocabulary of whole words could also spell them by characters, but its model was
            # never trained on that: words only.
            self.writable[:] = [bool(words[value]) for value in range(len(values))]
            complete = {full: value for full, value in complete.items() if words[value]}
            within = {full: {} for full in complete}
            within[""] = {token: [value] for value, tokens in words.items() for token in tokens}
        self.steps = {
            partial: _step(tokens, beyond.get(partial, []), complete.get(partial), len(values))
            for partial, tokens in within.items()
        }
        self.by_text = complete

    @cached_property
    def is_atomic(self) -> bool:
        """Whether every value is a token of its own and nothing else spells the field."""
        first = self.steps[""]
        return all(
            not self.steps[full].ids.size and not self.steps[full].beyond for full in self.by_text
        ) and bool((first.fits.sum(1) == 1).all() and not first.beyond)


def _tokens(text: str, trie: dict[str, Any]) -> list[int]:
    """Return the tokens that are this text."""
    node = trie
    for char in text:
        node = node.get(char, {})
    found: list[int] = node.get(_HERE, [])
    return found


def _spell(
    full: str,
    value: int,
    trie: dict[str, Any],
    within: dict[str, dict[int, list[int]]],
    beyond: dict[str, list[tuple[int, int, str]]],
) -> bool:
    """Add the tokens that spell one value; return whether it can be spelled at all."""
    size = len(full)
    can_end = [False] * size + [True]
    for start in range(size - 1, -1, -1):
        partial = full[:start]
        tokens = within.setdefault(partial, {})
        node = trie
        for end in range(start + 1, size + 1):
            following = node.get(full[end - 1])
            if following is None:
                break
            node = following
            if can_end[end]:
                for token in node.get(_HERE, ()):
                    can_end[start] = True
                    tokens.setdefault(token, []).append(value)
        else:
            for separator in _SEPARATORS:
                if separator in node:
                    for token, rest in _below(node[separator], separator):
                        beyond.setdefault(partial, []).append((token, value, rest))
    return can_end[0]


def _below(node: dict[str, Any], text: str) -> list[tuple[int, str]]:
    found = [(token, text) for token in node.get(_HERE, ())]
    for char, following in node.items():
        if char != _HERE:
            found += _below(following, text + char)
    return found


def _step(
    tokens: dict[int, list[int]],
    beyond: list[tuple[int, int, str]],
    complete: int | None,
    n_values: int,
) -> Step:
    fits = np.zeros((len(tokens), n_values), dtype=bool)
    for row, reached in enumerate(tokens.values()):
        fits[row, reached] = True
    return Step(np.fromiter(tokens, dtype=np.int64, count=len(tokens)), fits, beyond, complete)


def build_trie(vocabulary: TokenVocabulary, alphabet: frozenset[str]) -> dict[str, Any]:
    """Return the tokens made of an alphabet only as nested dicts of characters.

    Parameters
    ----------
    vocabulary
        Texts of the token ids.
    alphabet
        Characters that texts may hold.
    """
    trie: dict[str, Any] = {}
    ends = set(vocabulary.eos_token_ids)
    for token, text in enumerate(vocabulary.strings):
        if not text or token in ends or not alphabet.issuperset(text):
            continue
        node = trie
        for char in text:
            node = node.setdefault(char, {})
        node.setdefault(_HERE, []).append(token)
    return trie


class VocabularyTables:
    """Field tables of one vocabulary, made when first needed.

    Parameters
    ----------
    vocabulary
        Texts of the token ids.
    alphabet
        Characters that texts may hold.
    """

    def __init__(self, vocabulary: TokenVocabulary, alphabet: frozenset[str]) -> None:
        self.strings = vocabulary.strings
        self.end_ids: TokenIds = np.array(vocabulary.eos_token_ids, dtype=np.int64)
        self._trie = build_trie(vocabulary, alphabet)
        self._tables: dict[tuple[int, str], FieldTable] = {}
        self._values: dict[int, Values] = {}

    def table(self, values: Values, separator: str) -> FieldTable:
        """Return the table of a kind of field after a separator."""
        key = (id(values), separator)
        found = self._tables.get(key)
        if found is None:
            self._values[id(values)] = values  # a reference, so that the id is not reused
            found = self._tables[key] = FieldTable(values, separator, self._trie)
        return found


@lru_cache(maxsize=8)
def vocabulary_tables(vocabulary: TokenVocabulary, alphabet: frozenset[str]) -> VocabularyTables:
    """Return the tables of a vocabulary, the same ones for an equal vocabulary."""
    return VocabularyTables(vocabulary, alphabet)
