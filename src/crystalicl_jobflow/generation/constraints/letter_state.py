"""One text under a constraint that asks for its Wyckoff letters."""

from __future__ import annotations

from crystalicl_jobflow.generation.constraints.fields import VocabularyTables
from crystalicl_jobflow.generation.constraints.letter_plan import LetterPlan, Orbit
from crystalicl_jobflow.generation.constraints.plan import Choices
from crystalicl_jobflow.generation.constraints.text_state import SGSState


class LetterState(SGSState):
    """The tokens that are still allowed in one row whose Wyckoff letters are asked for.

    Parameters
    ----------
    plan
        What the condition allows.
    tables
        The vocabulary's tokens by field.
    """

    _plan: LetterPlan

    def __init__(self, plan: LetterPlan, tables: VocabularyTables) -> None:
        self._written: tuple[Orbit, ...] = ()
        super().__init__(plan, tables)

    def _find_choices(self, blocked: int) -> Choices:
        return self._plan.next_orbits(self.number, self._written, self._left(blocked))

    def _choices_with(self, index: int, left: int) -> Choices:
        written = (*self._written, (self._element, index))
        return self._plan.next_orbits(self.number, written, left)

    def _settle(self, z: int) -> None:
        super()._settle(z)
        index = self._landing.index(self._x, self._y, z)
        self._written = (*self._written, (self._element, index))
