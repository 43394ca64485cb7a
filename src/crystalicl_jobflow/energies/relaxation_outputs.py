"""Relaxations as other programs leave them, read from the outputs of jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.calculation_kinds import (
    STATIC,
    CalculationKind,
    calculation_kind,
    class_of,
    comparable_method,
    corrected_energy,
    get_field,
    is_converged,
    output_energy,
    output_structure,
    result_folder,
)
from crystalicl_jobflow.energies.energy_model import EnergyFailure
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.thresholds import SAME_CELL_ANGLE, SAME_CELL_DISTANCE

EXPECTED_FIELDS = "structure, and energy (eV) or energy_per_atom (eV/atom)"
"""What a user's own Maker has to return, at the top of its output or in a field ``output``."""


def read_relaxation(
    candidate_id: str,
    result: Any,
    *,
    failed_level: str = "forcefield",
    source_uuid: str | None = None,
    maker: str = "",
) -> CandidateRelaxation:
    """Return the relaxation in a job's output: of atomate2, or of a user's own Maker.

    Parameters
    ----------
    candidate_id
        The candidate that was relaxed.
    result
        ``ForceFieldTaskDocument`` or ``TaskDoc``, as documents or in JSON form; or anything
        with :data:`EXPECTED_FIELDS`; None for a job that failed.
    failed_level
        forcefield or dft: its level, where there is no document.
    source_uuid
        The job.
    maker
        Name of the Maker, under which results are recorded that no program of atomate2 made.

    Returns
    -------
    CandidateRelaxation
        A failed one, with the reason, where the output is not of a structure optimisation.
    """
    if result is None:
        where = f"; see the error of job {source_uuid}" if source_uuid else ""
        return CandidateRelaxation(
            candidate_id=candidate_id,
            converged=False,
            level=failed_level,
            source_uuid=source_uuid,
            failure_reason="failed",
            failure_message=f"The relaxation has no result{where}.",
        )
    kind = calculation_kind(result)
    if not kind.level:
        return _read_custom(candidate_id, result, source_uuid, maker, kind)
    read = CandidateRelaxation(
        candidate_id=candidate_id,
        level=kind.level,
        task_type=kind.task_type,
        functional=kind.functional,
        method=kind.method,
        source_uuid=source_uuid,
        dir_name=result_folder(result),
    )
    if not kind.is_optimization:
        named = f"'{kind.task_type}'" if kind.task_type else "a calculation of unknown type"
        return _failed(
            read,
            EnergyFailure.NOT_A_RELAXATION,
            f"The job's output is {named} ({kind.method}), not a structure optimisation.",
        )
    converged = is_converged(result)
    structure = output_structure(result)
    energy = output_energy(result, structure)
    return read.model_copy(
        update={
            "structure": structure,
            "energy_per_atom": energy,
            "corrected_energy_per_atom": corrected_energy(result, structure, energy, kind),
            "converged": converged,
            "steps": get_field(get_field(result, "output"), "n_steps"),
            "failure_reason": "not_converged" if converged is False else None,
            "failure_message": "The relaxation did not converge." if converged is False else None,
        }
    )


def with_static_energy(
    relaxation: CandidateRelaxation, result: Any, *, source_uuid: str | None = None
) -> CandidateRelaxation:
    """Take over the energy of a static calculation, if it is of the same relaxed cell.

    Parameters
    ----------
    relaxation
        A relaxation.
    result
        Any job's output.
    source_uuid
        Its job.

    Returns
    -------
    CandidateRelaxation
        With the static energy where the output is a static calculation by the same method of
        the same cell, and has an energy; else as it was.
    """
    kind = calculation_kind(result)
    if kind.task_type != STATIC or kind.comparable != comparable_method(relaxation.method):
        return relaxation
    structure = output_structure(result)
    energy = output_energy(result, structure)
    if relaxation.structure is None or structure is None or energy is None:
        return relaxation
    if is_converged(result) is False or not same_cell(relaxation.structure, structure):
        return relaxation
    return relaxation.model_copy(
        update={
            "energy_per_atom": energy,
            "corrected_energy_per_atom": corrected_energy(result, structure, energy, kind),
            "task_type": STATIC,
            "source_uuid": source_uuid or relaxation.source_uuid,
        }
    )


