"""Tokens that are parts of fields, or reach over their ends."""

from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.generation.constraints.budget import amounts_of
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS

from .writing import LINE, follow, walk

KINDS = ["byte_level", "crossing", "sentencepiece"]
PEROVSKITE = (
    "Pm-3m\n3.9 3.9 3.9\n90 90 90\nCa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50"
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_is_of_its_kind(kind: str, request: pytest.FixtureRequest) -> None:
    _, vocabulary = request.getfixturevalue(kind)
    assert "Ca" in vocabulary.strings or " Ca" in vocabulary.strings
    assert "0" in vocabulary.strings
    crosses = [text for text in vocabulary.strings if "\n" in text[1:] and text[0].isdigit()]
    assert bool(crosses) == (kind == "crossing")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("formula", "group"),
    [("CaTiO3", 221), ("CCaO3", 167), ("SiO2", 154), ("KCl", 4), ("NaNbO3", 57), ("CoPS", 2)],
)
def test_walks_end_in_what_is_asked(
    kind: str, formula: str, group: int, request: pytest.FixtureRequest
) -> None:
    _, vocabulary = request.getfixturevalue(kind)
    options = ConstraintOptions(max_atoms=24)
    constraint = build_constraint(Condition(formula=formula, space_group=group), options)
    assert constraint is not None
    for seed in range(2):
        text, state = walk(constraint, vocabulary, seed)
        structure = SGS.decode(text)
        assert amounts_of(structure.formula) == amounts_of(formula)
        assert SGS.parse(text).space_group_number == group
        assert text.startswith(LINE)
        assert state.may_end


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizers_own_tokens_of_a_crystal_are_allowed(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer, vocabulary = request.getfixturevalue(kind)
    text = LINE + PEROVSKITE.replace("\n", LINE)
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert vocabulary.decode(tokens) == text
    for condition in (Condition(formula="CaTiO3", space_group=221), Condition()):
        constraint = build_constraint(condition)
        assert constraint is not None
        assert follow(constraint, vocabulary, tokens) is None


def test_any_split_of_a_text_is_allowed(
    byte_level: tuple[object, TokenVocabulary], crossing: tuple[object, TokenVocabulary]
) -> None:
    """Whatever tokens spell the text: the constraint is on characters."""
    constraint = build_constraint(Condition(formula="CaTiO3"))
    assert constraint is not None
    text = LINE + PEROVSKITE.replace("\n", LINE)
    rng = np.random.default_rng(0)
    for _, vocabulary in (byte_level, crossing):
        index = {s: i for i, s in enumerate(vocabulary.strings) if s}
        for _ in range(30):
            tokens, start = [], 0
            while start < len(text):
                sizes = [n for n in range(1, 20) if text[start : start + n] in index]
                size = int(rng.choice(sizes))
                tokens.append(index[text[start : start + size]])
                start = start + size if start + size <= len(text) else len(text)
            assert follow(constraint, vocabulary, tokens) is None


@pytest.mark.parametrize("kind", KINDS)
def test_only_prefixes_of_good_texts_are_allowed(kind: str, request: pytest.FixtureRequest) -> None:
    """C could go on as Ca where both are in the formula, and as Cl or Cs nowhere."""
    _, vocabulary = request.getfixturevalue(kind)
    constraint = build_constraint(Condition(formula="CaCO3", space_group=167))
    assert constraint is not None
    state = constraint.start(vocabulary)
    index = {s: i for i, s in enumerate(vocabulary.strings) if s}
    for char in LINE + "R-3c" + LINE + "5.0 5.0 17.1" + LINE + "90 90 120" + LINE + "C":
        assert state.advance(index[char])
    following = {vocabulary.strings[token][0] for token in state.allowed()}
    assert following == {"a", "\n"}
    assert not state.may_end
