"""Where structural fingerprints are kept between runs: a sqlite file or any maggma store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from maggma.core import Store

Value = NDArray[np.float64] | str
"""A fingerprint, or why there is none."""

_AT_ONCE = 500  # sqlite allows 999 variables in one statement
SQLITE_ENDINGS = (".sqlite", ".sqlite3", ".db")


@runtime_checkable
class FingerprintCache(Protocol):
    """Anything that keeps values by structure hash, reading and writing many at once."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Value]:
        """Return what is known of these keys."""
        ...

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Keep these values, in place of those that were there."""
        ...


@contextmanager
def open_fingerprint_cache(
    spec: FingerprintCache | Store | str | Path | None, *, kind: str | Callable[[], str]
) -> Iterator[FingerprintCache | None]:
    """Open a cache for the length of a ``with`` block.

    Parameters
    ----------
    spec
        None; a path ending in ``.sqlite``, ``.sqlite3`` or ``.db``; a maggma store (it
        stays open) or a text that :func:`crystalicl_jobflow.stores.open_store`
        understands; or a cache, taken as it is.
    kind
        What the values are and which versions gave them; values of another kind are not
        seen.

    Raises
    ------
    ValueError
        If the cache cannot be opened; one line.
    """
    if spec is None or isinstance(spec, FingerprintCache):
        yield spec
        return
    name = kind if isinstance(kind, str) else kind()
    if isinstance(spec, str | Path) and str(spec).endswith(SQLITE_ENDINGS):
        with SqliteFingerprints.open(spec, kind=name) as cache:
            yield cache
        return
    from maggma.core import Store

    from crystalicl_jobflow.stores import connect_store, open_store

    if isinstance(spec, Store):
        connect_store(spec)
        yield StoreFingerprints(spec, kind=name)
        return
    store = open_store(spec, "fingerprints", key="fingerprint_id")
    try:
        yield StoreFingerprints(store, kind=name)
    finally:
        store.close()  # type: ignore[no-untyped-call] # maggma's


class SqliteFingerprints:
    """Values in one sqlite file; several processes may use it.

    Parameters
    ----------
    connection
        Open connection.
    kind
        See :func:`open_fingerprint_cache`.
    """

    def __init__(self, connection: sqlite3.Connection, *, kind: str) -> None:
        self._connection = connection
        self._kind = kind
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS fingerprints (kind TEXT, structure_hash TEXT,"
                " value BLOB, error TEXT, PRIMARY KEY (kind, structure_hash)) WITHOUT ROWID"
            )

    @classmethod
    @contextmanager
    def open(cls, path: str | Path, *, kind: str) -> Iterator[SqliteFingerprints]:
        """Open a file, made where there is none, for the length of a ``with`` block."""
        file = Path(path).expanduser()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, timeout=60)
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"fingerprint cache {path} cannot be opened: {error}") from None
        with closing(connection):
            try:
                cache = cls(connection, kind=kind)
            except sqlite3.Error as error:
                raise ValueError(f"fingerprint cache {path} cannot be used: {error}") from None
            yield cache

    def get_many(self, keys: Sequence[str]) -> dict[str, Value]:
        """Return what is known of these keys."""
        found: dict[str, Value] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = list(keys[start : start + _AT_ONCE])
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(
                "SELECT structure_hash, value, error FROM fingerprints"
                f" WHERE kind = ? AND structure_hash IN ({marks})",
                [self._kind, *some],
            )
            for key, blob, error in rows:
                found[key] = error if blob is None else np.frombuffer(blob, dtype="<f8").copy()
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Keep these values, in one transaction."""
        rows = [
            (self._kind, key, None, value)
            if isinstance(value, str)
            else (self._kind, key, np.asarray(value, dtype="<f8").tobytes(), None)
            for key, value in values.items()
        ]
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?, ?)", rows
            )


class StoreFingerprints:
    """Values as documents of a connected maggma store, read and written in bulk.

    Parameters
    ----------
    store
        Any maggma store, connected. Its key field holds ``kind:structure_hash``.
    kind
        See :func:`open_fingerprint_cache`.
    """

    def __init__(self, store: Store, *, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._existing: set[str] = set()

    def get_many(self, keys: Sequence[str]) -> dict[str, Value]:
        """Return what is known of these keys."""
        from maggma.stores import MemoryStore

        by_id = {self._identifier(key): key for key in keys}
        found: dict[str, Value] = {}
        key_field = self._store.key
        fields = [key_field, "value", "error"]
        # embedded stores answer `$in` by comparing every document with every value
        whole = isinstance(self._store, MemoryStore)
        names = list(by_id)
        queries: list[dict[str, Any]] = (
            [{"kind": self._kind}]
            if whole
            else [
                {key_field: {"$in": names[start : start + _AT_ONCE]}}
                for start in range(0, len(names), _AT_ONCE)
            ]
        )
        for criteria in queries if names else []:
            for document in self._store.query(criteria, properties=fields):
                identifier = document[key_field]
                self._existing.add(identifier)
                if identifier in by_id:
                    value = document.get("value")
                    found[by_id[identifier]] = (
                        str(document.get("error"))
                        if value is None
                        else np.array(value, dtype=np.float64)
                    )
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Keep these values."""
        from crystalicl_jobflow.stores import write_documents

        documents: list[dict[str, Any]] = [
            {
                self._store.key: self._identifier(key),
                "kind": self._kind,
                "structure_hash": key,
                "value": None if isinstance(value, str) else [float(x) for x in value],
                "error": value if isinstance(value, str) else None,
            }
            for key, value in values.items()
        ]
        write_documents(self._store, documents, existing=self._existing)
        self._existing.update(document[self._store.key] for document in documents)

    def _identifier(self, key: str) -> str:
        return f"{self._kind}:{key}"