def read_relaxation_chain(
    candidate_id: str,
    results: Sequence[Any],
    *,
    failed_level: str = "dft",
    source_uuid: str | None = None,
    maker: str = "",
) -> CandidateRelaxation:
    """Return the relaxation in the outputs of a Flow's jobs, of which the last one counts.

    Parameters
    ----------
    candidate_id
        The candidate that was relaxed.
    results
        The outputs, in the order of the jobs, that of the Flow last; None for jobs that failed.
    failed_level, source_uuid, maker
        As in :func:`read_relaxation`.

    Returns
    -------
    CandidateRelaxation
        That of the last output. Where that is a static calculation: the last structure
        optimisation before it, with the static energy, if method and cell are the same.
    """
    last = results[-1]
    said: dict[str, Any] = {
        "failed_level": failed_level,
        "source_uuid": source_uuid,
        "maker": maker,
    }
    read = read_relaxation(candidate_id, last, **said)
    if last is None or calculation_kind(last).task_type != STATIC:
        return read
    optimized = [
        item for item in results[:-1] if item is not None and calculation_kind(item).is_optimization
    ]
    if not optimized:
        return read
    before = read_relaxation(candidate_id, optimized[-1], **said)
    found = with_static_energy(before, last, source_uuid=source_uuid)
    return read if found is before and before.counts else found


def same_cell(one: Structure, other: Structure) -> bool:
    """Return whether two structures are one and the same cell, atom by atom.

    Parameters
    ----------
    one, other
        Structures; the order of their atoms and the orientation of their cells do not matter.
        A strained cell, or one with an atom moved by 0.01 Å as for phonons, is another one.
    """
    if len(one) != len(other) or one.composition != other.composition:
        return False
    lengths = np.abs(np.array(one.lattice.abc) - np.array(other.lattice.abc))
    angles = np.abs(np.array(one.lattice.angles) - np.array(other.lattice.angles))
    if lengths.max() > SAME_CELL_DISTANCE or angles.max() > SAME_CELL_ANGLE:
        return False
    distances = one.lattice.get_all_distances(one.frac_coords, other.frac_coords)
    alike = np.array([[a.species == b.species for b in other] for a in one])
    near = (distances <= SAME_CELL_DISTANCE) & alike
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


def _read_custom(
    candidate_id: str, result: Any, source_uuid: str | None, maker: str, kind: CalculationKind
) -> CandidateRelaxation:
    read = CandidateRelaxation(
        candidate_id=candidate_id,
        level="custom",
        task_type=kind.task_type,
        functional=maker,
        method=maker or "unknown",
        source_uuid=source_uuid,
        dir_name=result_folder(result),
    )
    try:
        structure = output_structure(result)
        energy = output_energy(result, structure)
    except (TypeError, ValueError) as error:
        found = f"what cannot be read ({error})"
    else:
        if structure is not None and energy is not None and math.isfinite(energy):
            converged = is_converged(result)
            return read.model_copy(
                update={
                    "structure": structure,
                    "energy_per_atom": energy,
                    "converged": converged,
                    "failure_reason": "not_converged" if converged is False else None,
                    "failure_message": "The relaxation did not converge."
                    if converged is False
                    else None,
                }
            )
        found = _in_words(result)
    message = f"{maker or 'The Maker'} returned {found}; expected fields: {EXPECTED_FIELDS}."
    return _failed(read, EnergyFailure.UNEXPECTED_OUTPUT, message)


def _failed(read: CandidateRelaxation, failure: EnergyFailure, message: str) -> CandidateRelaxation:
    return read.model_copy(
        update={"converged": False, "failure_reason": failure.value, "failure_message": message}
    )


def _in_words(result: Any) -> str:
    """Return what an output is, in a few words."""
    _, name = class_of(result)
    fields = [str(item) for item in result] if isinstance(result, Mapping) else []
    if not fields:
        fields = list(getattr(type(result), "model_fields", {}))
    fields = [item for item in fields if not item.startswith("@")]
    shown = ", ".join(fields[:8]) + (", …" if len(fields) > 8 else "")
    return f"{name} with {shown}" if shown else name
