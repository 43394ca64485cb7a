"""Documents in and out of stores in bulk, without what maggma does quadratically."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore, MongoStore, MontyStore

from crystalicl_jobflow.stores.embedded import guard_collection
from crystalicl_jobflow.stores.json_files import load_json_store, save_json_store


def connect_store(store: Store) -> None:
    """Connect a store once, reading a JSON file without maggma's quadratic upserts.

    The embedded stores of maggma refuse criteria that run code from then on.

    Parameters
    ----------
    store
        Any store; one that is connected stays as it is.

    Raises
    ------
    ValueError
        If a JSON store's file is missing or not a list of documents with the key.
    """
    if not isinstance(store, MemoryStore):  # JSONStore and MontyStore are MemoryStores
        store.connect()
        return
    if store._coll is None:
        if isinstance(store, JSONStore):
            load_json_store(store)
        else:
            store.connect()
    guard_collection(store)


def write_documents(
    store: Store,
    documents: Iterable[dict[str, Any]],
    *,
    existing: set[str] | frozenset[str] = frozenset(),
    save: bool = True,
) -> int:
    """Insert new documents and replace existing ones, in bulk.

    ``Store.update`` of the memory, JSON and Monty stores is quadratic in the number of
    documents; this inserts what is new in one go.

    Parameters
    ----------
    store
        A connected store.
    documents
        Documents with the store's key.
    existing
        Keys among them that the store holds already.
    save
        Whether a JSON store's file is written now.

    Returns
    -------
    int
        Number of documents written.
    """
    batch = list(documents)
    if not batch:
        return 0
    if isinstance(store, MemoryStore):  # JSONStore and MontyStore are MemoryStores
        new = [dict(document) for document in batch if document[store.key] not in existing]
        replaced = [document for document in batch if document[store.key] in existing]
        if replaced:
            _replace_embedded(store, replaced)
        if new:
            store._collection.insert_many(new)
        if save and isinstance(store, JSONStore) and not store.read_only:
            save_json_store(store)
    elif isinstance(store, MongoStore):
        from pymongo import ReplaceOne

        requests = [
            ReplaceOne({store.key: document[store.key]}, document, upsert=True)
            for document in batch
        ]
        store._collection.bulk_write(requests, ordered=False)
    else:
        store.update(batch)
    return len(batch)


def _object_ids(store: MemoryStore) -> dict[str, Any]:
    found = store._collection.find({}, {store.key: True})
    return {document[store.key]: document["_id"] for document in found if store.key in document}


def _replace_embedded(store: MemoryStore, documents: list[dict[str, Any]]) -> None:
    """Replace documents of a memory, JSON or Monty store in time linear in its size.

    Every ``replace_one`` of these looks at every document of the collection; their
    storage below takes documents by ``_id`` at once.
    """
    ids = _object_ids(store)
    collection = store._collection
    replacements = [{**document, "_id": ids[document[store.key]]} for document in documents]
    if isinstance(store, MontyStore):
        collection._storage.update_many(collection, replacements)
    else:
        for document in replacements:
            collection._store[document["_id"]] = deepcopy(document)


def remove_documents(store: Store, keys: Iterable[str], *, save: bool = True) -> int:
    """Remove documents by key, in bulk; returns how many were removed."""
    wanted = set(keys)
    if not wanted:
        return 0
    if not isinstance(store, MemoryStore):
        store.remove_docs({store.key: {"$in": sorted(wanted)}})
        return len(wanted)
    ids = [number for key, number in _object_ids(store).items() if key in wanted]
    collection = store._collection
    if isinstance(store, MontyStore):
        collection._storage.delete_many(collection, ids)
    else:
        for number in ids:
            del collection._store[number]
        if save and isinstance(store, JSONStore) and not store.read_only:
            save_json_store(store)
    return len(ids)
