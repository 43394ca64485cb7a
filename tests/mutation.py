"""Small faults put into the code, one at a time: which of them does a test notice?

``python -m tests.mutation ROOM… [--sample 40] [--seed 0] [--seconds 20] [--drawn-from COMMIT]``
(needs ``pip install cosmic-ray``, whose operators make the faults) draws places in a room's
functions, makes one change at each, and runs the room's fast tests that call the function until the
first failure. Printed are the share noticed, with a 95 % interval of Wilson's for the sample, and
every fault that nobody noticed.

The tests are collected and run once without a fault, which tells who calls what. Each fault then
runs in a fork of that process: the code of the changed function is exchanged, the package's caches
are emptied, and the tests that called the function run, file by file, fast ones first, for at most
so many seconds of CPU. A test that needs many times its usual CPU counts as a failure. Not
changed are what runs at import only (constants, decorators, defaults) and annotations. A change
that is no Python, or that compiles to the same code, is no fault: another is drawn at its place.
hypothesis draws 20 examples where a test does not say otherwise. The sources are read at the
beginning: they may be edited meanwhile. With ``--drawn-from`` the places are drawn in the sources
of an earlier commit, so that the same sample can be run again after the code was mended; faults in
lines that are there no longer are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import gc
import importlib
import io
import os
import random
import signal
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import hypothesis
import pytest
from _pytest.runner import runtestprotocol
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
    "text": Room(
        ("text/*.py",),
        ("tests/text",),
        "not disturbed_texts and not one_token and not mp_20 and not other_formats",
    ),
    "constraints": Room(
        ("generation/constraints/*.py",),
        ("tests/generation/constraints",),
        "not in_the_grammar and not prototypes_are_allowed",
    ),
    "validation": Room(("validation/*.py",), ("tests/validation", "tests/test_thresholds.py")),
    "comparison": Room(("comparison/*.py",), ("tests/comparison", "tests/test_thresholds.py")),
    "candidates": Room(("candidates/*.py",), ("tests/candidates",)),
    "stores": Room(
        ("stores/*.py", "stores/sqlite/*.py"), ("tests/stores", "tests/test_security.py")
    ),
}

_LONGEST_WAIT = 300
"""Seconds after which a test that waits for ever, and needs no CPU, counts as a failure."""

_LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter")


@dataclass(frozen=True)
class Fault:
    """One change: a file, cosmic-ray's operator, and which of its places in the file."""

    path: Path
    operator: str
    occurrence: int
    line: int
    original: str = field(repr=False)

    @functools.cached_property
    def source(self) -> str:
        """The file's text now."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else ""

    @functools.cached_property
    def changed(self) -> str:
        """The file's text with the fault; as it is where the line is there no longer."""
        return self._made if self.source == self.original else self._carried_over(self._made)

    @functools.cached_property
    def codes(self) -> dict[tuple[str, int], types.CodeType]:
        """The changed functions' code, by name and line."""
        return self._differ(self.source, self.changed)

    @functools.cached_property
    def is_possible(self) -> bool:
        """Whether the change is Python, and a change."""
        return bool(self._differ(self.original, self._made))

    @functools.cached_property
    def _made(self) -> str:
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        try:
            text = mutate_code(self.original, get_operator(self.operator)(), self.occurrence)
        except AttributeError:  # cosmic-ray cannot replace an exception with a dotted name
            return self.original
        if text is None:
            raise ValueError(f"{self} cannot be made")
        return str(text)

    def _carried_over(self, text: str) -> str:
        """Make the change of the text that a fault was drawn in, in the text of now."""
        was, new, now = (t.splitlines(True) for t in (self.original, text, self.source))
        blocks = difflib.SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks()
        place_of = {b.a + k: b.b + k for b in blocks for k in range(b.size)}
        for place, (before, after) in enumerate(zip(was, new, strict=False)):
            if before != after:
                if place not in place_of:
                    return self.source
                now[place_of[place]] = after
        return "".join(now)

    def _differ(self, before: str, after: str) -> dict[tuple[str, int], types.CodeType]:
        was, new = self._compiled(before), self._compiled(after)
        return {place: code for place, code in new.items() if was.get(place, code) != code}

    def _compiled(self, text: str) -> dict[tuple[str, int], types.CodeType]:
        try:
            with warnings.catch_warnings(action="ignore"):
                module = compile(text, str(self.path), "exec")
        except SyntaxError:
            return {}
        return {(code.co_qualname, code.co_firstlineno): code for code in _codes(module)}


