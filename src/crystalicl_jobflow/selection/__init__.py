"""Which candidates are selected for a more expensive step."""

from __future__ import annotations

from crystalicl_jobflow.selection.evidence_energies import EvidenceEnergies, add_energies
from crystalicl_jobflow.selection.pattern_fits import add_pattern_fits
from crystalicl_jobflow.selection.ranking import RANKINGS
from crystalicl_jobflow.selection.select import SelectionRules, ranked_places, select_candidates
from crystalicl_jobflow.selection.summary import summarize

__all__ = [
    "RANKINGS",
    "EvidenceEnergies",
    "SelectionRules",
    "add_energies",
    "add_pattern_fits",
    "ranked_places",
    "select_candidates",
    "summarize",
]
