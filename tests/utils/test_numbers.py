"""Numbers that have to be whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crystalicl_jobflow.generation.tasks import plan_tasks
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.utils.numbers import whole_number


@pytest.mark.parametrize("value", [1, 8, np.int64(8)])
def test_whole_numbers_of_any_library_are_taken(value: Any) -> None:
    assert whole_number(value, "samples") == int(value)
    assert type(whole_number(value, "samples")) is int


@pytest.mark.parametrize("value", ["8", 8.0, 2.5, None, True, [8], float("nan")])
def test_what_is_no_whole_number_is_refused_in_one_line(value: Any) -> None:
    for refuse in (
        lambda: whole_number(value, "number of samples"),
        lambda: plan_tasks([Condition(formula="NaCl")], value),
    ):
        with pytest.raises(ValueError, match="number of samples must be a whole number, got") as it:
            refuse()
        assert "\n" not in str(it.value)


def test_too_small_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        whole_number(0, "samples")
    with pytest.raises(ValueError, match="budget must be 0 or more, got -1"):
        whole_number(-1, "budget", least=0)
    assert whole_number(0, "budget", least=0) == 0
