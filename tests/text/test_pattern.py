"""Partial texts: what is given, what is restricted, what is free."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.text import SGS, PatternError, SGSPattern, parse_pattern
from crystalicl_jobflow.text.pattern import FREE, GapPattern, SitePattern, given, within
from reciting import PEROVSKITE, ROCK_SALT

WHOLE = parse_pattern(PEROVSKITE)


def test_a_whole_text_is_the_pattern_of_its_crystal() -> None:
    assert not WHOLE.is_open
    assert SGSPattern.of_crystal(SGS.parse(PEROVSKITE)) == WHOLE
    assert WHOLE.format() == PEROVSKITE


def test_the_beginning_of_a_text_may_go_on() -> None:
    beginning = parse_pattern(PEROVSKITE, is_beginning=True)
    assert beginning.is_open
    assert beginning.sites == WHOLE.sites
    assert parse_pattern(beginning.format()) == beginning


def test_every_field_may_be_free_or_restricted() -> None:
    pattern = parse_pattern("221|Fm-3m\n3.8..4.0 ? 4.1|4.3\n?\nCa|Sr 1a\n0.00 ? 0.2..0.3\n... O|F")
    assert pattern == SGSPattern(
        (221, 225),
        (within(3.8, 4.0), None, ((4.1, 4.1), (4.3, 4.3))),
        FREE,
        (
            SitePattern(("Ca", "Sr"), ("a",), (given(0.0), None, within(0.2, 0.3))),
            GapPattern(("O", "F")),
        ),
    )
    assert parse_pattern(pattern.format()) == pattern


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        ("", FREE),
        ("\n0.00", (given(0.0), None, None)),
        ("\n0.00 0.5", (given(0.0), given(0.5), None)),
        ("\n0.00 0.00 0.", (given(0.0), given(0.0), within(0.0, 0.99))),
    ],
)
def test_what_a_cut_text_lacks_is_free(cut: str, left: object) -> None:
    pattern = parse_pattern("### Pm-3m\n### 3.9 3.9 3.9\n### 90 90 90\n### Ca" + cut)
    assert pattern.sites == (SitePattern(("Ca",), None, left),)  # type: ignore[arg-type]


def test_a_text_may_be_cut_in_its_head() -> None:
    assert parse_pattern("Pm-3m", is_beginning=True) == SGSPattern((221,))
    assert parse_pattern("Pm-3m\n3.").lengths == (within(3.0, 3.99), None, None)
    assert parse_pattern(ROCK_SALT.split("90")[0]).angles == FREE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the partial text is empty"),
        ("```\n###\n```", "the partial text is empty"),
        ("Pm3mm", "line 1: 'Pm3mm' is no space group"),
        ("231", "line 1: '231' is no space group"),
        ("Pm-3m\n3.9 3.9\n90 90 90", "line 2: '3.9 3.9' are not the three cell lengths"),
        ("Pm-3m\nlong ? ?", "line 2: 'long' is no number of the cell lengths"),
        ("Pm-3m\n4.0..3.0 ? ?", "line 2: '4.0..3.0' is no range of the cell lengths"),
        ("Pm-3m\n?\n90 90 90 90", "line 3: '90 90 90 90' are not the three cell angles"),
        ("Pm-3m\n?\n?\nXx\n0 0 0", "line 4: 'Xx' is no element"),
        ("Pm-3m\n?\n?\nCa first\n0 0 0", "line 4: 'first' is no Wyckoff position"),
        ("Pm-3m\n?\n?\nCa\n0 0 nan", "line 5: 'nan' is no number of the coordinates of Ca"),
        ("Pm-3m\n?\n?\n... Oxygen", "line 4: 'Oxygen' is no element"),
        ("?\n?\n?\n" + "Ca\n?\n" * 10_000, "orbits"),
    ],
)
def test_what_is_no_partial_text_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(PatternError, match=words.replace("?", r"\?")) as caught:
        parse_pattern(text)
    assert "\n" not in str(caught.value)
