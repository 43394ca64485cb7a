"""The demonstration index, the selection strategies, the pool and its sources."""

from __future__ import annotations

from crystalicl_jobflow.retrieval.pool import PoolReport, compute_fingerprints, fill_pool
from crystalicl_jobflow.retrieval.sources import open_source
from crystalicl_jobflow.stores import open_store

__all__ = [
    "PoolReport",
    "compute_fingerprints",
    "fill_pool",
    "open_source",
    "open_store",
]
