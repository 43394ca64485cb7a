"""What a candidate's other jobs have left: relaxations, and calculations that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystalicl_jobflow.candidates.ordering import short_origin
from crystalicl_jobflow.energies.calculation_kinds import (
    STATIC,
    CalculationKind,
    calculation_kind,
    corrected_energy,
    is_converged,
    output_energy,
    output_structure,
    result_folder,
)
from crystalicl_jobflow.energies.energy_model import EnergyFailure
from crystalicl_jobflow.energies.relaxation_outputs import read_relaxation
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.redaction import redact

MAX_RESULTS = 1000
"""Results of one job that are kept for one candidate."""


def calculation_entries(
    candidate_id: str,
    results: Sequence[Any],
    maker: str,
    origin: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the relaxations and the other calculations in a job's results.

    Parameters
    ----------
    candidate_id
        The candidate that the job names.
    results
        What it has returned: one result, or those of a list.
    maker
        The Maker that was given as ``relax_maker``, whose results are relaxations; '' for any
        other job, of which only structure optimisations are.
    origin
        The job.

    Returns
    -------
    relaxations, calculations
        In JSON form. A job without a result (one that other jobs have replaced) has neither,
        unless it should have relaxed.
    """
    relaxations: list[dict[str, Any]] = []
    calculations: list[dict[str, Any]] = []
    unknown = 0
    for result in results[:MAX_RESULTS]:
        kind = calculation_kind(result)
        if maker or kind.is_optimization:
            relaxations.append(_relaxation(candidate_id, result, maker, kind))
        elif kind.task_type or kind.level:
            calculations.append(_calculation(result, kind, origin))
        elif result is not None:
            unknown += 1
    if unknown and not relaxations and not calculations:
        # structures, deformations: named once, whatever their number
        calculations.append(_calculation(None, CalculationKind(), origin))
    return relaxations, calculations


def _relaxation(
    candidate_id: str, result: Any, maker: str, kind: CalculationKind
) -> dict[str, Any]:
    try:
        read = read_relaxation(candidate_id, result, maker=maker)
    except (KeyError, TypeError, ValueError) as error:  # the job's other results are read
        read = CandidateRelaxation(
            candidate_id=candidate_id,
            converged=False,
            level=kind.level or "custom",
            task_type=kind.task_type,
            method=kind.method or maker,
            failure_reason=EnergyFailure.UNEXPECTED_OUTPUT.value,
            failure_message=f"Its output cannot be read: {redact(first_line(error))}",
        )
    return read.model_dump(mode="json")


def _calculation(result: Any, kind: CalculationKind, origin: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": origin["job_name"],
        "task_type": kind.task_type,
        "level": kind.level,
        "functional": kind.functional,
        "method": kind.method,
        "energy_per_atom": None,
        "corrected_energy_per_atom": None,
        "converged": None,
        "structure": None,
        "dir_name": result_folder(result),
        "origin": short_origin(origin),
    }
    if not kind.level:
        return entry
    try:
        structure = output_structure(result)
        energy = output_energy(result, structure)
    except (KeyError, TypeError, ValueError):  # kept without what cannot be read
        return entry
    entry["energy_per_atom"] = energy
    entry["converged"] = is_converged(result)
    if kind.level == "dft" and kind.task_type == STATIC and structure is not None:
        # without sites' properties, which are of no use here
        bare = structure.copy()
        for name in list(bare.site_properties):
            bare.remove_site_property(name)
        entry["structure"] = bare.as_dict(verbosity=0)
        entry["corrected_energy_per_atom"] = corrected_energy(result, structure, energy, kind)
    return entry
