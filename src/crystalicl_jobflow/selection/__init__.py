"""Which candidates are selected for a more expensive step."""

from __future__ import annotations

from crystalicl_jobflow.selection.ranking import RANKINGS
from crystalicl_jobflow.selection.select import SelectionRules, ranked_places, select_candidates
from crystalicl_jobflow.selection.summary import summarize

__all__ = [
    "RANKINGS",
    "SelectionRules",
    "ranked_places",
    "select_candidates",
    "summarize",
]
