"""One candidate's row in the table of structures."""

from __future__ import annotations

from typing import Any

from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.tables import SUCCESS_PREFIX


def structure_row(candidate: Candidate) -> dict[str, Any]:
    """Return what a candidate itself says, by column.

    Columns are those of :data:`crystalicl_jobflow.schemas.STRUCTURE_COLUMNS`; those of
    metrics that compare or compute more are absent.
    """
    checks, origin = candidate.checks, candidate.provenance
    reason = candidate.failure_reason
    model = origin.model
    row: dict[str, Any] = {
        "candidate_id": candidate.candidate_id,
        "request_index": origin.request_index,
        "sample_index": origin.sample_index,
        "asked": candidate.condition.label(),
        "text_format": candidate.text_format,
        "formula": candidate.formula,
        "anonymous_formula": candidate.anonymous_formula,
        "chemsys": candidate.chemsys,
        "num_sites": candidate.num_sites,
        "density": candidate.density,
        "volume": checks.volume,
        "min_distance": checks.min_distance,
        "declared_space_group": candidate.declared_space_group,
        "space_group": candidate.space_group,
        "space_group_symbol": candidate.space_group_symbol,
        "parsed": candidate.parsed,
        "valid": candidate.valid,
        "structure_valid": checks.structure_valid,
        "structure_valid_radii": checks.structure_valid_radii,
        "composition_valid": checks.composition_valid,
        "symmetry_adherent": checks.symmetry_adherent,
        **{f"{SUCCESS_PREFIX}{name}": met for name, met in candidate.success.items()},
        "joint_success": candidate.joint_success,
        **candidate.properties,
        "strategy": origin.strategy,
        "num_demonstrations": len(origin.demonstration_ids),
        "model": None
        if model is None
        else "+".join(part for part in (model.base_model, model.adapter) if part),
        "seed": None if origin.sampling is None else origin.sampling.seed,
        "attempts": origin.attempts,
        "finished": origin.finished,
        "num_tokens": origin.num_tokens,
        "failure_reason": None if reason is None else str(reason),
        "failure_message": candidate.failure_message,
    }
    return row
