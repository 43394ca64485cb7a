"""The demonstration index, the selection strategies, the pool and its sources."""

from __future__ import annotations

from crystalicl_jobflow.retrieval.fingerprints import crystal_fingerprint
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.matching import RELAXATION_ORDER
from crystalicl_jobflow.retrieval.opening import open_pool
from crystalicl_jobflow.retrieval.pool import PoolReport, compute_fingerprints, fill_pool
from crystalicl_jobflow.retrieval.records import Record
from crystalicl_jobflow.retrieval.selection import MAX_SHOTS, retrieve, retrieve_many
from crystalicl_jobflow.retrieval.sources import Source, open_source
from crystalicl_jobflow.stores import open_store

__all__ = [
    "MAX_SHOTS",
    "RELAXATION_ORDER",
    "DemonstrationIndex",
    "PoolReport",
    "Record",
    "Source",
    "compute_fingerprints",
    "crystal_fingerprint",
    "fill_pool",
    "open_pool",
    "open_source",
    "open_store",
    "retrieve",
    "retrieve_many",
]
