"""Empty stores of every kind, for the tests of what is kept in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from maggma.core import Store

from crystalicl_jobflow.stores.opening import open_store


@pytest.fixture(
    params=["memory", "json", "monty", pytest.param("mongodb", marks=pytest.mark.mongodb)]
)
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an empty pool in each kind of store."""
    kind = request.param
    if kind == "mongodb":
        uri = request.getfixturevalue("mongodb_uri").split("?")[0].rstrip("/")
        host = "/".join(uri.split("/")[:3])
        store = open_store(f"{host}/crystalicl_test/{tmp_path.name}")
        yield store
        store._collection.drop()
        return
    spec = {"memory": "memory:", "json": tmp_path / "p.json", "monty": tmp_path / "p.db"}[kind]
    yield open_store(spec)
