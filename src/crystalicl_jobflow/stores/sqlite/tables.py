"""The tables of a collection of documents in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import bson

from crystalicl_jobflow.stores.sqlite.mongo_to_sql import Fields, column_value, dig, quoted


class SQLiteTables:
    """Three tables: documents, their indexed fields, the items of those that hold lists.

    ``documents`` holds the documents, ``columns`` one column per indexed field, ``items`` a
    row for every item of an indexed field that holds lists. Every method is one part of a
    transaction of the caller's.

    Parameters
    ----------
    connection
        The open file.
    collection_name
        Name of the collection, which begins the names of its tables.
    key
        Key field of the documents, always indexed.
    """

    def __init__(self, connection: sqlite3.Connection, collection_name: str, key: str) -> None:
        self.connection = connection
        self.collection_name = collection_name
        self.key = key

    def table(self, what: str) -> str:
        """Return the quoted name of ``documents``, ``columns`` or ``items``."""
        return quoted(f"{self.collection_name}.{what}")

    def make(self) -> None:
        """Make what is missing."""
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table('documents')}"
            " (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, document BLOB NOT NULL)"
        )
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table('columns')}"
            f" (id INTEGER PRIMARY KEY, {quoted(self.key)})"
        )
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table('items')}"
            " (field TEXT, value, id INTEGER, PRIMARY KEY (field, value, id)) WITHOUT ROWID"
        )
        self.connection.execute(
            f"CREATE INDEX IF NOT EXISTS {quoted(f'{self.collection_name}.items.id')}"
            f" ON {self.table('items')} (id)"
        )
        self.add_index([self.key])

    def fields(self) -> Fields:
        """Return the indexed fields, those among them that hold lists apart."""
        names = [
            row[1] for row in self.connection.execute(f"PRAGMA table_info({self.table('columns')})")
        ]
        lists = [
            row[0] for row in self.connection.execute(
                f"WITH RECURSIVE f(name) AS (SELECT MIN(field) FROM {self.table('items')}"
                f" UNION ALL SELECT (SELECT MIN(field) FROM {self.table('items')}"
                " WHERE field > f.name) FROM f WHERE f.name IS NOT NULL)"
                " SELECT name FROM f WHERE name IS NOT NULL"
            )
        ]  # fmt: skip
        return Fields(
            scalars=frozenset(names) - {"id"} - set(lists),
            lists=frozenset(lists),
            items=self.table("items"),
        )

    def add_index(self, fields: list[str]) -> None:
        """Index fields together, in this order, for the documents that are there too."""
        known = {
            row[1] for row in self.connection.execute(f"PRAGMA table_info({self.table('columns')})")
        }
        new = [name for name in fields if name not in known]
        for name in new:
            self.connection.execute(
                f"ALTER TABLE {self.table('columns')} ADD COLUMN {quoted(name)}"
            )
        index = quoted(f"{self.collection_name}:{','.join(fields)}")
        columns = ", ".join(quoted(name) for name in fields)
        self.connection.execute(
            f"CREATE INDEX IF NOT EXISTS {index} ON {self.table('columns')} ({columns})"
        )
        if new:
            every = self.fields()
            sql = f"SELECT id, document FROM {self.table('documents')}"
            for number, blob in self.connection.execute(sql).fetchall():
                self.index_document(number, bson.decode(blob), every)

    def index_document(self, number: int, document: Mapping[str, Any], fields: Fields) -> None:
        """Write the indexed fields of a document into columns and items."""
        names = sorted(fields.scalars | fields.lists)
        values: list[Any] = []
        self.connection.execute(f"DELETE FROM {self.table('items')} WHERE id = ?", (number,))
        for name in names:
            value = dig(document, name)
            if isinstance(value, list):
                rows = [(name, column_value(item), number) for item in value]
                self.connection.executemany(
                    f"INSERT OR IGNORE INTO {self.table('items')} VALUES (?, ?, ?)", rows
                )
                value = None
            values.append(column_value(value))
        columns = ", ".join(quoted(name) for name in names)
        marks = ", ".join("?" * len(names))
        self.connection.execute(
            f"INSERT OR REPLACE INTO {self.table('columns')} (id, {columns}) VALUES (?, {marks})",
            (number, *values),
        )

    def put(self, document: Mapping[str, Any], blob: bytes, fields: Fields) -> None:
        """Insert a document, or replace the one with its key.

        Parameters
        ----------
        document, blob
            The document, and the same as BSON.
        fields
            The indexed fields.
        """
        row = self.connection.execute(
            f"INSERT INTO {self.table('documents')} (name, document) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET document = excluded.document RETURNING id",
            (str(document[self.key]), blob),
        ).fetchone()
        self.index_document(row[0], document, fields)

    def remove(self, name: str) -> None:
        """Remove the document with this key, if there is one."""
        for what in ("columns", "items"):
            self.connection.execute(
                f"DELETE FROM {self.table(what)} WHERE id = (SELECT id FROM"
                f" {self.table('documents')} WHERE name = ?)",
                (name,),
            )
        self.connection.execute(f"DELETE FROM {self.table('documents')} WHERE name = ?", (name,))
