"""The decorator of this package's jobs, which leave their order and the time of their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, overload

import jobflow
from jobflow import CURRENT_JOB, Flow, Job, Maker
from pymatgen.core import Structure

from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.schemas.stored_candidate import ENDED_AT, FOLLOWS

P = ParamSpec("P")

DOCUMENT_MARKS = frozenset({"condition", "@class", "@module"})
"""Keys that tell a document from the fields of a condition."""

MAX_NAME = 60
"""Most characters that a job's name gets of what is asked for."""

RUN = "run"
"""Metadata of a job: the run that it belongs to."""


@overload
def crystal_job(method: Callable[P, Any]) -> Callable[P, Job]: ...


@overload
def crystal_job(
    method: None = None, **options: Any
) -> Callable[[Callable[P, Any]], Callable[P, Job]]: ...


def crystal_job(method: Callable[..., Any] | None = None, **options: Any) -> Any:
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


def asked_words(conditions: Any, samples: int | None = None) -> str | None:
    """Return what is asked for as a job's name tells it, such as "CaTiO3 221 ×8".

    Parameters
    ----------
    conditions
        A condition or several, in any form that `Condition.parse` reads.
    samples
        Texts per condition; None where nothing is written.

    Returns
    -------
    str or None
        None where something else is given, such as a reference to another job.
    """
    labels = _labels(conditions)
    if not labels:
        return None
    words = labels[0].replace(", group ", " ")
    if len(words) > MAX_NAME:
        words = f"{words[: MAX_NAME - 1]}…"
    if len(labels) > 1:
        words += f" and {len(labels) - 1} more"
    return words if samples is None else f"{words} ×{samples}"


def _labels(conditions: Any) -> list[str]:
    asked = list(conditions) if isinstance(conditions, list | tuple) else [conditions]
    plain = Condition | str | Structure
    if not all(
        isinstance(item, plain) or (isinstance(item, Mapping) and not item.keys() & DOCUMENT_MARKS)
        for item in asked
    ):
        return []
    read = [Condition.parse(item) for item in asked]
    # nothing asked is nothing to tell
    return [item.label() for item in read] if any(map(_says_something, read)) else []


def _says_something(condition: Condition) -> bool:
    return condition != Condition()


def add_to_name(job: Job, maker: Maker, words: str | None) -> None:
    """Let a job's name tell what is asked for, unless its Maker has a name of the user's own.

    Parameters
    ----------
    job
        The job of the Maker.
    maker
        The Maker.
    words
        What is asked for; None changes nothing.
    """
    if words is not None and job.name == maker.name == type(maker).name:
        job.name = f"{job.name} {words}"


def mark_run(flow: Flow, conditions: Any) -> Flow:
    """Write into the metadata of all jobs of a Flow which run they belong to, and tags.

    Jobs that are made while others run get them, too. ``run`` is the id of the Flow, until
    the user's own ``flow.update_metadata({"run": …})``; ``tags`` are the conditions in words.

    Parameters
    ----------
    flow
        The Flow.
    conditions
        What is asked for, see :func:`asked_words`.
    """
    marks: dict[str, str | Sequence[str]] = {RUN: flow.uuid}
    labels = list(dict.fromkeys(_labels(conditions)))
    if 0 < len(labels) <= MAX_TAGS:
        marks["tags"] = labels
    flow.update_metadata(marks)
    return flow


MAX_TAGS = 10
"""Most conditions that become tags; a run of more has none."""
