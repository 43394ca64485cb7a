"""The indexes of the store of candidates, and which of them answers a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from maggma.core import Store
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

CANDIDATE_KEY = "candidate_id"
"""Key field of the candidates."""

ID_DIGITS = 24
"""Hexadecimal digits of a whole id."""

SORTED_BY = "energy_above_hull"
"""What people look at first; compound indexes end with it, so that its order costs nothing."""

CANDIDATE_INDEXES: tuple[tuple[str, ...], ...] = (
    # what it is, the most stable first
    ("formula_pretty", SORTED_BY),
    ("formula_anonymous", SORTED_BY),
    ("chemsys", SORTED_BY),
    ("elements", SORTED_BY),
    ("symmetry.number", SORTED_BY),
    ("symmetry.crystal_system", SORTED_BY),
    ("nelements", SORTED_BY),
    ("nsites", SORTED_BY),
    ("nsites_primitive", SORTED_BY),
    # whether it counts
    ("is_stable", "is_novel", SORTED_BY),
    ("is_metastable", SORTED_BY),
    ("is_novel", SORTED_BY),
    ("is_unique", SORTED_BY),
    ("valid", SORTED_BY),
    ("joint_success", SORTED_BY),
    ("failure_reason",),
    # ranges and orders
    (SORTED_BY,),
    ("formation_energy_per_atom",),
    ("band_gap",),
    ("density",),
    ("last_updated",),
    ("created_at",),
    # where it comes from
    ("run_ids", SORTED_BY),
    ("completes",),
)
"""Fields of each index, in order."""


def ensure_indexes(store: Store) -> None:
    """Declare the indexes where the store can have any.

    Parameters
    ----------
    store
        A connected store of candidates. On a MongoDB server and in SQLite files all of
        :data:`CANDIDATE_INDEXES` are made; other stores get their first fields.
    """
    if isinstance(store, SQLiteStore):
        for fields in CANDIDATE_INDEXES:
            store.ensure_compound_index(fields)
    elif isinstance(store, MemoryStore):
        return  # in memory, JSON and Monty, which know none
    elif isinstance(store, MongoStore):
        store._collection.create_index(CANDIDATE_KEY, unique=True)
        for fields in CANDIDATE_INDEXES:
            store._collection.create_index([(name, 1) for name in fields])
    else:
        store.ensure_index(store.key, unique=True)
        for name in dict.fromkeys(fields[0] for fields in CANDIDATE_INDEXES):
            store.ensure_index(name)


def index_for(
    criteria: Mapping[str, Any], sort: Mapping[str, int] | None = None
) -> tuple[str, ...] | None:
    """Return the index by whose prefix a query is answered, or None.

    That is: its first fields are asked for by value, and the one after them, if it is used, is
    the field to sort by or has a range. A query that sorts is answered only if the index gives
    the order, too. Of several the one with the most fields used.

    Parameters
    ----------
    criteria
        In MongoDB's language, terms joined by ``$and`` at most.
    sort
        Field → direction.
    """
    equal, bounded = _constrained(criteria)
    order = next(iter(sort or {}), None)
    best: tuple[int, tuple[str, ...]] | None = None
    for fields in ((CANDIDATE_KEY,), *CANDIDATE_INDEXES):
        used = 0
        for name in fields:
            if name not in equal:
                break
            used += 1
        nxt = fields[used] if used < len(fields) else None
        ordered = order is None or nxt == order or order in fields[:used]
        if nxt is not None and (nxt == order or nxt in bounded):
            used += 1
        if used and ordered and (best is None or used > best[0]):
            best = (used, fields)
    return None if best is None else best[1]


def _constrained(criteria: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the fields asked for by value, and those with a range."""
    equal: set[str] = set()
    bounded: set[str] = set()
    for name, condition in _terms(criteria):
        if not isinstance(condition, Mapping) or {"$eq", "$all"} & set(condition):
            equal.add(name)
        elif {"$in", "$gt", "$gte", "$lt", "$lte", "$ne"} & set(condition):
            bounded.add(name)
    return equal, bounded


def _terms(criteria: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, condition in criteria.items():
        if name == "$and":
            for item in condition:
                yield from _terms(item)
        elif not name.startswith("$"):
            yield name, condition
