"""What an error says, in one line, for reasons and messages.

Lies below the rooms, beside the settings.
"""

from __future__ import annotations


def one_line(error: BaseException, *, limit: int = 200) -> str:
    """Return all that an error says with white space as single spaces; its kind if nothing.

    Parameters
    ----------
    error
        Any error; those of libraries have lines, and some say nothing.
    limit
        Most characters; the rest is cut off.
    """
    return " ".join(str(error).split())[:limit] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
