"""Fill the pool of demonstrations: incrementally, in parallel, safe to interrupt."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore

from crystalicl_jobflow.crystal.fingerprints import crystal_fingerprint, prepare_fingerprints
from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
from crystalicl_jobflow.datasets.records import Record, naive_utc
from crystalicl_jobflow.datasets.sources import Source, open_source
from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
from crystalicl_jobflow.schemas import utcnow
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.stores import (
    StoreSpec,
    open_store,
    save_json_store,
    write_documents,
)
from crystalicl_jobflow.thresholds import FINGERPRINT_TIMEOUT
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.parallel import DIED, parallel_map, time_limit
from crystalicl_jobflow.utils.progress import StageProgress

CHUNK_SIZE = 500
"""Documents written at once: what an interruption loses at most, beside a few seconds."""


@dataclass
class PoolReport:
    """What filling a pool did.

    Parameters
    ----------
    added, updated, unchanged
        Numbers of demonstrations.
    failed
        Record id and reason of every record that could not become a demonstration.
    remarks
        Record id and remark of every new demonstration whose crystal was mended or is not
        whole; demonstrations keep their remarks.
    fingerprinted
        Fingerprints computed.
    without_fingerprint
        Demonstration id and reason of every crystal whose fingerprint failed now.
    removed
        Demonstrations removed because their source record is gone.
    seconds
        Wall time.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    fingerprinted: int = 0
    without_fingerprint: list[tuple[str, str]] = field(default_factory=list)
    removed: int = 0
    seconds: float = 0.0


