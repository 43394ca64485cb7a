"""Judge of finished texts, which asks whether a crystal is of the group asked for."""

from __future__ import annotations

import warnings

from pymatgen.core import Structure

from crystalicl_jobflow.generation.base import AcceptText, GenerationRequest
from crystalicl_jobflow.schemas import Condition, FailureReason
from crystalicl_jobflow.settings import SETTINGS


def symmetry_accept(
    condition: Condition, *, symprec: float | None = None, text_format: str = "sgs"
) -> AcceptText:
    """Return a judge that asks for another draw where the symmetry is not as asked.

    A constraint gives a crystal at least the symmetry that its text declares. What it
    cannot see is that coordinates and cell happen to be more symmetric.

    Parameters
    ----------
    condition
        What is asked for; where it names no group, the one that the text declares counts.
    symprec
        Tolerance in Å of the symmetry search; by default that of the settings.
    text_format
        ``sgs`` or ``sgsw``.
    """
    from crystalicl_jobflow.text import SGS, SGSW, TextError

    form = SGSW if text_format.lower() == "sgsw" else SGS
    tolerance = SETTINGS.SYMPREC if symprec is None else symprec

    def accept(text: str, request: GenerationRequest) -> FailureReason | None:
        try:
            crystal = form.parse(text)
            structure = form.build(crystal)
        except TextError as error:
            return error.reason
        found = _found_group(structure, tolerance)
        if found is None:
            return FailureReason.SYMMETRY_NOT_FOUND
        asked = condition.space_groups or (crystal.space_group_number,)
        return None if found in asked else FailureReason.SYMMETRY_DIFFERS

    return accept


def _found_group(structure: Structure, symprec: float) -> int | None:
    """Return the space-group number as pymatgen's ``SpacegroupAnalyzer`` finds it."""
    from crystalicl_jobflow.text.symmetry import structure_dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = structure_dataset(structure, symprec=symprec)
    return None if dataset is None else int(dataset.number)
