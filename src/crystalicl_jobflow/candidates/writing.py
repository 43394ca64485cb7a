"""Write merged candidates: in bulk, by unique key, so that no writer undoes another's work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from maggma.core import Store
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.candidates.blobs import BlobStore, move_large_fields, resolve_blobs
from crystalicl_jobflow.candidates.contributions import Part
from crystalicl_jobflow.candidates.merging import merge, same
from crystalicl_jobflow.candidates.ordering import as_moment
from crystalicl_jobflow.schemas import utcnow
from crystalicl_jobflow.stores import write_documents
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from crystalicl_jobflow.utils.messages import driver_line
from crystalicl_jobflow.utils.redaction import redact

logger = logging.getLogger(__name__)

CHUNK = 500
"""Documents read, merged and written at once."""

MAX_ROUNDS = 50
"""How often a chunk is merged anew because another writer was faster."""

RETRY_SECONDS = 120.0
"""How long a server may be away before a write or read gives up."""

T = TypeVar("T")
Parts = dict[str, list[Part]]
ChangedBy = Callable[[Parts, dict[str, dict[str, Any]]], list[dict[str, Any]]]


def write_parts(
    parts: Iterable[Part],
    store: Store,
    *,
    blobs: BlobStore | None = None,
    updated: datetime | None = None,
) -> int:
    """Merge parts into a store of candidates.

    Safe beside other writers: on a server a document is replaced only if it is still the one
    that was read, and inserted only if nobody else has; what fails is read and merged anew.
    The stores in one process' memory and in JSON files know one writer only.

    Parameters
    ----------
    parts
        Parts of any candidates, in any order; one that says nothing new changes nothing.
    store
        A connected store with the key ``candidate_id``; on a server, with a unique index.
    blobs
        Where fields go that are too large for one document; None for none.
    updated
        The ``last_updated`` of what changes; now by default.

    Returns
    -------
    int
        Number of documents that are new or changed.

    Raises
    ------
    RuntimeError
        If other writers are faster every time.
    """
    by_id: Parts = {}
    for part in parts:
        by_id.setdefault(part.candidate_id, []).append(part)
    if not by_id:
        return 0
    batch = partial(_changed, blobs=blobs, updated=updated)
    if isinstance(store, MongoStore) and not isinstance(store, MemoryStore):
        write = partial(_write_server, store=store, changed_by=batch)
    elif isinstance(store, SQLiteStore):
        write = partial(_write_locked, store=store, changed_by=batch)
    else:
        return _write_alone(by_id, store, batch)
    names = list(by_id)
    return sum(
        write({name: by_id[name] for name in names[start : start + CHUNK]})
        for start in range(0, len(names), CHUNK)
    )


def retrying(call: Callable[[], T], *, seconds: float = RETRY_SECONDS) -> T:
    """Call, and again while the database cannot be reached.

    Parameters
    ----------
    call
        What to do; it must do no harm twice.
    seconds
        How long to keep trying.

    Raises
    ------
    pymongo.errors.PyMongoError
        The last error, when the time is up.
    """
    from pymongo.errors import AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError

    started = time.monotonic()
    pause = 0.2
    while True:
        try:
            return call()
        except (AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError) as error:
            if time.monotonic() - started + pause > seconds:
                raise
            logger.warning(
                "the database does not answer (%s); again in %.1f s",
                redact(driver_line(error))[:200],
                pause,
            )
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


def _changed(
    parts: Parts,
    known: dict[str, dict[str, Any]],
    *,
    blobs: BlobStore | None,
    updated: datetime | None,
) -> list[dict[str, Any]]:
    """Return the documents that the parts make new or different, ready to be written."""
    changed = []
    for name, some in parts.items():
        stored = known.get(name)
        if stored is not None:
            stored = resolve_blobs(stored, blobs)
            stored.pop("_id", None)
        document = merge(stored, some)
        if stored is not None and same(stored, document):
            continue
        document["last_updated"] = as_moment(updated or utcnow())
        # last, so that where fields are written one by one it is new only when all are
        document.pop("revision", None)
        document["revision"] = (0 if stored is None else stored.get("revision") or 0) + 1
        changed.append(move_large_fields(document, blobs))
    return changed


def _write_alone(parts: Parts, store: Store, changed_by: ChangedBy) -> int:
    """Write to a store that has no other writer; files are written once."""
    known = {
        document[store.key]: document for document in store.query() if document[store.key] in parts
    }
    changed = changed_by(parts, known)
    return write_documents(store, changed, existing=set(known))


def _write_locked(parts: Parts, store: SQLiteStore, changed_by: ChangedBy) -> int:
    """Read, merge and write in one transaction, for which other writers wait."""
    with store.transaction():
        known = {document[store.key]: document for document in store.get_many(list(parts))}
        changed = changed_by(parts, known)
        store.put_many(changed)
    return len(changed)


def _write_server(parts: Parts, store: MongoStore, changed_by: ChangedBy) -> int:
    """Write to a server: each document only over the revision that was read."""
    written = 0
    for _ in range(MAX_ROUNDS):
        done, complete = retrying(lambda: _one_round(parts, store, changed_by))
        written += done
        if complete:
            return written
    raise RuntimeError(f"{store.collection_name}: other writers were faster {MAX_ROUNDS} times")


def _one_round(parts: Parts, store: MongoStore, changed_by: ChangedBy) -> tuple[int, bool]:
    from pymongo import InsertOne, ReplaceOne
    from pymongo.errors import BulkWriteError

    key = store.key
    known = _read_before_revisions(parts, store)
    changed = changed_by(parts, known)
    if not changed:
        return 0, True
    requests: list[Any] = []
    for document in changed:
        stored = known.get(document[key])
        if stored is None:
            requests.append(InsertOne(document))
        else:
            # a document that lacks the revision, of an older version, matches None as well
            as_read = {key: document[key], "revision": stored.get("revision")}
            requests.append(ReplaceOne(as_read, document))
    try:
        result = store._collection.bulk_write(requests, ordered=False)
        done = result.inserted_count + result.matched_count
    except BulkWriteError as error:
        faults = error.details.get("writeErrors", [])
        if any(fault.get("code") != _DUPLICATE for fault in faults) or not faults:
            raise
        done = error.details.get("nInserted", 0) + error.details.get("nMatched", 0)
        # not every server counts rightly beside errors: what is there is read again
        return min(done, len(requests) - len(faults)), False
    return done, done == len(requests)


def _read_before_revisions(parts: Parts, store: MongoStore) -> dict[str, dict[str, Any]]:
    """Return the documents by name, each with the revision it had before it was read.

    Not every server of the protocol reads a document whole while another client replaces it:
    the revision may be the new one and the rest the old. The revision read first is then
    outdated, nothing is written over it, and the document is read anew.
    """
    collection, key = store._collection, store.key
    cursor = collection.find({key: {"$in": list(parts)}}, {key: 1, "revision": 1, "_id": 0})
    revisions = {document[key]: document.get("revision") for document in cursor}
    found = collection.find({key: {"$in": list(revisions)}}) if revisions else ()
    return {document[key]: document | {"revision": revisions[document[key]]} for document in found}


_DUPLICATE = 11000
"""MongoDB's code for a unique key that is there already."""
