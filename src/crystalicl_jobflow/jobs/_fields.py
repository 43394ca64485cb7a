"""Whether a Maker's fields hold what they say, found out before a job waits in a queue."""

from __future__ import annotations

import dataclasses
import types
import typing
from numbers import Real
from operator import index
from pathlib import Path
from typing import Any

from jobflow import Maker, OutputReference
from pydantic import ValidationError

from crystalicl_jobflow.schemas import TreeSearch
from crystalicl_jobflow.utils.messages import validation_line

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    types.NoneType: "None",
}


def check_fields(maker: Maker) -> None:
    """Refuse a value of another kind in a Maker's fields of numbers and texts.

    Parameters
    ----------
    maker
        The Maker; what its other fields hold is not looked at.

    Raises
    ------
    ValueError
        With the field's name and what it takes; one line.
    """
    try:
        hints = typing.get_type_hints(type(maker))
    except NameError:  # a name that is imported for type checkers only
        return
    for field in dataclasses.fields(maker):
        hint, value = hints[field.name], getattr(maker, field.name)
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = typing.get_args(hint) if union else (hint,)
        if not all(kind in _WORDS for kind in kinds) or isinstance(value, OutputReference):
            continue
        if not any(_is_of(value, kind) for kind in kinds):
            words = " or ".join(_WORDS[kind] for kind in kinds)
            raise ValueError(f"{field.name} must be {words}, got {value!r}")


def _is_of(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        try:
            index(value)
        except TypeError:
            return False
        return True
    if kind is float:
        return isinstance(value, Real)
    return isinstance(value, str | Path) if kind is str else value is None


def as_search(fields: dict[str, Any]) -> TreeSearch:
    """Return the search with some fields.

    Raises
    ------
    ValueError
        If one does not exist or cannot be; one line.
    """
    try:
        return TreeSearch(**fields)
    except ValidationError as error:
        raise ValueError(f"search: {validation_line(error)}") from None
