"""One line of an error, whatever a library put into it."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.messages import first_line, one_line


def test_lines_of_an_error_become_one() -> None:
    error = ValueError("no such\n  file:\t a.cif\n")
    assert one_line(error) == "no such file: a.cif"
    assert first_line(error) == "no such"


@pytest.mark.parametrize("said", ["", "\n  \n"])
def test_an_error_that_says_nothing_is_named_by_its_kind(said: str) -> None:
    assert one_line(KeyError()) == first_line(KeyError()) == "KeyError"
    assert one_line(ValueError(said)) == first_line(ValueError(said)) == "ValueError"


def test_a_long_error_is_cut() -> None:
    assert one_line(ValueError("a" * 500)) == "a" * 200
    assert one_line(ValueError("a" * 500), limit=300) == "a" * 300