class PoolWriter:
    """Writes demonstrations in chunks; a JSON store's file now and then and at the end.

    Parameters
    ----------
    store
        A connected store.
    existing
        Keys the store holds already.
    """

    def __init__(self, store: Store, existing: Iterable[str] = ()) -> None:
        self.store = store
        self.existing = set(existing)
        self._batch: dict[str, dict[str, Any]] = {}
        self._unsaved = False
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0

    def add(self, document: dict[str, Any]) -> None:
        """Take one document."""
        self._batch[document[self.store.key]] = document
        if len(self._batch) >= CHUNK_SIZE:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken."""
        if not self._batch:
            return
        batch, self._batch = self._batch, {}
        write_documents(self.store, batch.values(), existing=self.existing, save=False)
        self.existing.update(batch)
        self._unsaved = True
        # the whole file is written each time: spend at most a tenth of the time on it
        if time.monotonic() - self._saved_at > max(5.0, 10 * self._save_seconds):
            self._save()

    def close(self) -> None:
        """Write everything that is left."""
        self.flush()
        if self._unsaved:
            self._save()

    def _save(self) -> None:
        started = time.monotonic()
        if isinstance(self.store, JSONStore) and not self.store.read_only:
            save_json_store(self.store)
        self._unsaved = False
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - started


def fill_pool(
    source: str | Path | Mapping[str, Any] | Store | Source | Sequence[Any],
    store: StoreSpec,
    *,
    fingerprints: bool = True,
    processes: int | None = None,
    limit: int | None = None,
    symprec: float | None = None,
    fingerprint_timeout: float | None = FINGERPRINT_TIMEOUT,
    progress: StageProgress | None = None,
) -> PoolReport:
    """Fill a pool with the crystals of a source, doing only what is new.

    A record whose content is the same as when it was written is left alone. What is done
    is kept when the work is interrupted; the next run continues there.

    Parameters
    ----------
    source
        See :func:`crystalicl_jobflow.datasets.sources.open_source`.
    store
        See :func:`crystalicl_jobflow.stores.opening.open_store`.
    fingerprints
        Whether to compute the CrystalNN fingerprints that are missing, too; otherwise
        :func:`compute_fingerprints` does later.
    processes
        Processes; None for one per core.
    limit
        Read at most so many records of the source.
    symprec
        Symmetry tolerance in Å; None for the setting ``CRYSTALICL_SYMPREC``.
    fingerprint_timeout
        Seconds after which a crystal goes without a fingerprint; None for no limit.
    progress
        Called as crystals are done.

    Returns
    -------
    PoolReport
        Counts, and the reason of each record that could not be read.

    Raises
    ------
    ValueError
        If the source or the store cannot be opened; one line.
    """
    started = time.monotonic()
    origin = open_source(source)
    target = open_store(store)
    report = PoolReport()
    total = origin.total()
    if limit is not None:
        total = limit if total is None else min(limit, total)
    records = origin.records()
    if limit is not None:
        records = (record for record, _ in zip(records, range(limit), strict=False))
    add_records(
        records,
        target,
        source=origin.name,
        report=report,
        processes=processes,
        total=total,
        symprec=SETTINGS.SYMPREC if symprec is None else symprec,
        progress=progress,
    )
    if fingerprints:
        done = compute_fingerprints(
            target, processes=processes, timeout=fingerprint_timeout, progress=progress
        )
        report.fingerprinted = done.fingerprinted
        report.without_fingerprint = done.without_fingerprint
    report.seconds = time.monotonic() - started
    return report


def add_records(
    records: Iterable[Record],
    store: Store,
    *,
    source: str,
    report: PoolReport,
    processes: int | None = None,
    total: int | None = None,
    symprec: float = 0.1,
    progress: StageProgress | None = None,
) -> None:
    """Turn records into demonstrations and write those that are new; counts in `report`."""
    known = {
        document[store.key]: document.get("structure_hash")
        for document in store.query({}, properties=[store.key, "structure_hash"])
    }
    _ensure_index(store)
    writer = PoolWriter(store, known)
    seen: set[str] = set()
    done = 0

    def fresh() -> Iterator[Record]:
        nonlocal done
        for record in records:
            if record.record_id in seen:
                report.failed.append((record.record_id, "the id occurs twice in the source"))
            elif (
                record.error is None
                and record.record_id in known
                and known[record.record_id] == record.digest(symprec)
            ):
                report.unchanged += 1
            else:
                seen.add(record.record_id)
                yield record
                continue
            seen.add(record.record_id)
            done += 1

    work = partial(_demonstrate, source=source, symprec=symprec)
    try:
        results = parallel_map(work, fresh(), processes=processes, on_death=_lost_record)
        for record_id, result in results:
            done += 1
            if isinstance(result, str):
                report.failed.append((record_id, result))
            else:
                writer.add(result)
                report.remarks += [(record_id, remark) for remark in result["remarks"]]
                report.updated += record_id in known
                report.added += record_id not in known
            if progress is not None:
                progress("crystals", done, total)
    finally:
        writer.close()
    if progress is not None:
        progress("crystals", done, done)


def _demonstrate(
    record: Record, *, source: str, symprec: float
) -> tuple[str, dict[str, Any] | str]:
    return record.record_id, make_demonstration(record, source=source, symprec=symprec)


def _lost_record(record: Record) -> tuple[str, dict[str, Any] | str]:
    return record.record_id, DIED


def compute_fingerprints(
    store: StoreSpec,
    *,
    processes: int | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    timeout: float | None = FINGERPRINT_TIMEOUT,
    progress: StageProgress | None = None,
) -> PoolReport:
    """Compute the CrystalNN fingerprints that a pool lacks.

    Parameters
    ----------
    store
        The pool; see :func:`crystalicl_jobflow.stores.opening.open_store`.
    processes
        Processes; None for one per core.
    limit
        Compute at most so many.
    retry_failed
        Whether to try again those that failed before.
    timeout
        Seconds after which a crystal goes without one; None for no limit.
    progress
        Called as crystals are done.

    Returns
    -------
    PoolReport
        With ``fingerprinted`` and ``without_fingerprint`` filled.
    """
    started = time.monotonic()
    target = open_store(store)
    report = PoolReport()
    # documents without a text are records of a builder's failures
    criteria: dict[str, Any] = {"fingerprint": None, "text": {"$exists": True}}
    if not retry_failed:
        criteria["fingerprint_error"] = None
    total = int(target.count(criteria))
    if limit is not None:
        total = min(total, limit)
    if not total:
        return report
    # embedded stores replace whole documents; their queries give all at once in any case
    documents = target.query(criteria, limit=limit or 0)
    if isinstance(target, MemoryStore):
        documents = iter(list(documents))
    writer = PoolWriter(target, target.distinct(target.key, criteria))
    prepare_fingerprints()  # before the processes fork, so that each of them has it
    work = partial(_fingerprint, timeout=timeout)
    done = 0
    try:
        results = parallel_map(
            work, documents, processes=processes, batch_size=4, on_death=_lost_fingerprint
        )
        for document, result in results:
            done += 1
            failed = isinstance(result, str)
            document["fingerprint"] = None if failed else result
            document["fingerprint_error"] = result if failed else None
            document["last_updated"] = naive_utc(utcnow())
            document.pop("_id", None)
            writer.add(document)
            if failed:
                report.without_fingerprint.append((document[target.key], str(result)))
            else:
                report.fingerprinted += 1
            if progress is not None:
                progress("fingerprints", done, total)
    finally:
        writer.close()
    report.seconds = time.monotonic() - started
    return report


def _fingerprint(
    document: dict[str, Any], *, timeout: float | None
) -> tuple[dict[str, Any], list[float] | str]:
    structure = document.get("structure")
    if not structure:
        return document, "fingerprint: the demonstration holds no structure"
    return document, fingerprint_document(structure, timeout=timeout)


def _lost_fingerprint(document: dict[str, Any]) -> tuple[dict[str, Any], list[float] | str]:
    return document, f"fingerprint: {DIED}"


def fingerprint_document(
    structure: Mapping[str, Any], *, timeout: float | None = FINGERPRINT_TIMEOUT
) -> list[float] | str:
    """Return the fingerprint of a serialised structure, or why there is none, in one line."""
    try:
        with time_limit(timeout):
            values = crystal_fingerprint(structure_from_dict(structure))
    except Exception as error:  # a crystal without a fingerprint is an answer
        return f"fingerprint: {first_line(error)}"
    if not np.isfinite(values).all():
        return "fingerprint: not finite"
    return [float(value) for value in np.round(values, 7)]


def _ensure_index(store: Store) -> None:
    # MontyDB has no indexes; embedded stores do without
    if not isinstance(store, MemoryStore):
        store.ensure_index(store.key, unique=True)
        store.ensure_index(store.last_updated_field)


__all__ = [
    "CHUNK_SIZE",
    "PoolReport",
    "PoolWriter",
    "add_records",
    "compute_fingerprints",
    "fill_pool",
]
