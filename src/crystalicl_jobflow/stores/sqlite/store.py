"""A maggma store in one SQLite file, with indexes that are used.

The stores that maggma embeds look at every document for every question, and take time
quadratic in their number to be written. This one answers from indexes, in one file, without a
server; several processes can write to it, one after the other.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import bson
from maggma.core import Sort, Store, StoreError

from crystalicl_jobflow.stores.sqlite.mongo_to_sql import (
    applies,
    dig,
    direction,
    flat_values,
    order_by,
    project,
    quoted,
    sanitized,
    translate,
)
from crystalicl_jobflow.stores.sqlite.read_only import ReadOnlyTables
from crystalicl_jobflow.stores.sqlite.tables import SQLiteTables

BUSY_SECONDS = 120.0
"""How long a writer waits for another one."""

_BATCH = 500


class SQLiteStore(Store):
    """Documents in one SQLite file, found by the fields that are indexed.

    Criteria are MongoDB's. What they say about indexed fields, SQLite answers; what they say
    about others is compared document by document.

    Parameters
    ----------
    path
        The file; ``:memory:`` for none. Parents must exist.
    collection_name
        Name of the collection; a file may hold several.
    key
        Key field, unique.
    indexes
        Indexes as sequences of fields (dotted below others), made when connecting.
    read_only
        Whether nothing is ever written: no file beside this one, no index, no document.
    **kwargs
        For maggma's Store.

    Examples
    --------
    >>> from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
    >>> store = SQLiteStore(":memory:", key="name", indexes=[("size",)])
    >>> store.connect()
    >>> store.update([{"name": "a", "size": 2}, {"name": "b", "size": 1}])
    >>> [item["name"] for item in store.query({"size": {"$lt": 3}}, sort={"size": 1})]
    ['b', 'a']
    """

    def __init__(
        self,
        path: str | Path,
        collection_name: str = "documents",
        *,
        key: str = "task_id",
        indexes: Sequence[Sequence[str]] = (),
        read_only: bool = False,
        **kwargs: Any,
    ) -> None:
        self.path = str(path)
        self.read_only = read_only
        self.collection_name = collection_name
        self.indexes = [list(fields) for fields in indexes]
        self._opened: SQLiteTables | None = None
        self._lock = threading.RLock()
        self._in_transaction = False
        super().__init__(key=key, **kwargs)

    @property
    def name(self) -> str:
        """Name of the source of data."""
        return f"sqlite://{self.path}/{self.collection_name}"

    @property
    def _collection(self) -> Any:
        raise NotImplementedError("an SQLiteStore has no pymongo collection")

    @property
    def _tables(self) -> SQLiteTables:
        if self._opened is None:
            raise StoreError(  # type: ignore[no-untyped-call]  # an exception of maggma's
                "Must connect SQLiteStore before attempting to use it"
            )
        if isinstance(self._opened, ReadOnlyTables):
            self._opened.follow_writers()
        return self._opened

    @property
    def _db(self) -> sqlite3.Connection:
        return self._tables.connection

    def connect(self, force_reset: bool = False) -> None:
        """Open the file and make its tables and indexes where they are missing.

        Raises
        ------
        ValueError
            If the file is no SQLite database; of a store that is only read, also if it is
            missing or holds no such collection.
        """
        if self._opened is not None and not force_reset:
            return
        if self.read_only:
            self._opened = ReadOnlyTables(self.path, self.collection_name, self.key)
            return
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._opened = SQLiteTables(connection, self.collection_name, self.key)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            with self.transaction():
                self._tables.make()
                for fields in self.indexes:
                    self._tables.add_index(fields)
        except sqlite3.DatabaseError as error:
            connection.close()
            self._opened = None
            raise ValueError(f"store {self.path} cannot be opened: {error}") from None

    def close(self) -> None:
        """Close the file; one that is only in memory stays."""
        if self._opened is not None and self.path != ":memory:":
            self._opened.connection.close()
            self._opened = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Read and write as one: other writers wait, and an exception undoes everything.

        Raises
        ------
        ValueError
            If the store was opened for reading only.
        """
        if self.read_only:
            raise ValueError(f"store {self.path} was opened for reading only")
        with self._lock:
            if self._in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._in_transaction = True
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
            finally:
                self._in_transaction = False

    def count(self, criteria: dict[str, Any] | None = None) -> int:
        """Return how many documents meet the criteria."""
        where = translate(criteria or {}, self._tables.fields())
        if where.exact:
            sql = f"SELECT COUNT(*) FROM {self._tables.table('columns')} c WHERE {where.sql}"
            return int(self._db.execute(sql, where.values).fetchone()[0])
        return sum(1 for _ in self.query(criteria))

    def query(
        self,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
        **_: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield documents.

        Parameters
        ----------
        criteria
            In MongoDB's language.
        properties
            Fields to return; all by default.
        sort
            Field → 1 or -1. Missing values come first, as in MongoDB.
        skip, limit
            Documents passed over, and most documents returned; 0 for all.
        """
        order = {name: direction(way) for name, way in (sort or {}).items()}
        if any(name not in self._tables.fields().scalars for name in order):
            yield from self._sorted_in_memory(criteria, properties, order, skip, limit)
            return
        sql, values, exact = self.statement(criteria, sort=order)
        if exact and (limit or skip):
            sql += " LIMIT ? OFFSET ?"
            values = [*values, limit or -1, skip]
        found = 0
        for document in self._read([row[0] for row in self._db.execute(sql, values)]):
            if exact:
                yield project(document, properties)
                continue
            if not applies(criteria or {}, document):
                continue
            found += 1
            if found > skip:
                yield project(document, properties)
            if limit and found - skip >= limit:
                return

    def statement(
        self, criteria: Mapping[str, Any] | None = None, *, sort: Mapping[str, int] | None = None
    ) -> tuple[str, list[Any], bool]:
        """Return the SQL that finds the numbers of the documents of a query.

        Parameters
        ----------
        criteria, sort
            As in :meth:`query`; the sort's fields are indexed.

        Returns
        -------
        sql, values, exact
            Without exactness it finds some that do not meet the criteria, too.
        """
        where = translate(criteria or {}, self._tables.fields())
        order = ", ".join(
            f"c.{quoted(name)} {'ASC' if way > 0 else 'DESC'}" for name, way in (sort or {}).items()
        )
        sql = (
            f"SELECT c.id FROM {self._tables.table('columns')} c WHERE {where.sql}"
            f" ORDER BY {order or 'c.id'}"
        )
        return sql, list(where.values), where.exact

    def explain(
        self, criteria: Mapping[str, Any] | None = None, *, sort: Mapping[str, int] | None = None
    ) -> list[str]:
        """Return how SQLite finds the documents of a query: a line per step."""
        sql, values, _ = self.statement(criteria, sort=sort)
        return [row[3] for row in self._db.execute(f"EXPLAIN QUERY PLAN {sql} LIMIT 20", values)]

    def get_many(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the documents with these keys, those that are there."""
        for start in range(0, len(keys), _BATCH):
            some = list(keys[start : start + _BATCH])
            sql = (
                f"SELECT document FROM {self._tables.table('documents')}"
                f" WHERE name IN ({', '.join('?' * len(some))})"
            )
            for (blob,) in self._db.execute(sql, some).fetchall():
                yield bson.decode(blob)

    def _read(self, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield documents by number, in this order."""
        for start in range(0, len(numbers), _BATCH):
            some = numbers[start : start + _BATCH]
            sql = (
                f"SELECT id, document FROM {self._tables.table('documents')}"
                f" WHERE id IN ({', '.join('?' * len(some))})"
            )
            blobs = dict(self._db.execute(sql, some).fetchall())
            for number in some:
                if number in blobs:  # another process may have removed it
                    yield bson.decode(blobs[number])

    def update(
        self, docs: list[dict[str, Any]] | dict[str, Any], key: list[Any] | str | None = None
    ) -> None:
        """Insert documents, or replace those with their key.

        Raises
        ------
        ValueError
            If `key` is not the store's own.
        """
        if key not in (None, self.key, [self.key]):
            raise ValueError(f"an SQLiteStore updates by its key {self.key!r}, not {key!r}")
        self.put_many([docs] if isinstance(docs, dict) else docs)

    def put_many(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Insert or replace documents in one transaction."""
        with self.transaction():
            fields = self._tables.fields()
            for given in documents:
                document = {name: value for name, value in given.items() if name != "_id"}
                try:
                    blob = bson.encode(document)
                except bson.errors.InvalidDocument:
                    document = sanitized(document)
                    blob = bson.encode(document)
                self._tables.put(document, blob, fields)

    def ensure_index(self, key: str, unique: bool = False) -> bool:  # noqa: ARG002 (maggma's)
        """Index one field; returns True."""
        self.ensure_compound_index([key])
        return True

    def ensure_compound_index(self, fields: Sequence[str]) -> None:
        """Index fields together, in this order."""
        with self.transaction():
            self._tables.add_index(list(fields))

    def groupby(
        self,
        keys: list[str] | str,
        criteria: dict[str, Any] | None = None,
        properties: dict[str, Any] | list[str] | None = None,
        sort: dict[str, Sort | int] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield groups of documents with the same values of some fields."""
        names = [keys] if isinstance(keys, str) else list(keys)
        groups: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        wanted = None if properties is None else [*properties, *names]
        for document in self.query(criteria, wanted, sort, skip, limit):
            values = {name: dig(document, name) for name in names}
            if all(value is None for value in values.values()):
                continue
            groups.setdefault(repr(values), (values, []))[1].append(document)
        yield from groups.values()

    def distinct(
        self,
        field: str,
        criteria: dict[str, Any] | None = None,
        all_exist: bool = False,  # noqa: ARG002 (maggma's)
    ) -> list[Any]:
        """Return the different values of a field; of a list, those of its items."""
        fields = self._tables.fields()
        where = translate(criteria or {}, fields)
        if field in fields.lists and where.exact:
            sql = (
                f"SELECT DISTINCT value FROM {fields.items} WHERE field = ? AND id IN"
                f" (SELECT c.id FROM {self._tables.table('columns')} c WHERE {where.sql})"
            )
            return [row[0] for row in self._db.execute(sql, [field, *where.values])]
        found: dict[str, Any] = {}
        for document in self.query(criteria, [field]):
            for value in flat_values(document, field):
                found.setdefault(repr(value), value)
        return list(found.values())

    def remove_docs(self, criteria: dict[str, Any]) -> None:
        """Remove the documents that meet the criteria."""
        with self.transaction():
            names = [str(document[self.key]) for document in self.query(criteria, [self.key])]
            for name in names:
                self._tables.remove(name)

    def __eq__(self, other: object) -> bool:
        """Return whether both name the same collection."""
        return isinstance(other, SQLiteStore) and self.name == other.name

    def __hash__(self) -> int:
        """Return a hash of the name."""
        return hash(self.name)

    def _sorted_in_memory(
        self,
        criteria: dict[str, Any] | None,
        properties: dict[str, Any] | list[str] | None,
        order: Mapping[str, int],
        skip: int,
        limit: int,
    ) -> Iterator[dict[str, Any]]:
        documents = list(self.query(criteria))
        for name, way in reversed(list(order.items())):
            documents.sort(key=partial(order_by, name), reverse=way < 0)
        for document in documents[skip : skip + limit if limit else None]:
            yield project(document, properties)
