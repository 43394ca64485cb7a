"""Wyckoff letters as a condition: held by every text, whatever order and origin it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.wyckoff_letters import descriptions, same_letters
from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import (
    ConstraintOptions,
    ImpossibleConditionError,
    build_constraint,
)
from crystalicl_jobflow.generation.constraints.finished_text import text_check
from crystalicl_jobflow.schemas import Condition, FailureReason
from crystalicl_jobflow.text import SGS, SGSW, SGSCrystal
from crystalicl_jobflow.text.pattern import PatternError, parse_pattern
from crystalicl_jobflow.text.sgs import read_wyckoff

from .writing import follow, walk

#: No rule on distances: some prototypes are drawn with overlapping atoms.
FREE = ConstraintOptions(max_atoms=200, min_distance=None)
PEROVSKITE = (
    "Pm-3m\n3.9 3.9 3.9\n90 90 90\nCa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50"
)


def real_crystals(step: int) -> Iterator[tuple[Structure, SGSCrystal, Condition]]:
    for entry in AFLOW_PROTOTYPE_LIBRARY[::step]:
        structure = entry["snl"].structure
        crystal = SGS.analyze(structure)
        assert crystal.wyckoff is not None
        condition = Condition(
            formula=structure.composition.reduced_formula,
            space_group=crystal.space_group_number,
            wyckoff=crystal.wyckoff,
        )
        yield structure, crystal, condition


@pytest.mark.parametrize("form", [SGS, SGSW])
def test_texts_of_real_crystals_are_allowed_in_any_order_of_their_orbits(
    form: type, words: TokenVocabulary, word_tokens: Callable[[str], list[int]]
) -> None:
    for _, crystal, condition in real_crystals(15):
        constraint = build_constraint(condition, FREE, form.name)
        assert constraint is not None
        for sites in (crystal.sites, crystal.sites[::-1]):
            text = form.format(
                SGSCrystal(crystal.space_group_number, crystal.lengths, crystal.angles, sites)
            )
            assert follow(constraint, words, word_tokens(text)) is None, text


def test_whatever_is_written_has_the_letters(words: TokenVocabulary) -> None:
    for number, (_, crystal, condition) in enumerate(real_crystals(12)):
        constraint = build_constraint(condition, ConstraintOptions(max_atoms=200))
        assert constraint is not None
        text, state = walk(constraint, words, number)
        found = read_wyckoff(text)
        assert found is not None, text
        group, letters = found
        assert group == crystal.space_group_number
        assert crystal.wyckoff is not None
        assert letters in descriptions(crystal.wyckoff, group), text
        assert SGS.decode(text).composition.reduced_formula == condition.formula
        assert state.counts.keys() == letters.keys()


def test_the_other_origin_is_allowed_and_a_mixture_of_both_is_not(
    words: TokenVocabulary, word_tokens: Callable[[str], list[int]]
) -> None:
    constraint = build_constraint(Condition(space_group=221, wyckoff="Ca:a Ti:b O:c"))
    assert constraint is not None
    assert follow(constraint, words, word_tokens(PEROVSKITE)) is None
    other = PEROVSKITE.replace(
        "Ca\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50",
        "Ca\n0.50 0.50 0.50\nTi\n0.00 0.00 0.00\nO\n0.50 0.00 0.00",
    )
    assert follow(constraint, words, word_tokens(other)) is None
    mixed = PEROVSKITE.replace("0.00 0.50 0.50", "0.50 0.00 0.00")  # oxygen on 3d instead of 3c
    assert "token 18" in str(follow(constraint, words, word_tokens(mixed)))
    assert follow(constraint, words, word_tokens(PEROVSKITE.rpartition("\nO")[0])) == (
        "the text may not end"
    )


def test_it_is_stricter_than_formula_and_group(
    words: TokenVocabulary, word_tokens: Callable[[str], list[int]]
) -> None:
    # four oxygen atoms more than the letters have
    doubled = (
        "P4/mmm\n3.9 3.9 7.9\n90 90 90\nCa\n0.00 0.00 0.25\nO\n0.00 0.00 0.00\nO\n0.00 0.00 0.50"
    )
    plain = build_constraint(Condition(formula="CaO", space_group=123), FREE)
    asked = build_constraint(Condition(space_group=123, wyckoff="Ca:a O:b"), FREE)
    assert plain is not None
    assert asked is not None
    assert follow(plain, words, word_tokens(doubled)) is None
    assert follow(asked, words, word_tokens(doubled)) is not None


def test_limits_that_the_letters_exceed_are_said_in_one_line() -> None:
    condition = Condition(space_group=221, wyckoff="Ca:a Ti:b O:c")
    with pytest.raises(ImpossibleConditionError, match=r"are 5 atoms .* limit of 4$"):
        build_constraint(condition, ConstraintOptions(max_atoms=4))
    with pytest.raises(ImpossibleConditionError, match=r"are 3 orbits, more than the limit of 2$"):
        build_constraint(condition, ConstraintOptions(max_orbits=2))
    with pytest.raises(PatternError, match="write the letters into the text"):
        build_constraint(condition, pattern=parse_pattern("Pm-3m", is_beginning=True))


def test_the_constraint_names_the_letters() -> None:
    constraint = build_constraint(Condition(space_group=221, wyckoff="Ca:a Ti:b O:c"))
    assert constraint is not None
    assert "Wyckoff letters Ca:a Ti:b O:c" in constraint.describe()


def test_finished_texts_are_checked_by_the_same_letters() -> None:
    check = text_check(build_constraint(Condition(space_group=221, wyckoff="Ca:a Ti:b O:c")))  # type: ignore[arg-type]
    assert check is not None
    assert check(PEROVSKITE) is None
    swapped = PEROVSKITE.replace("Ca", "X").replace("Ti", "Ca").replace("X", "Ti")
    assert check(swapped) is FailureReason.CONDITION_NOT_MET
    assert same_letters(
        {"Ca": ("b",), "Ti": ("a",), "O": ("d",)}, {"Ca": ("a",), "Ti": ("b",), "O": ("c",)}, 221
    )
