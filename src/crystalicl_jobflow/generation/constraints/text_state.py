"""One text under a constraint, character by character and token by token.

Where a field ends is decided by its last character where nothing longer is allowed, else
by the separator that follows.
"""

from __future__ import annotations

import copy

import numpy as np

from crystalicl_jobflow.generation.constraints.fields import Step, TokenIds, VocabularyTables
from crystalicl_jobflow.generation.constraints.plan import Plan
from crystalicl_jobflow.generation.constraints.text_fields import Phase, TextFields


class SGSState(TextFields):
    """The tokens that are still allowed in one row.

    Parameters
    ----------
    plan
        What the condition allows.
    tables
        The vocabulary's tokens by field.
    """

    def __init__(self, plan: Plan, tables: VocabularyTables) -> None:
        self._refused: set[int] = set()
        super().__init__(plan, tables)

    def allowed(self) -> TokenIds:
        """Return the token ids that may come next, int64, shape (choices,)."""
        step = self._table.steps[self._partial]
        ids = step.allowed(self._mask)
        if step.complete is not None and self._mask[step.complete]:
            # a value that could be continued, such as C (Ca): or the next field starts
            following = self._fork()
            if following._commit(step.complete, force=True):
                ids = np.unique(np.concatenate([ids, following.allowed()]))
        if step.beyond:
            further = self._beyond(step)
            if further:
                ids = np.unique(np.concatenate([ids, np.array(further, dtype=np.int64)]))
        if self.may_end:
            ids = np.concatenate([ids, self._tables.end_ids])
        return ids

    def advance(self, token_id: int) -> bool:
        """Append a token and return True, or return False and change nothing."""
        text = self._tables.strings[token_id]
        if not text:  # an end token
            return self.may_end
        full = self._partial + text
        table = self._table
        value = table.by_text.get(full)
        if value is not None and self._mask[value] and not self._can_go_on(full):
            if not self._commit(value) and not (
                self._is_last() and self._commit(value, force=True)
            ):
                self._refused.add(token_id)
                if self._phase is Phase.Z and len(self._refused) == 1:
                    self._narrow_z()
                return False
        elif full in table.steps and self._spells(full):
            self._partial = full
        else:
            trial = self._fork()
            if not trial._feed(text, force=False):
                trial = self._fork()
                if not (self._is_last() and trial._feed(text, force=True)):
                    self._refused.add(token_id)
                    return False
            self.__dict__ = trial.__dict__
        self._refused = set()
        return True

    def _is_last(self) -> bool:
        """Return whether all other tokens are rejected, so that the row would end unfinished."""
        return sum(token not in self._refused for token in self.allowed().tolist()) <= 1

    @property
    def may_end(self) -> bool:
        """Whether the text may end here."""
        return self._phase is Phase.ELEMENT and not self._partial and self._choices.may_end

    def _narrow_z(self) -> None:
        """Allow from now on only the z that will be accepted, or the best where none would be."""
        refused = {self._partial + self._tables.strings[token] for token in self._refused}
        begun = [
            value
            for full, value in self._table.by_text.items()
            if full.startswith(self._partial) and full not in refused
        ]
        asked = np.zeros_like(self._mask)
        asked[begun] = self._mask[begun]
        if not asked.any():
            return
        rooms = self._packing.rooms_along(self._x, self._y, asked, self._radius)
        good = np.flatnonzero(rooms >= 1).tolist()
        if good and self._after(good[0])[3].is_dead_end:  # others usually are as well
            good = [z for z in good if not self._after(z)[3].is_dead_end]
        if not good:
            good = [int(rooms.argmax())]
        self._mask = np.zeros_like(self._mask)
        self._mask[good] = True

    # -- characters ----------------------------------------------------------------------

    def _fork(self) -> SGSState:
        twin = copy.copy(self)
        twin._refused = set()
        twin.counts = dict(self.counts)
        if self._phase >= Phase.ELEMENT:
            twin._packing = self._packing.copy()
        return twin

    def _can_go_on(self, full: str) -> bool:
        step = self._table.steps[full]
        return bool(len(step.ids)) and bool(len(step.allowed(self._mask)))

    def _beyond(self, step: Step) -> list[int]:
        """Return the tokens that end this field and continue into the next ones."""
        following: dict[int, SGSState | None] = {}
        found = []
        for token, value, rest in step.beyond:
            if not self._mask[value]:
                continue
            if value not in following:
                twin = self._fork()
                following[value] = twin if twin._commit(value, force=True) else None
            after = following[value]
            if after is not None and after._fork()._feed(rest, force=True):
                found.append(token)
        return found

    def _feed(self, text: str, *, force: bool) -> bool:
        """Append characters one by one; return False where they cannot follow."""
        for char in text:
            full = self._partial + char
            step = self._table.steps.get(full)
            if step is None or not self._spells(full):
                # the field ends before this character
                done = self._table.by_text.get(self._partial)
                if done is None or not self._mask[done] or not self._commit(done, force=force):
                    return False
                full = char
                if full not in self._table.steps or not self._spells(full):
                    return False
            value = self._table.by_text.get(full)
            if value is not None and self._mask[value] and not self._can_go_on(full):
                if not self._commit(value, force=force):
                    return False
            else:
                self._partial = full
        return True

    def _spells(self, partial: str) -> bool:
        """Return whether an allowed value starts with these characters."""
        step = self._table.steps[partial]
        if step.complete is not None and self._mask[step.complete]:
            return True
        return bool(len(step.allowed(self._mask)))
