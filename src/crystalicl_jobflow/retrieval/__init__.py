"""The pool of demonstrations, and the choice among them."""

from __future__ import annotations

from crystalicl_jobflow.retrieval.builder import DemonstrationBuilder
from crystalicl_jobflow.retrieval.choosing import retrieve, retrieve_many
from crystalicl_jobflow.retrieval.criteria import RELAXATION_ORDER
from crystalicl_jobflow.retrieval.groups import MAX_GROUPS
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.opening import open_pool
from crystalicl_jobflow.retrieval.pool import PoolReport, compute_fingerprints, fill_pool
from crystalicl_jobflow.retrieval.strategies import MAX_SHOTS

__all__ = [
    "MAX_GROUPS",
    "MAX_SHOTS",
    "RELAXATION_ORDER",
    "DemonstrationBuilder",
    "DemonstrationIndex",
    "PoolReport",
    "compute_fingerprints",
    "fill_pool",
    "open_pool",
    "retrieve",
    "retrieve_many",
]
