"""Criteria are data, at any depth and by whichever method they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import DeleteMany, InsertOne, UpdateOne

from crystalicl_jobflow.stores import open_store, write_documents
from crystalicl_jobflow.stores.criteria import MAX_DEPTH, ForbiddenCriteriaError, refuse_code

CODE = {"$where": "True"}


def mappings(depth: int) -> dict[str, Any]:
    """Return criteria in which a value lies below so many mappings."""
    criteria: Any = 1
    for _ in range(depth):
        criteria = {"$not": criteria}
    return dict(criteria)


def lists(depth: int) -> dict[str, Any]:
    """Return criteria in which a value lies below one mapping and many lists."""
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    return {"$and": value}


@pytest.mark.parametrize("nested", [mappings, lists])
def test_criteria_nested_too_deeply_are_refused_in_one_line(nested: Any) -> None:
    refuse_code(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 5_000):
        with pytest.raises(ForbiddenCriteriaError, match=r"nested more than 32 times$"):
            refuse_code(nested(depth))


@pytest.mark.parametrize("name", ["memory:", "pool.json"])
def test_requests_in_bulk_are_looked_at_too(name: str, tmp_path: Path) -> None:
    store = open_store(name if name == "memory:" else tmp_path / name)
    write_documents(store, [{"demonstration_id": "a", "value": 1}])
    change = {"$set": {"value": 2}}
    for request in (DeleteMany(CODE), UpdateOne({"$or": [CODE]}, change)):
        with pytest.raises(ForbiddenCriteriaError, match=r"\$where"):
            store._collection.bulk_write([InsertOne({"demonstration_id": "b"}), request])
    assert [item["value"] for item in store.query()] == [1]  # nor was the other request met
    store._collection.bulk_write(iter([UpdateOne({"demonstration_id": "a"}, change)]))
    assert [item["value"] for item in store.query()] == [2]
