"""Writing texts under a constraint, by chance or as told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import SGSConstraint, SGSState
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.plan import (
    COORDINATE_VALUES,
    GROUP_VALUES,
    LETTER_VALUES,
)

LINE = "\n### "


def word_strings() -> list[str]:
    """Return words as a word-level tokenizer has them: a value with what precedes it."""
    lengths = [f"{n / 10:.1f}" for n in range(10, 1000)]
    angles = [str(n) for n in range(20, 161)]
    words = [LINE + symbol for symbol in (*GROUP_VALUES.strings, *ELEMENTS)]
    for values in (lengths, angles, COORDINATE_VALUES.strings):
        words += [LINE + value for value in values] + [" " + value for value in values]
    words += [" " + letter for letter in LETTER_VALUES.strings]
    return list(dict.fromkeys(words))


def walk(
    constraint: SGSConstraint, vocabulary: TokenVocabulary, seed: Sequence[int] | int
) -> tuple[str, SGSState]:
    """Write a text of tokens drawn evenly from those allowed, ending early half the time."""
    rng = np.random.default_rng(seed)
    state = constraint.start(vocabulary)
    tokens: list[int] = []
    for _ in range(20_000):
        allowed = state.allowed()
        assert allowed.dtype == np.int64
        assert len(set(allowed.tolist())) == len(allowed) > 0
        ends = [token for token in vocabulary.eos_token_ids if token in allowed]
        left = allowed.tolist()
        while True:
            assert left, f"every token was refused after {vocabulary.decode(tokens)!r}"
            token = ends[0] if ends and rng.random() < 0.5 else left[rng.integers(len(left))]
            if state.advance(token):
                break
            left.remove(token)
        if token in ends:
            return vocabulary.decode(tokens), state
        tokens.append(token)
    raise AssertionError("the walk does not end")


def follow(
    constraint: SGSConstraint, vocabulary: TokenVocabulary, tokens: Sequence[int]
) -> str | None:
    """Write given tokens; return what stopped them, or None where the text may end."""
    state = constraint.start(vocabulary)
    for place, token in enumerate(tokens):
        what = f"token {place} {vocabulary.strings[token]!r}"
        if token not in state.allowed():
            return f"{what} is not allowed"
        if not state.advance(token):
            return f"{what} is refused"
    return None if state.may_end else "the text may not end"
