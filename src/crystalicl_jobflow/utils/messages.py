"""What an error says, in one line, for reasons and messages."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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


def driver_line(error: BaseException) -> str:
    """Return what MongoDB's driver says went wrong, once per server.

    Left out are the timeouts and the description of the whole topology, which repeats each
    server's error. A server that was not found within the time is told as it is.

    Examples
    --------
    >>> line = "db:27017: refused (configured timeouts: connectTimeoutMS: 20000.0ms), Timeout: 30s"
    >>> driver_line(OSError(f"{line}, Topology Description: <TopologyDescription id: 6b>"))
    'db:27017: refused'
    """
    words = one_line(error, limit=100_000).partition(", Topology Description:")[0]
    words = re.sub(r", Timeout: [\d.]+s$", "", words)
    words = re.sub(r" \(configured timeouts: [^()]*\)", "", words)
    return re.sub(r",(?=\S)", ", ", words)


def show_controls(text: str) -> str:
    r"""Return a text that a terminal or a browser shows and does not obey.

    Control characters, the escape character above all, and those that turn the direction of
    writing are written out (``\x1b``); tabs and new lines stay.

    Examples
    --------
    >>> print(show_controls("\x1b[31mred"))
    \x1b[31mred
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def validation_line(error: ValueError) -> str:
    """Return all complaints of a pydantic validation, or what another error says, in one line."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    lines = []
    for item in errors():
        message = item["msg"].removeprefix("Value error, ")
        place = ".".join(str(part) for part in item["loc"])
        # our own messages name the field; pydantic's do not
        named = item["type"] == "value_error" or not place
        lines.append(message if named else f"{place}: {message}")
    return "; ".join(dict.fromkeys(lines)).replace("\n", " ")


def counted(number: int, thing: str) -> str:
    """Return a number of things, ``1 crystal`` or ``1,200 crystals``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
