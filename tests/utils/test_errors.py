"""One hierarchy of errors; the command line knows the classes, of libraries as well."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError
from safetensors import SafetensorError

import crystalicl_jobflow
from crystalicl_jobflow.cli._app import UserError, user_errors
from crystalicl_jobflow.generation import GenerationError
from crystalicl_jobflow.schemas import ConditionError
from crystalicl_jobflow.utils import errors
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.parallel import WorkerDiedError

SOURCE = Path(crystalicl_jobflow.__file__).parent
INNER = {"FieldError", "RequestError"}
"""Errors that become another error before a caller sees them."""


def error_classes() -> Iterator[type[Exception]]:
    """Yield the public classes of errors that the source defines."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and re.fullmatch(r"[^_]\w*Error", node.name):
                parts = path.relative_to(SOURCE.parent).with_suffix("").parts
                yield getattr(importlib.import_module(".".join(parts)), node.name)


def test_every_error_belongs_to_the_hierarchy() -> None:
    found = list(error_classes())
    assert len(found) >= 8
    for error in found:
        assert issubclass(error, CrystalICLError | click.ClickException), error


def test_the_tree_in_the_docstring_is_the_hierarchy() -> None:
    assert errors.__doc__ is not None
    rows = [line.split() for line in errors.__doc__.splitlines() if "──" in line]
    drawn = {(row[1], row[2].strip("()")) for row in rows}
    real = set()
    for error in error_classes():
        if error.__name__ in INNER | {"CrystalICLError"} or not issubclass(error, CrystalICLError):
            continue
        builtin = next(base for base in error.__mro__ if base.__module__ == "builtins")
        real.add((error.__name__, builtin.__name__))
    assert {(name.rsplit(".", 1)[1], builtin) for name, builtin in drawn} == real
    for name, _ in drawn:  # each can be imported from where the tree says
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"crystalicl_jobflow.{module}"), attribute)


@pytest.mark.parametrize(
    "error",
    [
        GenerationError("device 'cuda' was asked for"),
        ConditionError("formula CaXx3: Xx is not an element"),
        WorkerDiedError("a worker process ended"),
        ServerSelectionTimeoutError("localhost:27017: [Errno 111] Connection refused"),
        sqlite3.DatabaseError("file is not a database"),
        SafetensorError("Error while deserializing header"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_command_line_makes_one_line_of_it(error: Exception) -> None:
    with pytest.raises(UserError) as caught, user_errors():
        raise error
    assert caught.value.message == str(error)


def test_a_server_that_is_not_there_is_named_once() -> None:
    with pytest.raises(UserError) as caught, user_errors():
        MongoClient("localhost:1,127.0.0.1:2", serverSelectionTimeoutMS=300).admin.command("ping")
    words = caught.value.message
    assert words.count("localhost:1: [Errno") == words.count("127.0.0.1:2: [Errno") == 1
    assert "Topology" not in words
    assert "Timeout" not in words
    assert len(words) < 120


def test_a_fault_of_the_program_shows_itself_whatever_its_name() -> None:
    class GenerationError(Exception):  # not the package's
        pass

    with pytest.raises(GenerationError), user_errors():
        raise GenerationError("x")


def test_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(WorkerDiedError("died on mp-1")))
    assert isinstance(error, RuntimeError)
    assert str(error) == "died on mp-1"
