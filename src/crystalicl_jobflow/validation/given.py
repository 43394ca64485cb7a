"""Crystals that nobody generated, as candidates: to evaluate them like generated ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.given import is_crystal
from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.schemas import Candidate, Condition, FailureReason, Provenance
from crystalicl_jobflow.text import CIF, TextError
from crystalicl_jobflow.thresholds import SYMPREC, check_tolerances
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.validation.checks import validate_structure
from crystalicl_jobflow.validation.provenance import check_versions
from crystalicl_jobflow.validation.validate import fill_candidate

GIVEN = "given"
"""What stands for the model of a crystal that was given."""


def as_candidates(given: Any) -> Sequence[Candidate]:
    """Return candidates from whatever holds crystals.

    Parameters
    ----------
    given
        Candidates; structures or ASE atoms, one or many; or a source of crystals, such as a folder
        of CIFs or a CSV. What a source holds and cannot be read is a candidate with its reason.

    Raises
    ------
    ValueError
        If it holds none of these; one line.
    """
    if isinstance(given, str | Path) or is_crystal(given):
        return _of_source([given] if is_crystal(given) else given)
    if not isinstance(given, Iterable):
        raise ValueError(
            "candidates are generated crystals, structures, ASE atoms or the name of files that"
            f" hold crystals, not {type(given).__name__}"
        )
    items = list(given)
    if all(isinstance(item, Candidate) for item in items):
        return items
    held = [getattr(item, "candidate", None) for item in items]
    if all(isinstance(item, Candidate) for item in held):  # crystals of a notebook
        return [item for item in held if isinstance(item, Candidate)]
    return _of_source(items)


def _of_source(source: Any) -> list[Candidate]:
    data = read_data_set(source)
    read = [_candidate(structure, place) for place, structure in enumerate(data.structures)]
    lost = [
        Candidate(
            candidate_id=text_hash(f"{GIVEN} {name} {place}")[:24],
            condition=Condition(),
            text=name,
            text_format="cif",
            provenance=_provenance(len(read) + place),
            failure_reason=FailureReason.BAD_CIF,
            failure_message=f"{name}: {reason}",
        )
        for place, (name, reason) in enumerate(data.failed)
    ]
    return read + lost


def _candidate(structure: Structure, place: int) -> Candidate:
    try:
        text = CIF.encode(structure)
    except TextError:  # a crystal that no text can hold is checked all the same
        text = structure.formula
    candidate = Candidate(
        candidate_id=text_hash(f"{GIVEN} {place} {text}")[:24],
        condition=Condition(),
        text=text,
        text_format="cif",
        provenance=_provenance(place),
    )
    return fill_candidate(candidate, structure, validate_structure(structure))


def _provenance(place: int) -> Provenance:
    return Provenance(
        prompt="",
        request_index=place,
        tolerances=check_tolerances(SYMPREC),
        versions=check_versions(),
    )
