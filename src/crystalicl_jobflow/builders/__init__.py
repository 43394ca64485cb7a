"""Maggma Builders: structures to demonstrations, job outputs to candidates; their query."""

from __future__ import annotations

from crystalicl_jobflow.builders.candidates import (
    CandidateBuilder,
    open_candidate_store,
    store_candidates,
)
from crystalicl_jobflow.builders.demonstrations import DemonstrationBuilder
from crystalicl_jobflow.builders.indexes import CANDIDATE_INDEXES, index_for
from crystalicl_jobflow.builders.query import (
    count_documents,
    find_documents,
    find_structures,
    query_candidates,
    read_candidate,
    read_document,
)
from crystalicl_jobflow.builders.question import CandidateQuery

__all__ = [
    "CANDIDATE_INDEXES",
    "CandidateBuilder",
    "CandidateQuery",
    "DemonstrationBuilder",
    "count_documents",
    "find_documents",
    "find_structures",
    "index_for",
    "open_candidate_store",
    "query_candidates",
    "read_candidate",
    "read_document",
    "store_candidates",
]
