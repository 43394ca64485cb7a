"""Files of JSON stores: read without importing modules, written in one step by several.

A JSON store holds the whole of its file in memory and writes all of it. So that two processes
do not undo each other's work, each remembers what was in the file when it last read or wrote
it. If the file has changed when it writes next, what the other changed is taken over: only
the documents that this process itself added, changed or removed differ from the file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from gzip import BadGzipFile
from hashlib import blake2b
from pathlib import Path
from typing import Any

import maggma.stores
import orjson
from maggma.utils import to_dt
from monty.io import zopen

from crystalicl_jobflow.utils.files import replacing

_STATE = "_crystalicl_file_state"
_NO_ID = {"_id": False}


@dataclass
class _FileState:
    """What a JSON store's file was when this process last read or wrote it."""

    identity: tuple[int, int, int] | None = None
    digests: dict[Any, bytes] = field(default_factory=dict)


def load_json_store(store: maggma.stores.JSONStore) -> None:
    """Connect a JSON store, inserting its documents in one go.

    maggma inserts them one by one, in quadratic time, and decodes what ``last_updated`` names.

    Parameters
    ----------
    store
        The store; it is connected afresh.

    Raises
    ------
    ValueError
        If a file is missing that must not be made, is no list of documents, or a document
        has no key; one line.
    """
    documents: dict[Any, dict[str, Any]] = {}
    state = _FileState()
    for path in map(Path, store.paths):
        if not path.exists():
            if store.read_only:
                raise ValueError(f"store {path} does not exist")
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        # the last one wins, as with maggma's upserts
        state.identity, found = _read(store, path)
        documents.update(found)
    # MemoryStore's connect makes the empty collection; JSONStore's would upsert one by one
    maggma.stores.MemoryStore.connect(store, force_reset=True)
    if documents:
        state.digests = {key: _digest(_packed(store, item)) for key, item in documents.items()}
        store._collection.insert_many(documents.values())
    vars(store)[_STATE] = state
    if not store.read_only and not Path(store.paths[0]).exists():
        save_json_store(store)


def save_json_store(store: maggma.stores.JSONStore) -> None:
    """Write a JSON store's file in one step; a reader never sees half of it.

    Documents that another process wrote since are taken over, also into this store.

    Parameters
    ----------
    store
        A connected store.

    Raises
    ------
    ValueError
        If the file has become something else than a list of documents; one line.
    """
    path = Path(store.paths[0])
    state: _FileState = vars(store).setdefault(_STATE, _FileState(_identity(path)))
    collection = store._collection
    documents = {item[store.key]: item for item in collection.find({}, _NO_ID)}
    packed = {key: _packed(store, item) for key, item in documents.items()}
    digests = {key: _digest(text) for key, text in packed.items()}
    with _folder_lock(path.parent):
        if path.exists() and _identity(path) != state.identity:
            _, theirs = _read(store, path)
            _take_over(store, theirs, state.digests, digests, packed)
        with (
            replacing(path) as beside,
            zopen(beside, mode="wt", encoding=store.encoding or "utf-8") as file,
        ):
            file.write((b"[" + b",".join(packed.values()) + b"]").decode("utf-8"))
        state.identity, state.digests = _identity(path), digests


def _take_over(
    store: maggma.stores.JSONStore,
    theirs: dict[Any, dict[str, Any]],
    before: dict[Any, bytes],
    digests: dict[Any, bytes],
    packed: dict[Any, bytes],
) -> None:
    """Bring what another process changed in the file into the store and into what is written.

    Parameters
    ----------
    store
        The store that writes.
    theirs
        The file's documents now, by key.
    before
        Digests of the documents when this process last read or wrote the file.
    digests, packed
        Digests and JSON of the store's documents, by key; changed here.
    """
    ours = {key for key, digest in digests.items() if before.get(key) != digest}
    outdated = {
        key for key in before if key in digests and key not in theirs and key not in ours
    }  # they removed these
    for key in outdated:
        del digests[key], packed[key]
    new = []
    for key, document in theirs.items():
        text = _packed(store, document)
        digest = _digest(text)
        removed_here = key in before and key not in digests and before[key] == digest
        if key in ours or removed_here or digests.get(key) == digest:
            continue
        if key in digests:
            outdated.add(key)
        new.append(dict(document))
        digests[key], packed[key] = digest, text
    collection = store._collection
    if outdated:
        # by their ids, at once: a search by key looks at every document each time
        for item in collection.find({}, {store.key: True}):
            if item.get(store.key) in outdated:
                del collection._store[item["_id"]]
    if new:
        collection.insert_many(new)


def read_json_documents(store: maggma.stores.JSONStore, path: Path) -> list[dict[str, Any]]:
    """Return the documents of a JSON store's file as they are now, whatever the store holds.

    Parameters
    ----------
    store
        The store, connected or not.
    path
        One of its files.

    Raises
    ------
    ValueError
        If the file is no list of documents with the store's key; one line.
    """
    return list(_read(store, path)[1].values())


def _read(
    store: maggma.stores.JSONStore, path: Path
) -> tuple[tuple[int, int, int] | None, dict[Any, dict[str, Any]]]:
    """Return a file's identity and its documents by key."""
    while True:
        identity = _identity(path)
        try:
            with zopen(path, mode="rt", encoding=store.encoding or "utf-8") as file:
                text = file.read()
            read = orjson.loads(text)
        except (ValueError, EOFError, BadGzipFile, zlib.error) as error:
            raise ValueError(f"store {path} is not a list of JSON documents: {error}") from None
        if identity == _identity(path):
            break
    if "$oid" in text:
        read = _without_oids(read)
    documents: dict[Any, dict[str, Any]] = {}
    for index, document in enumerate(read if isinstance(read, list) else [read]):
        if not isinstance(document, dict) or store.key not in document:
            raise ValueError(f"store {path}: document {index} has no field {store.key!r}")
        key = document[store.key]
        if isinstance(key, dict | list):
            raise ValueError(f"store {path}: document {index}: {store.key} is no plain value")
        document.pop("_id", None)
        updated = document.get(store.last_updated_field)
        if updated:
            document[store.last_updated_field] = _moment(updated, f"store {path}, document {index}")
        documents[key] = document
    return identity, documents


def _moment(value: Any, where: str) -> Any:
    if isinstance(value, dict):  # as monty and MongoDB write times
        value = value.get("string", value.get("$date"))
    try:
        if value is None:
            raise ValueError
        return to_dt(value)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"{where}: the time of its last update cannot be read") from None


def _without_oids(value: Any) -> Any:
    """Return documents with MongoDB's object ids as texts."""
    if isinstance(value, dict):
        if set(value) == {"$oid"}:
            return str(value["$oid"])
        return {name: _without_oids(item) for name, item in value.items()}
    return [_without_oids(item) for item in value] if isinstance(value, list) else value


def _packed(store: maggma.stores.JSONStore, document: dict[str, Any]) -> bytes:
    default = store.serialization_default or _json_default
    return orjson.dumps(document, option=store.serialization_option, default=default)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


def _json_default(value: Any) -> Any:
    from monty.json import jsanitize

    return jsanitize(value)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Keep other writers of this folder's JSON stores out while one writes.

    The folder itself is locked: no file of locks is left behind. Where the system or the file
    system has no such locks, the changed file is noticed all the same.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
