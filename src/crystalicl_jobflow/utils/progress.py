"""How long the parts of a run take."""

from __future__ import annotations

import time


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
