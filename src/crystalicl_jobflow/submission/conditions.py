"""What is asked for, from a file or written down in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalicl_jobflow.schemas import Condition, ConditionError
from crystalicl_jobflow.submission.yaml_text import (
    FieldError,
    FlowFileError,
    Place,
    YamlText,
    unknown,
)


def read_conditions(value: Any, place: Place = ("conditions",)) -> list[Condition]:
    """Return conditions from one or several, or from a file of them.

    Parameters
    ----------
    value
        A mapping of a condition's fields, JSON, or a list of either; or the name of a
        ``.json``, ``.jsonl`` or ``.yaml`` file that holds such.
    place
        Where the value stands, for errors.

    Raises
    ------
    FieldError
        If a condition is impossible or cannot be read, or none is there.
    """
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return _from_file(value, place)
    single = not isinstance(value, list)
    items = [value] if single else value
    if not items:
        raise FieldError(place, "not one condition; {} asks for any crystal")
    return [
        _condition(item, place if single else (*place, number)) for number, item in enumerate(items)
    ]


def _condition(item: Any, place: Place) -> Condition:
    if isinstance(item, str) and not item.lstrip().startswith("{"):
        raise FieldError(place, f"{item!r} is no condition; write 'formula: {item}'")
    if not isinstance(item, str | Mapping):
        raise FieldError(place, "a condition is a mapping, e.g. 'formula: CaTiO3'")
    if isinstance(item, Mapping):
        for name in item:
            if name not in Condition.model_fields:
                raise FieldError((*place, name), unknown(name, Condition.model_fields))
    try:
        return Condition.parse(item)
    except ConditionError as error:
        raise FieldError(place, str(error)) from None


def _from_file(name: str, place: Place) -> list[Condition]:
    path = Path(name).expanduser()
    if not path.is_file():
        raise FieldError(place, f"{name} does not exist")
    kind = path.suffix.lower()
    try:
        if kind == ".jsonl":
            return _from_lines(path)
        if kind == ".json":
            return _inside(path, json.loads(path.read_text(encoding="utf-8")))
        if kind in (".yaml", ".yml"):
            text = YamlText(path)
            _refuse_names(path, text.content)
            try:
                return read_conditions(text.content, ())
            except FieldError as error:
                raise text.error(error.place, error.message) from None
    except FlowFileError as error:
        raise FieldError(place, str(error)) from None
    except ValueError as error:
        raise FieldError(place, f"{name} cannot be read: {error}") from None
    raise FieldError(place, f"{name}: conditions are in a .json, .jsonl or .yaml file")


def _from_lines(path: Path) -> list[Condition]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(_condition(line, ()))
        except FieldError as error:
            raise FlowFileError(f"{path}, line {number}: {error.message}") from None
    if not found:
        raise FlowFileError(f"{path}: not one condition")
    return found


def _refuse_names(path: Path, content: Any) -> None:
    if not isinstance(content, Mapping | list):
        raise FlowFileError(f"{path} holds no conditions")


def _inside(path: Path, content: Any) -> list[Condition]:
    _refuse_names(path, content)
    try:
        return read_conditions(content, ())
    except FieldError as error:
        where = [f"condition {part + 1}" if isinstance(part, int) else part for part in error.place]
        raise FlowFileError(", ".join([str(path), *where]) + f": {error.message}") from None
