"""Pools and stores for the tests of retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
from maggma.core import Store

from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool
from crystalicl_jobflow.stores.opening import open_store


@pytest.fixture(scope="session")
def prototypes() -> Store:
    """Return a pool of all prototypes; tests must not change it."""
    store = open_store("memory:")
    fill_pool("prototypes", store, fingerprints=False, processes=1)
    return store


@pytest.fixture(scope="session")
def fingerprinted() -> DemonstrationIndex:
    """Return an index of prototypes, thirty of which have fingerprints."""
    from crystalicl_jobflow.retrieval import compute_fingerprints

    store = open_store("memory:")
    fill_pool("prototypes", store, fingerprints=False, processes=1, limit=60)
    compute_fingerprints(store, limit=30, processes=1)
    return DemonstrationIndex.from_store(store)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep indexes of databases out of the user's cache."""
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"
