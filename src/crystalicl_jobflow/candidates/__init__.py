"""The database of candidates: builders, files and queries."""

from __future__ import annotations

from crystalicl_jobflow.candidates.builder import CandidateBuilder, store_candidates
from crystalicl_jobflow.candidates.candidate_query import CandidateQuery
from crystalicl_jobflow.candidates.files import read_candidates, write_candidates
from crystalicl_jobflow.candidates.indexes import CANDIDATE_INDEXES, index_for
from crystalicl_jobflow.candidates.opening import (
    load_candidates,
    open_candidate_store,
    open_candidates,
)
from crystalicl_jobflow.candidates.query import (
    Access,
    count_documents,
    find_documents,
    find_structures,
    query_candidates,
    read_candidate,
    read_document,
)

__all__ = [
    "CANDIDATE_INDEXES",
    "Access",
    "CandidateBuilder",
    "CandidateQuery",
    "count_documents",
    "find_documents",
    "find_structures",
    "index_for",
    "load_candidates",
    "open_candidate_store",
    "open_candidates",
    "query_candidates",
    "read_candidate",
    "read_candidates",
    "read_document",
    "store_candidates",
    "write_candidates",
]
