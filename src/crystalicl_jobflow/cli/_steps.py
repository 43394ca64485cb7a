"""Jobs that run in this process, shown as lines of progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from crystalicl_jobflow.cli._common import note
from crystalicl_jobflow.redaction import redact


def lap(started: float) -> float:
    """Return the seconds since a reading of ``time.perf_counter``, in ms steps."""
    return round(time.perf_counter() - started, 3)


class _StepLines(logging.Handler):
    """Prints the start and the end of each job, and what it says in between."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__(logging.INFO)
        self.seconds = seconds
        self.started = time.perf_counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line to stderr."""
        message = record.getMessage()
        action, _, rest = message.partition(" job - ")
        name = rest.rpartition(" (")[0]
        failed, _, trace = message.partition(" failed with exception:")
        if not record.name.startswith("jobflow"):
            note(f"  {message}")
        elif action == "Starting":
            self.started = time.perf_counter()
            note(f"  {name} ...")
        elif action == "Finished":
            self.seconds[name] = lap(self.started)
            note(f"  {name} done ({self.seconds[name]:.1f} s)")
        elif trace:
            lines = [line for line in trace.splitlines() if line.strip()]
            note(redact(f"  {failed} failed: {lines[-1]}"))


@contextmanager
def step_lines(seconds: dict[str, float]) -> Iterator[None]:
    """Show the jobs' log as lines of progress.

    Parameters
    ----------
    seconds
        Gets the wall time of each job that ends well, by name.
    """
    handler = _StepLines(seconds)
    loggers = [logging.getLogger("jobflow"), logging.getLogger("crystalicl_jobflow")]
    before = [(logger.level, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        # only this handler: any other would print jobflow's traces with the passwords in them
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