def faults(path: Path, text: str) -> dict[tuple[int, int], list[Fault]]:
    """Return the faults that can be made in a file's functions, by line and column.

    Parameters
    ----------
    path, text
        The file, and what it holds, now or in an earlier commit.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    names = [name for name in operator_names() if not name.endswith(_LEFT_OUT)]
    found: dict[tuple[int, int], list[Fault]] = {}
    nodes = list(ast_nodes(get_ast(text)))
    for name in names:
        operator = get_operator(name)()
        occurrence = 0
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                if _runs_later(node):
                    fault = Fault(path, name, occurrence, line, text)
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


def sources(room: Room, commit: str) -> dict[Path, str]:
    """Return a room's files with their texts, in a commit or, without one, now."""
    package = SOURCE / "crystalicl_jobflow"
    if not commit:
        files = sorted({path for pattern in room.sources for path in package.glob(pattern)})
        return {path: path.read_text(encoding="utf-8") for path in files}

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout

    names = git("ls-tree", "-r", "--name-only", commit, "src/crystalicl_jobflow").splitlines()
    patterns = [f"src/crystalicl_jobflow/{pattern}" for pattern in room.sources]
    names = sorted(n for n in names if any(PurePosixPath(n).match(p) for p in patterns))
    return {ROOT / name: git("show", f"{commit}:{name}") for name in names}


def draw(texts: dict[Path, str], sample: int, seed: str) -> list[Fault]:
    """Draw places in the functions of files, and one fault at each.

    Parameters
    ----------
    texts
        As `sources` returns them.
    sample
        Number of places.
    seed
        Of the drawing.
    """
    chance = random.Random(seed)
    places = [
        choices for path, text in texts.items() for _, choices in sorted(faults(path, text).items())
    ]
    drawn = chance.sample(places, min(sample, len(places)))
    chosen = [chance.choice(choices) for choices in drawn]
    return [
        fault if fault.is_possible else _another(choices, places, f"{seed} {fault}")
        for fault, choices in zip(chosen, drawn, strict=True)
    ]


def _another(choices: list[Fault], places: list[list[Fault]], seed: str) -> Fault:
    """Return another fault of a place, or of another place where it has none."""
    chance = random.Random(seed)
    for others in (choices, *chance.sample(places, len(places))):
        possible = [fault for fault in others if fault.is_possible]
        if possible:
            return chance.choice(possible)
    raise ValueError("no fault can be made")


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def exchange(fault: Fault) -> None:
    """Give the functions that a fault changes their changed code."""
    for item in gc.get_objects():
        if isinstance(item, types.FunctionType) and item.__code__.co_filename == str(fault.path):
            code = fault.codes.get((item.__code__.co_qualname, item.__code__.co_firstlineno))
            if code is not None and len(code.co_freevars) == len(item.__code__.co_freevars):
                item.__code__ = code


def _caches() -> list[Any]:
    return [
        item
        for item in gc.get_objects()
        if isinstance(item, functools._lru_cache_wrapper)
        and str(item.__module__).startswith("crystalicl_jobflow")
    ]


