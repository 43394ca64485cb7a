"""The stores that maggma embeds, without what runs code and without losing what others write.

They have maggma's names and take maggma's arguments. Every collection refuses criteria that
run code; the JSON store reads its file without importing modules, and replaces it in one
step under a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import maggma.stores

from crystalicl_jobflow.stores.criteria import refuse_code
from crystalicl_jobflow.stores.json_files import load_json_store, save_json_store

_CRITERIA_ARGUMENT = {
    "find": 0, "find_one": 0, "count_documents": 0, "aggregate": 0, "delete_one": 0,
    "delete_many": 0, "update_one": 0, "update_many": 0, "replace_one": 0,
    "find_one_and_update": 0, "find_one_and_replace": 0, "find_one_and_delete": 0,
    "distinct": 1,
}  # fmt: skip
_CRITERIA_NAMES = ("filter", "pipeline", "projection", "sort", "query", "hint")


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

    @property
    def _collection(self) -> Any:
        return GuardedCollection(super()._collection)


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


def guard_collection(store: maggma.stores.MemoryStore) -> None:
    """Let a connected embedded store of maggma's own class refuse criteria with code, too."""
    if isinstance(store, tuple(EMBEDDED.values())) or store._coll is None:
        return
    if not isinstance(store._coll, GuardedCollection):
        store._coll = GuardedCollection(store._coll)
