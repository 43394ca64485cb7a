"""How far a run is, and how long its parts take."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[int, int], None]
"""Called with how many items are done and how many there are."""

StageProgress = Callable[[str, int, int | None], None]
"""Called with what is being done, how many items of it are done and how many there are; None
where that is not known."""


class Clock:
    """Wall seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def skip(self) -> None:
        """Begin a lap here."""
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap under this name."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now


LOADING = "Loading the model"
"""Stage of a run, as people are shown it."""

_WITH_TOTAL = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
_WITHOUT_TOTAL = "{desc} [{elapsed}]"


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return found is not None and type(found).__name__ == "ZMQInteractiveShell"


def is_watched() -> bool:
    """Return whether a person sees this process work: in a notebook, or on a terminal."""
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def unseen(_what: str, _done: int, _total: int | None = None) -> None:
    """Show nothing of how far a run is."""


@contextmanager
def progress_bar() -> Iterator[StageProgress]:
    """Show how far a run is as one bar, in a notebook or on a terminal; nothing elsewhere.

    The bar tells the stage that is going on, and is gone at the end. ``TQDM_DISABLE=1`` turns it
    off.

    Yields
    ------
    callable
        To be called with (what, done, total); a total of None is unknown.
    """
    if not is_watched():
        yield unseen
        return
    bars: list[Any] = []
    shown = ""

    def report(what: str, done: int, total: int | None = None) -> None:
        nonlocal shown
        if not bars:
            bars.append(_new_bar(what, total))
        bar = bars[0]
        if what != shown:
            shown = what
            bar.bar_format = _bar_format(total)
            bar.set_description_str(what, refresh=False)
            bar.reset(total)
        bar.n = done
        bar.refresh()

    try:
        yield report
    finally:
        for bar in bars:
            bar.close()


def _bar_format(total: int | None) -> str:
    return _WITHOUT_TOTAL if total is None else _WITH_TOTAL


def _new_bar(what: str, total: int | None) -> Any:
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # without ipywidgets the bar is text, which needs no warning
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

        return tqdm(
            desc=what,
            total=total,
            leave=False,
            dynamic_ncols=True,
            bar_format=_bar_format(total),
            file=sys.stderr,
        )


@contextmanager
def above_the_bar() -> Iterator[None]:
    """Print lines where a bar may be shown: they stand above it, and do not break it."""
    if "tqdm" not in sys.modules:
        yield
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        yield
