"""Structures in one store become demonstrations in another, incrementally."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore

from crystalicl_jobflow.datasets.records import naive_utc
from crystalicl_jobflow.datasets.sources import StoreSource
from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
from crystalicl_jobflow.retrieval.pool import PoolReport, compute_fingerprints
from crystalicl_jobflow.schemas import utcnow
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.stores import (
    connect_store,
    remove_documents,
    save_json_store,
    store_label,
    write_documents,
)
from crystalicl_jobflow.stores.serial_builder import SerialBuilder
from crystalicl_jobflow.thresholds import FINGERPRINT_TIMEOUT
from crystalicl_jobflow.utils.parallel import batches


class DemonstrationBuilder(SerialBuilder):
    """Build the pool of demonstrations from a store of structures.

    Builds what is new: documents whose key the pool does not hold, or that their store has
    updated since. A document that cannot become a demonstration leaves one in the pool with
    ``state`` "failed" and the ``error`` (maggma's convention), which retrieval passes over.

    Parameters
    ----------
    source
        Store whose documents hold a ``structure`` (or ``output.structure``); known
        properties are taken from fields under any of their names.
    target
        The pool, with the key ``demonstration_id``.
    query
        Limits the source's documents.
    symprec
        Symmetry tolerance in Å; None for the setting ``CRYSTALICL_SYMPREC``.
    fingerprints
        Whether to compute the missing CrystalNN fingerprints at the end.
    processes
        Processes for the fingerprints; None for one per core.
    fingerprint_timeout
        Seconds after which a crystal goes without a fingerprint.
    retry_failed
        Whether to try again what failed before.
    delete_orphans
        Whether to remove demonstrations whose source document is gone. Meant for a pool
        with this one source.
    **kwargs
        For maggma's Builder, such as ``chunk_size``.

    Examples
    --------
    >>> builder = DemonstrationBuilder(structures, pool)  # doctest: +SKIP
    >>> builder.run()  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 - the fields of a builder, as those of a Maker
        self,
        source: Store,
        target: Store,
        query: dict[str, Any] | None = None,
        *,
        symprec: float | None = None,
        fingerprints: bool = False,
        processes: int | None = None,
        fingerprint_timeout: float | None = FINGERPRINT_TIMEOUT,
        retry_failed: bool = False,
        delete_orphans: bool = False,
        **kwargs: Any,
    ) -> None:
        self.source = source
        self.target = target
        self.query = query
        self.symprec = symprec
        self.fingerprints = fingerprints
        self.processes = processes
        self.fingerprint_timeout = fingerprint_timeout
        self.retry_failed = retry_failed
        self.delete_orphans = delete_orphans
        self.kwargs = kwargs
        self.report = PoolReport()
        self._existing: set[str] = set()
        super().__init__(sources=[source], targets=[target], **kwargs)

    def connect(self) -> None:
        """Connect both stores, a JSON file without maggma's quadratic upserts."""
        connect_store(self.source)
        connect_store(self.target)

    def ensure_indexes(self) -> None:
        """Make sure that keys and times are indexed where the stores can."""
        for store in (self.source, self.target):
            if not isinstance(store, MemoryStore):  # MontyDB raises, memory needs none
                store.ensure_index(store.key)
                store.ensure_index(store.last_updated_field)

    def outdated(self) -> list[str]:
        """Return the keys of the source that are to be built."""
        reader = StoreSource(self.source, self.query)
        names = [self.source.key, self.source.last_updated_field, "state"]
        existing_documents = {
            document[self.target.key]: document
            for document in self.target.query(
                {}, properties=[self.target.key, "source_updated", "state"]
            )
        }
        keys = []
        for document in self.source.query(self.query or {}, properties=names):
            key = document.get(self.source.key)
            if key is None or document.get("state") == "failed":
                continue
            known = existing_documents.get(str(key))
            if known is None or (known.get("state") == "failed" and self.retry_failed):
                keys.append(key)
            else:
                updated = reader.updated(document)
                built = _time(known.get("source_updated"))
                if updated is not None and (built is None or updated > built):
                    keys.append(key)
                else:
                    self.report.unchanged += 1
        self._existing = set(existing_documents)
        return keys

    def get_items(self) -> Iterator[dict[str, Any]]:
        """Yield the source's documents that are to be built."""
        self.report = PoolReport()
        self.ensure_indexes()
        keys = self.outdated()
        self.total = len(keys)
        if isinstance(self.source, MemoryStore):
            # their queries look at every document in any case, and `$in` is very slow
            wanted = set(keys)
            for document in self.source.query(self.query or {}):
                if document.get(self.source.key) in wanted:
                    yield document
            return
        for some in batches(keys, self.chunk_size):
            yield from self.source.query({self.source.key: {"$in": some}})

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the demonstration of one document, or the record of its failure."""
        record = StoreSource(self.source, self.query).record(item)
        symprec = SETTINGS.SYMPREC if self.symprec is None else self.symprec
        made = make_demonstration(record, source=store_label(self.source), symprec=symprec)
        if isinstance(made, str):
            return {
                self.target.key: record.record_id,
                "source": store_label(self.source),
                "state": "failed",
                "error": made,
                "source_updated": record.updated,
                self.target.last_updated_field: naive_utc(utcnow()),
            }
        return made

    def update_targets(self, items: list[dict[str, Any]]) -> None:
        """Write the documents in bulk."""
        existing_documents = self._existing
        write_documents(self.target, items, existing=existing_documents, save=False)
        for item in items:
            key = item[self.target.key]
            if item.get("state") == "failed":
                self.report.failed.append((key, item["error"]))
            elif key in existing_documents:
                self.report.updated += 1
            else:
                self.report.added += 1
            existing_documents.add(key)
        if isinstance(self.target, JSONStore) and not self.target.read_only:
            save_json_store(self.target)

    def finalize(self) -> None:
        """Remove orphans and compute fingerprints, where asked for.

        The stores stay connected: a memory store would be lost.
        """
        if self.delete_orphans:
            known = set(map(str, self.source.distinct(self.source.key, self.query or {})))
            orphans = set(self.target.distinct(self.target.key)) - known
            self.report.removed = remove_documents(self.target, orphans)
        if self.fingerprints:
            done = compute_fingerprints(
                self.target,
                processes=self.processes,
                retry_failed=self.retry_failed,
                timeout=self.fingerprint_timeout,
            )
            self.report.fingerprinted = done.fingerprinted
            self.report.without_fingerprint = done.without_fingerprint


def _time(value: Any) -> datetime | None:
    """Return a stored time in UTC without zone; JSON files hold texts."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, Mapping):  # monty's form
        value = datetime.fromisoformat(str(value.get("string")))
    return naive_utc(value) if isinstance(value, datetime) else None
