"""How far a run is, and how long its parts take."""

from __future__ import annotations

import time
from collections.abc import Callable

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
