"""One line of an error, whatever a library put into it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from crystalicl_jobflow.utils.messages import first_line, one_line, show_controls, validation_line


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


def test_all_that_pydantic_complains_about_is_one_line() -> None:
    class Cell(BaseModel):
        lengths: tuple[float, float]

    with pytest.raises(ValidationError) as caught:
        Cell.model_validate({"lengths": ("x", "y")})
    said = validation_line(caught.value)
    assert said.count("Input should be a valid number") == 2
    assert said.startswith("lengths.0: ")
    assert "; lengths.1: " in said
    assert "\n" not in said
    assert validation_line(ValueError("as it is")) == "as it is"


def test_control_characters_are_written_out() -> None:
    assert show_controls("\x1b[2J\x07\r\x9b\u202eabc") == r"\x1b[2J\x07\r\x9b\u202eabc"
    plain = "Na₂O at 5 Å\n\tP -1"
    assert show_controls(plain) == plain
