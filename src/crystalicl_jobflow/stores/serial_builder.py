"""A Builder whose run in this process leaves the program's logging alone."""

from __future__ import annotations

import logging
from typing import Any

from maggma.core import Builder


class SerialBuilder(Builder):
    """A Builder to be run in the process that made it, not only by ``mrun``.

    maggma's own ``run`` sets the root logger to DEBUG and gives it one more handler each time:
    whatever a program logs afterwards appears on its stdout, as often as it ran builders.
    """

    def run(self, log_level: int = logging.WARNING) -> None:
        """Build what is new.

        Parameters
        ----------
        log_level
            Level of this Builder's own logger.
        """
        self.logger.setLevel(log_level)
        self.connect()  # type: ignore[no-untyped-call]  # of maggma
        chunk: list[Any] = []
        for item in self.get_items():
            chunk.append(self.process_item(item))
            if len(chunk) >= self.chunk_size and self.is_large_enough(chunk):
                self.update_targets(chunk)
                chunk = []
        if chunk:
            self.update_targets(chunk)
        self.finalize()  # type: ignore[no-untyped-call]  # of maggma

    def is_large_enough(self, chunk: list[Any]) -> bool:  # noqa: ARG002 (for those that count)
        """Return whether a chunk of ``chunk_size`` items or more is worth a write."""
        return True
