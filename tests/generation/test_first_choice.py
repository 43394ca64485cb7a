"""The first step at which a text can go on in several ways, and what is noted of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crystalicl_jobflow.generation.first_choice import ChoiceWatch, FirstChoice
from crystalicl_jobflow.schemas import SamplingParams


def never() -> Any:
    raise AssertionError("computed alone without need")


def watch(width: int = 5, tolerance: float = 0.0, **sampling: Any) -> ChoiceWatch:
    options = {"temperature": 1.0, "top_p": 1.0, **sampling}
    return ChoiceWatch(SamplingParams(**options), width, tolerance=tolerance)


def see(found: ChoiceWatch, place: int, shares: dict[int, float], alone: Any = never) -> None:
    scores = np.log(np.array(list(shares.values()))) + 3.0  # scores are no probabilities
    found.see(place, np.array(list(shares)), scores, alone=alone)


def test_the_most_probable_tokens_come_first() -> None:
    found = watch(width=3)
    see(found, 4, {7: 0.1, 8: 0.5, 9: 0.3, 10: 0.1})
    choice = found.found([1, 2, 3, 4, 8])
    assert choice is not None
    assert (choice.place, choice.tokens) == (4, (8, 9, 7))
    assert choice.log_weights == pytest.approx(np.log([0.5, 0.3, 0.1]), abs=0.0051)
    assert not found.is_open


@pytest.mark.parametrize(
    ("sampling", "tokens"),
    [
        ({"top_p": 0.7}, (8, 9)),
        ({"top_k": 2}, (8, 9)),
        ({"temperature": 0.2, "top_p": 0.9}, None),
        ({}, (8, 9, 7)),
    ],
)
def test_only_tokens_that_can_be_drawn_are_noted(sampling: Any, tokens: Any) -> None:
    found = watch(**sampling)
    see(found, 0, {7: 0.2, 8: 0.5, 9: 0.3})
    choice = found.found([8])
    assert (choice and choice.tokens) == tokens


def test_steps_with_one_token_are_walked_through() -> None:
    found = watch(top_p=0.9)
    see(found, 0, {3: 0.95, 4: 0.05})
    see(found, 2, {5: 0.6, 6: 0.4})
    choice = found.found([3, 1, 5])
    assert choice is not None
    assert choice.place == 2


def test_where_the_only_token_was_refused_it_is_the_choice() -> None:
    found = watch(top_p=0.9)
    see(found, 1, {3: 0.95, 4: 0.05})
    see(found, 2, {5: 0.6, 6: 0.4})
    assert found.found([9, 4, 5]) == FirstChoice(1, (3,), (0.0,))
    assert watch().found([1, 2]) is None


def test_what_rounding_could_change_is_computed_alone() -> None:
    """A probability whose logarithm lies at the edge of a step, in two batches."""
    edge = float(np.exp(-1.005))
    exact = {7: edge, 8: 1 - edge}
    asked = []

    def alone() -> Any:
        asked.append(True)
        return np.log(np.array(list(exact.values())))

    noted = []
    for error in (1e-6, -1e-6):
        found = watch(tolerance=3e-5)
        see(found, 0, {7: edge * (1 + error), 8: 1 - edge * (1 + error)}, alone)
        noted.append(found.found([7]))
    assert noted[0] == noted[1]
    assert len(asked) == 2
