"""Maggma Builders: structures to demonstrations, job outputs to candidates."""

from __future__ import annotations

from crystalicl_jobflow.builders.candidates import (
    CandidateBuilder,
    open_candidate_store,
    query_candidates,
    read_candidate,
    store_candidates,
)
from crystalicl_jobflow.builders.demonstrations import DemonstrationBuilder

__all__ = [
    "CandidateBuilder",
    "DemonstrationBuilder",
    "open_candidate_store",
    "query_candidates",
    "read_candidate",
    "store_candidates",
]
