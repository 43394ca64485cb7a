"""The stores that maggma embeds, without what runs code and without losing what others write.

They have maggma's names and take maggma's arguments. Every collection refuses criteria that
run code; the JSON store reads its file without importing modules, and replaces it in one
step under a lock.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import maggma.stores
from maggma.core import Store

from crystalicl_jobflow.stores.criteria import refuse_code
from crystalicl_jobflow.stores.json_files import load_json_store, save_json_store
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

_CRITERIA_ARGUMENT = {
    "find": 0, "find_one": 0, "count_documents": 0, "aggregate": 0, "delete_one": 0,
    "delete_many": 0, "update_one": 0, "update_many": 0, "replace_one": 0,
    "find_one_and_update": 0, "find_one_and_replace": 0, "find_one_and_delete": 0,
    "distinct": 1,
}  # fmt: skip
_CRITERIA_NAMES = ("filter", "pipeline", "projection", "sort", "query", "hint")


MONTY_MARK = ".monty.storage"
"""File by which MontyDB knows its folders."""


class GuardedCollection:
    """A collection whose methods refuse criteria with code; all else is the collection's.

    Parameters
    ----------
    collection
        A collection of mongomock or MontyDB.
    """

    def __init__(self, collection: Any) -> None:
        self._guarded = collection

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the collection, its method guarded where it takes criteria."""
        found = getattr(self._guarded, name)
        if name in _CRITERIA_ARGUMENT:
            return partial(_checked, found, _CRITERIA_ARGUMENT[name])
        return partial(_checked_requests, found) if name == "bulk_write" else found


def _checked(method: Callable[..., Any], place: int, *args: Any, **kwargs: Any) -> Any:
    if len(args) > place:
        refuse_code(args[place])
    for name in _CRITERIA_NAMES:
        refuse_code(kwargs.get(name))
    return method(*args, **kwargs)


def _checked_requests(method: Callable[..., Any], requests: Any, **kwargs: Any) -> Any:
    requests = list(requests)
    for request in requests:
        refuse_code(getattr(request, "_filter", None))
    return method(requests, **kwargs)


class MemoryStore(maggma.stores.MemoryStore):
    """maggma's store in memory; criteria that run code are refused."""

    @property
    def _collection(self) -> Any:
        return GuardedCollection(super()._collection)


class MontyStore(maggma.stores.MontyStore):
    """maggma's MontyDB store; criteria that run code are refused."""

    read_only = False
    """Whether the folder stays as it is. MontyDB writes into every folder that it opens, so that
    a copy is read, which is removed with the store."""

    @property
    def _collection(self) -> Any:
        return GuardedCollection(super()._collection)

    def connect(self, force_reset: bool = False) -> None:
        """Open the folder, or a copy of it.

        Parameters
        ----------
        force_reset
            Open it again where the store is connected already.

        Raises
        ------
        ValueError
            If the store is only read and its folder is no MontyDB database, or does not hold
            the collection; one line.
        """
        if not self.read_only:
            super().connect(force_reset)
            return
        if self._coll is not None and not force_reset:
            return
        folder = Path(self.database_path)
        self._refuse_others(folder)
        copy = tempfile.TemporaryDirectory(prefix="crystalicl-", ignore_cleanup_errors=True)
        shutil.copytree(folder, copy.name, dirs_exist_ok=True)
        self.database_path = copy.name
        try:
            super().connect(force_reset)
        finally:
            self.database_path = str(folder)
        self._copy = copy  # lives as long as the store

    def _refuse_others(self, folder: Path) -> None:
        if not (folder / MONTY_MARK).is_file():
            raise ValueError(f"store {folder} is no MontyDB database")
        if self.storage != "sqlite":
            return  # the others' files have other names
        kept = folder / self.database_name
        found = sorted(path.stem for path in kept.glob("*.collection"))
        if self.collection_name not in found:
            held = f"; it holds {', '.join(found)}" if found else ""
            raise ValueError(f"store {folder} holds no collection {self.collection_name!r}{held}")


class JSONStore(maggma.stores.JSONStore):
    """maggma's store in a JSON file; two processes can write to it.

    Its file is read without importing what it names, and replaced in one step. What another
    process wrote since the last reading or writing is kept: see :mod:`.json_files`.
    """

    @property
    def _collection(self) -> Any:
        return GuardedCollection(super()._collection)

    def connect(self, force_reset: bool = False) -> None:
        """Read the file.

        Parameters
        ----------
        force_reset
            Read it again where the store is connected already.

        Raises
        ------
        ValueError
            If the file is missing and must not be made, or is no list of documents.
        """
        if self._coll is None or force_reset:
            load_json_store(self)

    def update_json_file(self) -> None:
        """Write the file in one step."""
        save_json_store(self)


EMBEDDED: Mapping[str, type[maggma.stores.MemoryStore]] = {
    "MemoryStore": MemoryStore,
    "MontyStore": MontyStore,
    "JSONStore": JSONStore,
}
"""Name of maggma's class → the class that stands for it here."""


def only_read(store: Store) -> Store:
    """Return a store, not yet connected, that will write nothing; also as it connects.

    Parameters
    ----------
    store
        One in a file or a folder of its own. A server's writes nothing before it is told to.
    """
    if isinstance(store, JSONStore | MontyStore | SQLiteStore):
        store.read_only = True
    return store


def guard_collection(store: maggma.stores.MemoryStore) -> None:
    """Let a connected embedded store of maggma's own class refuse criteria with code, too."""
    if isinstance(store, tuple(EMBEDDED.values())) or store._coll is None:
        return
    if not isinstance(store._coll, GuardedCollection):
        store._coll = GuardedCollection(store._coll)
