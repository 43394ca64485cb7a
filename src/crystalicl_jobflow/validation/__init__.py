"""From one text to one checked candidate."""

from __future__ import annotations

from crystalicl_jobflow.validation.bond_lengths import BondLengths, bond_lengths
from crystalicl_jobflow.validation.checks import Failure, StructureReport, validate_structure
from crystalicl_jobflow.validation.cif_validity import CifValidity, cif_validity
from crystalicl_jobflow.validation.composition import composition_valid
from crystalicl_jobflow.validation.distances import DistanceReport, distance_report, min_distance
from crystalicl_jobflow.validation.provenance import candidate_id
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.success import (
    asked_for,
    joint_success,
    judge,
    with_properties,
)
from crystalicl_jobflow.validation.summary import CrystalSummary, crystal_summary, find_space_group
from crystalicl_jobflow.validation.validate import build_candidates, validate_completion

__all__ = [
    "BondLengths",
    "CifValidity",
    "CrystalSummary",
    "DistanceReport",
    "Failure",
    "StructureReport",
    "asked_for",
    "bond_lengths",
    "build_candidates",
    "candidate_id",
    "cif_validity",
    "composition_valid",
    "crystal_summary",
    "distance_report",
    "find_space_group",
    "joint_success",
    "judge",
    "min_distance",
    "read_text",
    "validate_completion",
    "validate_structure",
    "with_properties",
]
