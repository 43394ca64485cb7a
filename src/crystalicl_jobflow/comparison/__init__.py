"""Crystals against crystals: matching, novelty, fingerprints, coverage, distributions."""

from __future__ import annotations

from crystalicl_jobflow.comparison.coverage import (
    Coverage,
    StandardScaler,
    compare_coverage,
    coverage_cutoffs,
)
from crystalicl_jobflow.comparison.distributions import (
    DISTRIBUTIONS,
    DistributionDistance,
    property_distributions,
    wasserstein,
)
from crystalicl_jobflow.comparison.fingerprint_sets import (
    CrystalFingerprints,
    composition_fingerprint,
    crystal_fingerprints,
)
from crystalicl_jobflow.comparison.matching import (
    MATCH,
    UNIQUE,
    MatchResult,
    MatchTolerances,
    match_many,
    match_structures,
    unique_groups,
)
from crystalicl_jobflow.comparison.novelty import (
    DISCOVERY_MEANINGS,
    Discovery,
    discover,
    is_metastable,
    is_stable,
    match_reference,
    unique_crystals,
)

__all__ = [
    "DISCOVERY_MEANINGS",
    "DISTRIBUTIONS",
    "MATCH",
    "UNIQUE",
    "Coverage",
    "CrystalFingerprints",
    "Discovery",
    "DistributionDistance",
    "MatchResult",
    "MatchTolerances",
    "StandardScaler",
    "compare_coverage",
    "composition_fingerprint",
    "coverage_cutoffs",
    "crystal_fingerprints",
    "discover",
    "is_metastable",
    "is_stable",
    "match_many",
    "match_reference",
    "match_structures",
    "property_distributions",
    "unique_crystals",
    "unique_groups",
    "wasserstein",
]
