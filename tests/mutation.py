"""Small faults put into the code, one at a time: which of them does a test notice?

``python -m tests.mutation ROOM… [--sample 40] [--seed 0]`` (needs ``pip install cosmic-ray``, whose
operators make the faults) draws places in a room's functions, makes one change at each, and runs
the room's fast tests until the first failure. Printed are the share noticed, with a 95 % interval
of Wilson's for the sample, and every fault that nobody noticed.

Each fault runs in a fork of this process, in which everything is imported and the tests have
passed once; the code of the changed function is exchanged there and the package's caches are
emptied. Not changed are what runs at import only (constants, decorators, defaults) and annotations.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib
import io
import os
import random
import resource
import signal
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Room:
    """Sources, as patterns below the package, and the tests that cover them."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    chosen: str = ""


ROOMS = {
    "redaction": Room(
        ("utils/redaction.py",), ("tests/test_secrets.py",), "not command and not TestDocuments"
    ),
    "text": Room(("text/*.py",), ("tests/text",), "not disturbed_texts and not one_token"),
    "constraints": Room(("generation/constraints/*.py",), ("tests/generation/constraints",)),
    "validation": Room(("validation/*.py",), ("tests/validation", "tests/test_thresholds.py")),
    "comparison": Room(("comparison/*.py",), ("tests/comparison", "tests/test_thresholds.py")),
    "candidates": Room(("candidates/*.py",), ("tests/candidates",)),
    "stores": Room(
        ("stores/*.py", "stores/sqlite/*.py"), ("tests/stores", "tests/test_security.py")
    ),
}

_LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter")


@dataclass(frozen=True)
class Fault:
    """One change: a file, cosmic-ray's operator, and which of its places in the file."""

    path: Path
    operator: str
    occurrence: int
    line: int


def faults(path: Path) -> dict[tuple[int, int], list[Fault]]:
    """Return the faults that can be made in a file's functions, by line and column."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    names = [name for name in operator_names() if not name.endswith(_LEFT_OUT)]
    found: dict[tuple[int, int], list[Fault]] = {}
    nodes = list(ast_nodes(get_ast(path.read_text(encoding="utf-8"))))
    for name in names:
        operator = get_operator(name)()
        occurrence = 0
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                if _runs_later(node):
                    fault = Fault(path, name, occurrence, line)
                    found.setdefault((line, column), []).append(fault)
                occurrence += 1
    return found


def _runs_later(node: Any) -> bool:
    """Whether a node is in a function's body, not in an annotation or default."""
    inside = False
    while node is not None and node.parent is not None:
        parent = node.parent
        if parent.type == "annassign" and node is parent.children[1]:
            return False
        if parent.type in ("funcdef", "lambdef"):
            if node is not parent.children[-1]:
                return False
            inside = inside or parent.type == "funcdef"
        node = parent
    return inside


def draw(room: Room, sample: int, seed: str) -> list[Fault]:
    """Draw places in a room's functions, and one fault at each."""
    chance = random.Random(seed)
    files = sorted({p for s in room.sources for p in (SOURCE / "crystalicl_jobflow").glob(s)})
    places = [choices for path in files for _, choices in sorted(faults(path).items())]
    drawn = chance.sample(places, min(sample, len(places)))
    return [chance.choice(choices) for choices in drawn]


def changed_source(fault: Fault) -> str:
    """Return the file's text with the fault."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = fault.path.read_text(encoding="utf-8")
    text = mutate_code(source, get_operator(fault.operator)(), fault.occurrence)
    if text is None:
        raise ValueError(f"{fault} cannot be made")
    return str(text)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def exchange(path: Path, changed: str) -> int:
    """Give the functions of a file the code of its changed text; return how many changed."""
    source = path.read_text(encoding="utf-8")
    was, new = (list(_codes(compile(text, str(path), "exec"))) for text in (source, changed))
    differ = {
        (old.co_qualname, old.co_firstlineno): code
        for old, code in zip(was, new, strict=True)
        if old != code
    }
    number = 0
    for item in gc.get_objects():
        if isinstance(item, types.FunctionType) and item.__code__.co_filename == str(path):
            code = differ.get((item.__code__.co_qualname, item.__code__.co_firstlineno))
            if code is not None and len(code.co_freevars) == len(item.__code__.co_freevars):
                item.__code__ = code
                number += 1
    return number


def empty_caches() -> None:
    """Forget what functions of the package have computed before."""
    for item in gc.get_objects():
        if isinstance(item, functools._lru_cache_wrapper) and str(item.__module__).startswith(
            "crystalicl_jobflow"
        ):
            item.cache_clear()


def run_tests(room: Room) -> int:
    """Run a room's fast tests in this process; return pytest's exit status."""
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    chosen = ["-k", room.chosen] if room.chosen else []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*arguments, *chosen, "--hypothesis-seed=0", *room.tests]))


def is_noticed(room: Room, fault: Fault, *, seconds: int) -> bool:
    """Run the tests with a fault, in a fork that has so many seconds of CPU."""
    changed = changed_source(fault)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            exchange(fault.path, changed)
            empty_caches()
            status = run_tests(room)
        finally:
            os._exit(0 if status == 0 else 1)
    _, state = os.waitpid(child, 0)
    return state != 0


def main(arguments: list[str] | None = None) -> None:
    """Run the sample of each room that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="+", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    for name in options.rooms:
        room = ROOMS[name]
        for pattern in room.sources:
            for path in sorted((SOURCE / "crystalicl_jobflow").glob(pattern)):
                importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
        before = resource.getrusage(resource.RUSAGE_SELF)
        if run_tests(room) != 0:
            sys.exit(f"{name}: the tests fail without a fault")
        after = resource.getrusage(resource.RUSAGE_SELF)
        needed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        sample = draw(room, options.sample, f"{options.seed} {name}")
        noticed = 0
        for fault in sample:
            if is_noticed(room, fault, seconds=20 + int(4 * needed)):
                noticed += 1
            else:
                old = fault.path.read_text(encoding="utf-8").splitlines()
                new = changed_source(fault).splitlines()
                place = f"{fault.path.relative_to(SOURCE)}:{fault.line}"
                pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b][:1]
                for a, b in pairs:
                    print(f"  {place}: {a.strip()}  ->  {b.strip()}", flush=True)
        interval = binomtest(noticed, len(sample)).proportion_ci(method="wilson")
        print(
            f"{name}: {noticed} of {len(sample)} noticed,"
            f" {100 * interval.low:.0f} to {100 * interval.high:.0f} %"
            f" (seed {options.seed}, tests {needed:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
