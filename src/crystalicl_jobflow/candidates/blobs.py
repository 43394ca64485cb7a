"""Fields too large for one document, in a store of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from maggma.core import Store
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.utils.hashing import text_hash

MAX_DOCUMENT_BYTES = 12_000_000
"""Larger documents are divided: MongoDB refuses what has more than 16 MiB."""

MIN_BLOB_BYTES = 100_000
"""Smaller fields stay where they are."""

BLOB = "blob_uuid"
"""Field by which a document names what was moved, as jobflow names its blobs."""


class BlobStore(Protocol):
    """Somewhere large values are kept by name."""

    def put(self, name: str, value: Any) -> None:
        """Keep a value; one that is kept already is the same."""

    def get(self, name: str) -> Any:
        """Return a value; KeyError where it is missing."""


class MaggmaBlobs:
    """Blobs in a maggma store with the key ``blob_uuid``: GridFS, S3, a file.

    Parameters
    ----------
    store
        A connected store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, name: str, value: Any) -> None:
        """Keep a value by name."""
        if self.store.query_one({BLOB: name}, properties=[BLOB]) is None:
            self.store.update([{BLOB: name, "data": value}], key=BLOB)

    def get(self, name: str) -> Any:
        """Return a value.

        Raises
        ------
        KeyError
            If it is missing.
        """
        found = self.store.query_one({BLOB: name})
        if found is None:
            raise KeyError(name)
        return found["data"]


class GridFSBlobs:
    """Blobs in GridFS beside a collection, over its own connection.

    Parameters
    ----------
    store
        The connected store of the documents.
    """

    def __init__(self, store: MongoStore) -> None:
        import gridfs

        self._files = gridfs.GridFS(
            store._collection.database, collection=f"{store.collection_name}_blobs"
        )

    def put(self, name: str, value: Any) -> None:
        """Keep a value by name."""
        if not self._files.exists({"filename": name}):
            self._files.put(json.dumps(value).encode(), filename=name)

    def get(self, name: str) -> Any:
        """Return a value.

        Raises
        ------
        KeyError
            If it is missing.
        """
        import gridfs

        try:
            return json.loads(self._files.get_last_version(name).read())
        except gridfs.NoFile:
            raise KeyError(name) from None


def blobs_for(store: Store, blobs: Store | BlobStore | None = None) -> BlobStore | None:
    """Return where the large fields of a store of candidates lie.

    Parameters
    ----------
    store
        The connected store of candidates.
    blobs
        A maggma store with the key ``blob_uuid``, or another place; None for GridFS beside
        the collection where the store is on a MongoDB server, and for the documents
        themselves elsewhere, where no document is too large.
    """
    if isinstance(blobs, Store):
        blobs.connect()
        return MaggmaBlobs(blobs)
    if blobs is not None:
        return blobs
    if isinstance(store, MongoStore) and not isinstance(store, MemoryStore):
        return GridFSBlobs(store)
    return None


def move_large_fields(
    document: dict[str, Any],
    blobs: BlobStore | None,
    *,
    max_bytes: int = MAX_DOCUMENT_BYTES,
) -> dict[str, Any]:
    """Return the document with its largest fields moved, until it is small enough.

    A moved value leaves ``{"blob_uuid": …, "bytes": …}``. Its name is the hash of its
    content, so that writing it twice, or by two writers, is writing it once.

    Parameters
    ----------
    document
        The document, not changed.
    blobs
        Where to; None moves nothing.
    max_bytes
        Size as BSON from which on fields are moved.

    Raises
    ------
    ValueError
        If the document is too large and no single field of it is.
    """
    if blobs is None or _size(document) <= max_bytes:
        return document
    smaller: dict[str, Any] = _deep_copy(document)
    fine = sorted(_fields(smaller), key=lambda path: -_size(_at(smaller, path)))
    for path in [*fine, *_WHOLE]:
        value = _at(smaller, path)
        size = _size(value)
        if size < MIN_BLOB_BYTES:
            continue
        text = json.dumps(value, sort_keys=True)
        name = text_hash(text)
        blobs.put(name, value)
        _at(smaller, path[:-1])[path[-1]] = {BLOB: name, "bytes": size}
        if _size(smaller) <= max_bytes:
            return smaller
    raise ValueError(
        f"candidate {document.get('candidate_id')} has {_size(smaller)} bytes after its large"
        " fields were moved; no store of documents takes it"
    )


def resolve_blobs(document: Mapping[str, Any], blobs: BlobStore | None) -> dict[str, Any]:
    """Return the document with what was moved put back.

    Raises
    ------
    ValueError
        If a blob is missing, or the place of the blobs is not known; one line.
    """
    whole: dict[str, Any] = dict(document)
    copied = False
    for find in (_wholes, _fields):  # a whole field may have parts that were moved before it
        for path in [path for path in find(whole) if _is_blob(_at(whole, path))]:
            if not copied:
                whole, copied = _deep_copy(whole), True
            _at(whole, path[:-1])[path[-1]] = _fetch(whole, path, blobs)
    return whole


def _fetch(document: Mapping[str, Any], path: tuple[Any, ...], blobs: BlobStore | None) -> Any:
    where = f"candidate {document.get('candidate_id')}: {'.'.join(map(str, path))}"
    if blobs is None:
        raise ValueError(f"{where} lies in a store of blobs that is not given")
    try:
        return blobs.get(_at(document, path)[BLOB])
    except KeyError:
        raise ValueError(f"{where}: its blob is missing") from None


_FIELDS = (("structure",), ("generated", "structure"), ("text",), ("provenance", "prompt"))
"""What may be large and is not searched for."""

_WHOLE = (("relaxations",), ("evaluations",), ("provenance",))
"""What is moved as a whole where that does not suffice."""


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for path in _FIELDS:
        if _at(document, path) is not None:
            yield path
    relaxations = document.get("relaxations")
    for number, relaxation in enumerate(relaxations if isinstance(relaxations, list) else ()):
        if relaxation.get("structure") is not None:
            yield ("relaxations", number, "structure")


def _wholes(document: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    yield from (path for path in _WHOLE if _at(document, path) is not None)


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        if document is None:
            return None
        if isinstance(document, list):
            document = document[name]
        else:
            document = document.get(name) if isinstance(document, Mapping) else None
    return document


def _is_blob(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {BLOB, "bytes"}


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _deep_copy(item) for name, item in value.items()}
    return [_deep_copy(item) for item in value] if isinstance(value, list) else value


def _size(value: Any) -> int:
    import bson

    return len(bson.encode(value if isinstance(value, Mapping) else {"value": value}))
