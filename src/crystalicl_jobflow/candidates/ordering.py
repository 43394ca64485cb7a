"""Which of two jobs is the later one: by what they read and their index, then by time in UTC."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from crystalicl_jobflow.schemas.stored_candidate import ENDED_AT

JobKey = tuple[str, int]
"""Uuid and index of a job."""

Origins = Iterable[Mapping[str, Any]]

_START = datetime(1, 1, 1)
"""Where no time is known; naive, as all times here, which are in UTC."""


def job_key(origin: Mapping[str, Any]) -> JobKey:
    """Return what names one job: two outputs with the same key are two runs of it."""
    return str(origin["job_uuid"]), int(origin.get("job_index") or 1)


def short_origin(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the entries of a document repeat of an origin: which job, and its end."""
    return {name: origin[name] for name in _SHORT if name in origin}


_SHORT = ("name", "job_uuid", "job_index", "job_name", "completed_at", "ended_at")


def as_moment(value: Any) -> datetime | None:
    """Return a time as databases hold it: UTC, naive, whole milliseconds; None for none."""
    if isinstance(value, Mapping):  # monty's and bson's JSON forms
        value = value.get("string") or value.get("$date")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def end_in_utc(document: Mapping[str, Any], zone: ZoneInfo | None = None) -> datetime | None:
    """Return when a job ended, in UTC, where that can be known.

    Parameters
    ----------
    document
        The document of a job store. jobflow itself writes the worker's local time without its
        zone. What counts before it: the time that the jobs of this package leave in their
        metadata, and the ``last_updated`` of emmet's documents, which is in UTC.
    zone
        Zone of the workers of all other jobs; None where it is not known.

    Returns
    -------
    datetime or None
        Naive, in UTC.
    """
    stamped = as_moment((document.get("metadata") or {}).get(ENDED_AT))
    if stamped is not None:
        return stamped
    written = document.get("completed_at")
    try:
        local = datetime.fromisoformat(str(written))
    except ValueError:
        local = None
    if local is not None and local.tzinfo is not None:
        return as_moment(local)
    output = document.get("output")
    if isinstance(output, Mapping) and str(output.get("@module", "")).startswith("emmet."):
        updated = as_moment(output.get("last_updated"))
        if updated is not None:
            return updated
    return None if local is None or zone is None else as_moment(local.replace(tzinfo=zone))


def moment(origin: Mapping[str, Any]) -> datetime:
    """Return the time by which jobs are compared that the Flow leaves open.

    That is in UTC where the zone is known; else the time as the worker wrote it.
    """
    return as_moment(origin.get("ended_at")) or as_moment(origin.get("completed_at")) or _START


def ranks(origins: Origins) -> dict[JobKey, int]:
    """Return the order of jobs: a job comes after those whose outputs it has read.

    Parameters
    ----------
    origins
        The jobs, each once or more often.

    Returns
    -------
    dict
        Job → its place. First count index (of the same uuid) and what a job has read, directly
        or through others that are given; between jobs of which neither says anything, the
        time. The order in which they are given makes no difference.
    """
    known = {job_key(origin): origin for origin in origins}
    after, waits = _edges(known)
    ready = [(_by_time(known[key]), key) for key in known if not waits[key]]
    heapq.heapify(ready)
    placed: dict[JobKey, int] = {}
    while ready:
        _, key = heapq.heappop(ready)
        placed[key] = len(placed)
        for later in after[key]:
            waits[later] -= 1
            if not waits[later]:
                heapq.heappush(ready, (_by_time(known[later]), later))
    # a circle cannot come from a Flow; what claims one is ordered by time
    for key in sorted(known.keys() - placed.keys(), key=lambda key: _by_time(known[key])):
        placed[key] = len(placed)
    return placed


def is_later(one: JobKey, other: JobKey, origins: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether one job comes after another; of two that ended at once, the first given.

    Parameters
    ----------
    one, other
        Two jobs.
    origins
        All jobs that are known.
    """
    known = {job_key(origin): origin for origin in origins}
    if one not in known or other not in known:
        return one in known or other not in known
    after, _ = _edges(known)
    if _reaches(other, one, after):
        return True
    return not _reaches(one, other, after) and moment(known[one]) >= moment(known[other])


def _edges(
    known: Mapping[JobKey, Mapping[str, Any]],
) -> tuple[dict[JobKey, set[JobKey]], dict[JobKey, int]]:
    """Return which jobs come right after each, and for how many each has to wait."""
    by_uuid: dict[str, list[JobKey]] = defaultdict(list)
    for key in sorted(known):
        by_uuid[key[0]].append(key)
    after: dict[JobKey, set[JobKey]] = {key: set() for key in known}
    for keys in by_uuid.values():
        for first, second in pairwise(keys):
            after[first].add(second)
    for key, origin in known.items():
        for uuid in origin.get("follows") or ():
            for before in by_uuid.get(uuid, ()) if uuid != key[0] else ():
                after[before].add(key)
    waits = dict.fromkeys(known, 0)
    for found in after.values():
        for key in found:
            waits[key] += 1
    return after, waits


def _reaches(start: JobKey, goal: JobKey, after: Mapping[JobKey, set[JobKey]]) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        for key in after[waiting.pop()] - seen:
            if key == goal:
                return True
            seen.add(key)
            waiting.append(key)
    return False


def _by_time(origin: Mapping[str, Any]) -> tuple[datetime, str, str, int]:
    return moment(origin), str(origin.get("name")), *job_key(origin)
