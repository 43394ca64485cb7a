"""A command that is killed: `python killed_command.py WHAT NUMBER ARGUMENTS…` runs crystalicl with
a generator that recites, and kills itself without warning at the event of this number, from 1; 0
lets it finish. Events (WHAT): `text`, before a text is written by the model; `write`, half-way in
a write to a database; `rename`, when a file has been written but is not in its place."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystalicl_jobflow import generation
from crystalicl_jobflow.benchmarks import sample_texts
from crystalicl_jobflow.cli import main
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from reciting import RecitingGenerator


def killing(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return a function that kills this process at its call of a number."""
    calls = count(1)

    def called(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return called


def putting_half(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return a function that writes half of the documents of its call of a number, and dies."""
    calls = count(1)

    def called(store: SQLiteStore, documents: list[Any]) -> Any:
        if next(calls) == number:
            function(store, documents[: len(documents) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return function(store, documents)

    return called


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2])
    generation.load_generator = lambda *_args, **_options: RecitingGenerator()
    sample_texts.part_size = lambda *_args, **_options: 1
    if what == "text":
        RecitingGenerator._sample = killing(RecitingGenerator._sample, number)
    elif what == "rename":
        Path.replace = killing(Path.replace, number)
    else:
        SQLiteStore.put_many = putting_half(SQLiteStore.put_many, number)
    sys.argv = ["crystalicl", *sys.argv[3:]]
    main()