class Mutation:
    """A plugin of pytest that runs the tests once, and then with each fault in a fork.

    Parameters
    ----------
    sample
        The faults.
    seconds
        CPU of the tests of one fault, at most.
    output
        Where faults are written that no test notices.
    """

    def __init__(self, sample: list[Fault], seconds: float, output: TextIO) -> None:
        self.sample = sample
        self.seconds = seconds
        self.output = output
        self.noticed = 0
        self.needed: dict[str, float] = {}
        self.called: dict[str, set[tuple[str, int]]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        caches = _caches()
        for place, item in enumerate(session.items):
            following = session.items[place + 1] if place + 1 < len(session.items) else None
            self._run_once(item, following)
            if following is None or following.path != item.path:
                for cache in caches:
                    cache.cache_clear()
        for fault in self.sample:
            if self._is_noticed(fault, session.items):
                self.noticed += 1
            else:
                self._report(fault)
        return True

    def _run_once(self, item: pytest.Item, following: pytest.Item | None) -> None:
        called = self.called[item.nodeid] = set()

        def note(frame: types.FrameType, event: str, value: object) -> None:
            called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        before = time.process_time()
        sys.settrace(note)
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
        finally:
            sys.settrace(None)
        self.needed[item.nodeid] = time.process_time() - before
        for report in reports:
            if report.failed:
                sys.exit(f"{item.nodeid} fails without a fault: {report.longreprtext}")

    def _is_noticed(self, fault: Fault, items: list[pytest.Item]) -> bool:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                exchange(fault)
                for cache in _caches():
                    cache.cache_clear()
                status = int(self._fails(self._likely(fault, items)))
            finally:
                os._exit(status)
        _, state = os.waitpid(child, 0)
        return state != 0

    def _likely(self, fault: Fault, items: list[pytest.Item]) -> list[pytest.Item]:
        functions = {(str(fault.path), line) for _, line in fault.codes}
        likely = [item for item in items if functions & self.called[item.nodeid]]
        of_file: dict[Path, float] = {}
        for item in likely:
            of_file[item.path] = of_file.get(item.path, 0.0) + self.needed[item.nodeid]
        likely.sort(key=lambda i: (of_file[i.path], str(i.path), self.needed[i.nodeid]))
        return likely

    def _fails(self, items: list[pytest.Item]) -> bool:
        left = self.seconds
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            needed = self.needed[item.nodeid]
            left -= needed
            if left < 0:
                break
            signal.setitimer(signal.ITIMER_PROF, 5 + 5 * needed)
            signal.alarm(_LONGEST_WAIT)
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                return True
        return False

    def _report(self, fault: Fault) -> None:
        old, new = fault.source.splitlines(), fault.changed.splitlines()
        place = f"{fault.path.relative_to(SOURCE)}:{fault.line}"
        for was, now in zip(old, new, strict=False):
            if was != now:
                print(f"  {place}: {was.strip()}  ->  {now.strip()}", file=self.output, flush=True)
                return


def main(arguments: list[str] | None = None) -> None:
    """Run the sample of each room that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="+", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--drawn-from", default="", metavar="COMMIT")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    output = os.fdopen(os.dup(1), "w")
    # a machine that is busy is no reason for a test to fail
    hypothesis.settings.register_profile(
        "mutation",
        deadline=None,
        max_examples=20,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for name in options.rooms:
        room = ROOMS[name]
        for pattern in room.sources:
            for path in sorted((SOURCE / "crystalicl_jobflow").glob(pattern)):
                importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
        drawn = draw(sources(room, options.drawn_from), options.sample, f"{options.seed} {name}")
        sample = [fault for fault in drawn if fault.codes]
        mutation = Mutation(sample, options.seconds, output)
        words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
        words += ["-k", room.chosen] if room.chosen else []
        words += ["--hypothesis-seed=0", "--hypothesis-profile=mutation", *room.tests]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = pytest.main(words, plugins=[mutation])
        if status != 0:
            sys.exit(f"{name}: the tests could not be run: {said.getvalue()}")
        gone = f", {len(drawn) - len(sample)} places are gone" if len(sample) < len(drawn) else ""
        interval = binomtest(mutation.noticed, len(sample)).proportion_ci(method="wilson")
        print(
            f"{name}: {mutation.noticed} of {len(sample)} noticed,"
            f" {100 * interval.low:.0f} to {100 * interval.high:.0f} %"
            f" (seed {options.seed}, tests {sum(mutation.needed.values()):.0f} s{gone})",
            file=output,
            flush=True,
        )


if __name__ == "__main__":
    main()
