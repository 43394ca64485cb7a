"""YAML as people mean it, with the line of every field for messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from crystalicl_jobflow.utils.errors import CrystalICLError

Place = tuple[str | int, ...]
"""Keys and indices from the top of a file down to a value."""


class FieldError(CrystalICLError, ValueError):
    """Something wrong with one field; becomes a line that names file and line.

    Parameters
    ----------
    place
        Where the field is.
    message
        What is wrong with it.
    """

    def __init__(self, place: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.place: Place = tuple(place)
        self.message = message


class FlowFileError(CrystalICLError, ValueError):
    """A file that describes no Flow; the message is one line with file, line and field."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """SafeLoader with the plain values of YAML 1.2's core schema.

    In YAML 1.1, which PyYAML reads, ``2:20`` is 140 (sexagesimal), ``NO`` is false and
    ``1e-5`` a text: a range of atoms, nitric oxide and a learning rate.
    """


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
        r"|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # '010' is ten, not eight


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


class YamlText:
    """A YAML file that was read: its content, and where each part of it stands.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FlowFileError
        If it does not exist, is no YAML, or names a field twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise FlowFileError(f"{self.path} does not exist") from None
        except (OSError, UnicodeDecodeError) as error:
            raise FlowFileError(f"{self.path} cannot be read: {error}") from None
        loader = _Loader(text)
        try:
            self.root = loader.get_single_node()
            self._refuse_repeats(self.root, ())
            self.content: Any = None if self.root is None else loader.construct_document(self.root)
        except yaml.YAMLError as error:
            raise FlowFileError(f"{self.path}{_where(error)}: no YAML: {_what(error)}") from None
        except FieldError as error:
            raise self.error(error.place, error.message) from None
        finally:
            loader.dispose()

    def error(self, place: Sequence[str | int], message: str) -> FlowFileError:
        """Return the error of a field: file, line, field and message in one line."""
        line = self.line(place)
        field = ".".join(str(part) for part in place)
        parts = [str(self.path) if line is None else f"{self.path}, line {line}"]
        return FlowFileError(": ".join([*parts, *([field] if field else []), message]))

    def line(self, place: Sequence[str | int]) -> int | None:
        """Return the line of a field, or of what it is in where it is not there; from 1."""
        node, line = self.root, None
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def _refuse_repeats(self, node: yaml.Node | None, place: Place) -> None:
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._refuse_repeats(item, (*place, index))
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice, first in line {seen[key.value]}",
                    problem_mark=key.start_mark,
                )
            seen[key.value] = line
            self._refuse_repeats(value, (*place, key.value))


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}"


def _what(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None)
    return " ".join(str(problem or error).split())


def unknown(name: str, known: Iterable[str], *, what: str = "field") -> str:
    """Return the words for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if near:
        return f"there is no such {what}; did you mean {near[0]}?"
    return f"there is no such {what}; there are {', '.join(names)}"
