"""What a predictor is, and what it answers for a crystal: a value, or why there is none."""

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


@runtime_checkable
class PropertyPredictor(Protocol):
    """A model that gives crystals a value of one property.

    ``name`` and ``version`` are part of every result that rests on it.
    """

    @property
    def property_name(self) -> str:
        """Name of the property, see :data:`crystalicl_jobflow.schemas.PROPERTIES`."""
        ...

    @property
    def name(self) -> str:
        """Name by which the predictor is loaded."""
        ...

    @property
    def version(self) -> str:
        """Version of its weights."""
        ...

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a value for each crystal, in order; None where there is none."""
        ...


@runtime_checkable
class GivesReasons(Protocol):
    """A predictor that says why it has no value."""

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return a value, or why there is none, for each crystal, in order."""
        ...


def answers_of(
    predictor: PropertyPredictor, structures: Sequence[Structure | None]
) -> list[Answer]:
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
