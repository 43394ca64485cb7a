"""Numbers as people give them."""

from __future__ import annotations

from operator import index
from typing import Any


def whole_number(value: Any, name: str, *, least: int | None = 1) -> int:
    """Return a number that has to be whole, as Python's or another library's integers are.

    Parameters
    ----------
    value
        What was given.
    name
        What it is, for the message.
    least
        Smallest number that is allowed; None for any.

    Raises
    ------
    ValueError
        If it is a text, a fraction, a truth value, None, or too small; one line.

    Examples
    --------
    >>> whole_number("8", "samples")
    Traceback (most recent call last):
    ...
    ValueError: samples must be a whole number, got '8'
    """
    number: int | None
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if least is not None and number < least:
        range_words = "0 or more" if least == 0 else f"at least {least}"
        raise ValueError(f"{name} must be {range_words}, got {number}")
    return number
