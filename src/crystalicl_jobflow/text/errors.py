"""The error every text format raises."""

from __future__ import annotations

from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.utils.errors import CrystalICLError


class TextError(CrystalICLError, ValueError):
    """A text is not one readable crystal, or a crystal cannot be written as text.

    Attributes
    ----------
    reason
        Reason code, for documents and counts.
    line
        Line of the text with the fault, counted from 1, or None.
    declared_group
        Number of the space group that the text states, where that could be read.
    """

    def __init__(self, reason: FailureReason, message: str, *, line: int | None = None) -> None:
        self.declared_group: int | None = None
        self.reason = reason
        self.line = line
        self.detail = message
        super().__init__(message if line is None else f"line {line}: {message}")

    def __reduce__(self) -> tuple[object, ...]:
        # keyword arguments do not survive the default pickling of exceptions
        return (_rebuild, (self.reason, self.detail, self.line, self.declared_group))


def _rebuild(
    reason: FailureReason, message: str, line: int | None, declared_group: int | None
) -> TextError:
    error = TextError(reason, message, line=line)
    error.declared_group = declared_group
    return error
