"""The decorator of this package's jobs, which leave their order and the time of their end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import jobflow
from jobflow import CURRENT_JOB, Job

from crystalicl_jobflow.schemas.stored_candidate import ENDED_AT, FOLLOWS


def crystal_job(method: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Make a function or a Maker's method a job, as ``jobflow.job`` does.

    The job's metadata say which jobs it reads (``follows``), and, once it has run, when it
    ended in UTC (``ended_at``): the job store keeps neither the graph of the Flow nor the zone of
    the worker, and without them nobody can tell which of two results is the later one.

    Parameters
    ----------
    method
        The function; None where the decorator is called with options.
    **options
        Of ``jobflow.job``: ``output_schema``, ``data``, ``config``, ``name``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            current = CURRENT_JOB.job
            if current is not None:
                current.metadata[ENDED_AT] = datetime.now(UTC).isoformat(timespec="milliseconds")
            return result

        build = jobflow.job(run, **options)

        @wraps(function)
        def make(*args: Any, **kwargs: Any) -> Job:
            made: Job = build(*args, **kwargs)
            made.metadata[FOLLOWS] = sorted(made.input_uuids)
            return made

        make.original = run  # type: ignore[attr-defined]  # where jobflow looks for it
        return make

    return decorate if method is None else decorate(method)
