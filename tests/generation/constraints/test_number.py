"""A constrained answer is one number that a property can have, in any vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation.base import GenerationError, RowConstraint, TokenVocabulary
from crystalicl_jobflow.generation.constraints.number import NumberConstraint
from crystalicl_jobflow.schemas import PROPERTIES
from crystalicl_jobflow.training import build_tokenizer

WORDS = TokenVocabulary.from_tokenizer(build_tokenizer())
CHARACTERS = TokenVocabulary(["", *" -.0123456789abcE+"], (0,))
PIECES = TokenVocabulary(
    ["", " ", " -", "-", "0.", ".", "12", "345", "0", "1.5", "00", "0000"], (0,)
)


def walk(constraint: NumberConstraint, vocabulary: TokenVocabulary, seed: int) -> str:
    rng = np.random.default_rng(seed)
    state = constraint.start(vocabulary)
    tokens: list[int] = []
    while True:
        allowed = state.allowed()
        assert allowed.dtype == np.int64
        assert len(set(allowed.tolist())) == len(allowed) > 0
        token = int(rng.choice(allowed))
        if token in vocabulary.eos_token_ids:
            return vocabulary.decode(tokens)
        assert state.advance(token)
        tokens.append(token)
        assert len(tokens) < 20


@pytest.mark.parametrize(
    "vocabulary", [WORDS, CHARACTERS, PIECES], ids=["words", "chars", "pieces"]
)
@pytest.mark.parametrize("lead", [" ", ""])
@pytest.mark.parametrize("negative", [True, False])
def test_whatever_is_drawn_ends_in_a_number(vocabulary, lead, negative) -> None:
    constraint = NumberConstraint(lead=lead, negative=negative)
    assert isinstance(constraint, RowConstraint)
    texts = [walk(constraint, vocabulary, seed) for seed in range(200)]
    for text in texts:
        assert text.startswith(lead)
        assert text[len(lead) :] == text[len(lead) :].strip()
        assert "." in text
        assert len(text.rpartition(".")[2]) <= 4
        assert float(text) < 1000
        if not negative:
            assert "-" not in text
    assert len(set(texts)) > 50


@given(st.floats(-999, 999, allow_subnormal=False), st.sampled_from(sorted(PROPERTIES)))
def test_every_value_that_training_shows_can_be_written(value: float, name: str) -> None:
    spec = PROPERTIES[name]
    negative = spec.minimum is None or spec.minimum < 0
    text = " " + spec.format(value if negative else abs(value))
    constraint = NumberConstraint(decimals=spec.decimals, negative=negative)
    state = constraint.start(CHARACTERS)
    for character in text:
        token = CHARACTERS.strings.index(character)
        assert token in state.allowed()
        state.advance(token)
    assert 0 in state.allowed()


def test_numbers_of_several_beginnings_are_refused() -> None:
    constraint = NumberConstraint()
    for text in (" -", " 0", " -12", " 1.", ""):
        assert constraint.may_begin(text)
        assert not constraint.is_number(text)
    for text in ("1", " 00", " .5", " --1", " 1.23456", " 1e", " 1.5 ", " 1234"):
        assert not constraint.may_begin(text)
    assert constraint.is_number(" -0.0001")
    assert not NumberConstraint(negative=False).may_begin(" -")


def test_a_vocabulary_without_digits_is_told() -> None:
    with pytest.raises(GenerationError, match="cannot spell a number"):
        NumberConstraint().start(TokenVocabulary(["", "a", "b"], (0,)))


def test_the_constraint_says_what_it_asks_for() -> None:
    assert NumberConstraint().describe() == "one number with at most 4 decimals"
    assert NumberConstraint(negative=False, decimals=2).describe() == (
        "one number from 0 on with at most 2 decimals"
    )
