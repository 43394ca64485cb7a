"""What a predictor answers for a crystal: a value, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pymatgen.core import Structure

NO_ANSWER = "The predictor has no value."


@dataclass(frozen=True)
class Answer:
    """A predicted value.

    Parameters
    ----------
    value
        In the property's unit; None where there is none.
    reason
        Why there is none, in a sentence.
    """

    value: float | None
    reason: str = ""


class Predicts(Protocol):
    """Anything with values for crystals."""

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a value for each crystal; None where there is none."""
        ...


@runtime_checkable
class GivesReasons(Protocol):
    """A predictor that says why it has no value."""

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return a value, or why there is none, for each crystal, in order."""
        ...


def answers_of(predictor: Predicts, structures: Sequence[Structure | None]) -> list[Answer]:
    """Ask a predictor, with the reasons that it gives.

    Parameters
    ----------
    predictor
        Any predictor.
    structures
        Crystals; None where a text was none.
    """
    if isinstance(predictor, GivesReasons):
        return predictor.answers(structures)
    return [
        Answer(value, "" if value is not None else NO_ANSWER)
        for value in predictor.predict(structures)
    ]
