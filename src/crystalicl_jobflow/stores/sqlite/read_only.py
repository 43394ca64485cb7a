"""The tables of an SQLite file that is only read: nothing is written, not even beside it.

A file in write-ahead mode, as :class:`~crystalicl_jobflow.stores.sqlite.store.SQLiteStore` makes
it, gets two companions (``-wal``, ``-shm``) from whoever opens it, and a reader that may not
write cannot remove them. Without a companion there is no writer, and the file is read as one
that does not change; with one, a writer is at work (or was killed), and the file is read along
with what is in the companions.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from crystalicl_jobflow.stores.sqlite.tables import SQLiteTables


class ReadOnlyTables(SQLiteTables):
    """The tables of a collection, opened for reading only.

    Parameters
    ----------
    path
        The file.
    collection_name, key
        As in :class:`~crystalicl_jobflow.stores.sqlite.tables.SQLiteTables`.

    Raises
    ------
    ValueError
        If the file is missing, is no SQLite database or holds no such collection; one line.
    """

    def __init__(self, path: str, collection_name: str, key: str) -> None:
        self._path = Path(path).absolute()
        if not self._path.is_file():
            raise ValueError(f"store {path} does not exist")
        super().__init__(self._open(), collection_name, key)
        try:
            found = self._collections()
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise ValueError(f"store {path} cannot be opened: {error}") from None
        if collection_name not in found:
            self.connection.close()
            held = f"; it holds {', '.join(found)}" if found else ""
            raise ValueError(f"store {path} holds no collection {collection_name!r}{held}")

    def follow_writers(self) -> None:
        """Open the file anew where a writer has come since: it may change from then on."""
        if self._unchanging and self._has_writer():
            self.connection.close()
            self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        self._unchanging = not self._has_writer()
        options = "mode=ro&immutable=1" if self._unchanging else "mode=ro"
        return sqlite3.connect(
            f"{self._path.as_uri()}?{options}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def _has_writer(self) -> bool:
        return self._path.with_name(f"{self._path.name}-wal").exists()

    def _collections(self) -> list[str]:
        ending = ".documents"
        tables = self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [str(row[0]) for row in tables]
        return sorted(name.removesuffix(ending) for name in names if name.endswith(ending))
