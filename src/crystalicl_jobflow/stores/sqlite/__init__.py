"""A maggma store in one SQLite file."""

from __future__ import annotations

from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

__all__ = [
    "SQLiteStore",
]
