"""Texts without the paper's line prefix, as a prompt in Alpaca's form asks for them."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training import build_tokenizer

from .writing import walk


@pytest.fixture(scope="module")
def characters() -> TokenVocabulary:
    """Return the embedded model's vocabulary: words, and every character beside them."""
    return TokenVocabulary.from_tokenizer(build_tokenizer())


@pytest.mark.parametrize("number", [1, 62, 166, 221, 225])
def test_the_first_line_may_begin_at_once(number: int, characters: TokenVocabulary) -> None:
    condition = Condition(formula="CaTiO3", space_group=number)
    if number in (166, 225):
        condition = Condition(formula="NaCl", space_group=number)
    options = ConstraintOptions(line_prefix="", text_prefix="", max_atoms=20)
    constraint = build_constraint(condition, options)
    assert constraint is not None
    text, _ = walk(constraint, characters, number)
    assert "#" not in text
    assert not text.startswith("\n")
    assert SGS.parse(text).space_group_number == number
    assert SGS.decode(text).composition.reduced_formula == condition.formula


def test_without_options_every_line_has_the_prefix(characters: TokenVocabulary) -> None:
    constraint = build_constraint(Condition(formula="NaCl", space_group=225))
    assert constraint is not None
    text, _ = walk(constraint, characters, 0)
    lines = text.split("\n")
    assert lines[0] == ""
    assert all(line.startswith("### ") for line in lines[1:])
