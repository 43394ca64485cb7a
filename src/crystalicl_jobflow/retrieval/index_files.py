"""Where the index of a pool is kept, and what tells whether it is still that of its store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore, MontyStore

from crystalicl_jobflow.settings import cache_folder
from crystalicl_jobflow.stores import connect_store, store_label
from crystalicl_jobflow.stores.json_files import read_json_documents


def stored_documents(store: Store, fields: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    """Yield the documents of a pool with at least some of their fields."""
    if isinstance(store, JSONStore) and not store.read_only:
        # the file, not the store's memory: another process may have written since, and no
        # query is needed
        for path in store.paths:
            if Path(path).is_file():
                yield from read_json_documents(store, Path(path))
        return
    connect_store(store)
    yield from store.query({}, properties=list(fields))


def _file_state(store: Store) -> list[list[Any]] | None:
    """Return size and time of a file store's files; None where there are none to go by."""
    if isinstance(store, JSONStore) and not store.read_only:
        paths = [Path(path) for path in store.paths]
    elif isinstance(store, MontyStore) and store.storage == "sqlite":
        folder = Path(store.database_path) / store.database_name
        paths = [folder / f"{store.collection_name}.collection"]
        paths += [paths[0].with_name(f"{paths[0].name}-wal")]
    else:
        return None
    return [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for path in paths
        if path.exists() and path.stat().st_size
    ]


def store_state(store: Store) -> dict[str, Any]:
    """Return what differs as soon as a pool's store has changed."""
    files = _file_state(store)
    if files is not None:
        return {"files": files}
    connect_store(store)
    count = int(store.count())
    updated = store.last_updated if count else None
    return {
        "name": store_label(store),
        "count": count,
        "last_updated": None if updated is None else str(updated),
    }


def index_folder(store: Store) -> Path | None:
    """Return where the index of a pool is kept; None for a store in memory."""
    if isinstance(store, JSONStore) and not store.read_only:
        path = Path(store.paths[0])
        folder = path.with_name(f"{path.name.split('.json')[0]}.index")
    elif isinstance(store, MontyStore):
        path = Path(store.database_path)
        folder = path.with_name(f"{path.name}.{store.collection_name}.index")
    elif isinstance(store, MemoryStore):
        return None
    else:
        return _cache_folder(store)
    return folder if os.access(folder.parent, os.W_OK) else _cache_folder(store)


def _cache_folder(store: Store) -> Path:
    name = hashlib.blake2b(store_label(store).encode(), digest_size=8).hexdigest()
    return cache_folder() / "indexes" / name
