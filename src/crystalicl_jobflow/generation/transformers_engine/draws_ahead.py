"""Next attempts at samples whose draws were rejected, written beforehand where a batch has room.

A few long texts are rejected several times. One attempt after the other, they would be written
alone, with every other slot of the batch empty. A draw depends on its sample and attempt only, so
the text that counts is the same: the first attempt that is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable

from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.schemas import FailureReason


class DrawsAhead:
    """The draws that were begun before it is known whether they are needed.

    Parameters
    ----------
    max_redraws
        How often a sample is drawn again, at most; 0 draws nothing ahead.
    """

    def __init__(self, max_redraws: int) -> None:
        self._max_redraws = max_redraws
        self._rows: dict[tuple[int, int], dict[int, Row]] = {}

    def begin(self, rows: Iterable[Row | None], count: int) -> list[Row]:
        """Begin attempts at the samples of which a draw was rejected before.

        Parameters
        ----------
        rows
            What is being written.
        count
            Attempts begun, at most; the next ones of all samples before those that follow.
        """
        wanted: list[tuple[int, Row]] = []
        for row in rows:
            if row is None or not row.attempt or row in self:
                continue
            begun = self._rows.get(row.sample, {})
            wanted += [
                (distance, row)
                for distance in range(1, self._max_redraws - row.attempt + 1)
                if row.attempt + distance not in begun
            ]
        wanted.sort(key=lambda item: item[0])
        found = []
        for distance, row in wanted[: max(count, 0)]:
            ahead = row.attempt_after(distance)
            self._rows.setdefault(row.sample, {})[ahead.attempt] = ahead
            found.append(ahead)
        return found

    def __contains__(self, row: Row) -> bool:
        """Whether a draw is still ahead of those that count."""
        return self._rows.get(row.sample, {}).get(row.attempt) is row

    def after(self, row: Row, reason: FailureReason) -> Row | None:
        """Return the attempt that follows a rejected draw, which now counts; None if not begun."""
        following = self._rows.get(row.sample, {}).pop(row.attempt + 1, None)
        if following is not None:
            following.follow_on(row, reason)
        return following

    def drop(self, row: Row) -> set[Row]:
        """Forget and return the attempts at a sample that has its text."""
        return set(self._rows.pop(row.sample, {}).values())

    def clear(self) -> None:
        """Forget all; they are begun anew."""
        self._rows.clear()
