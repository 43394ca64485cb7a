"""What the outputs of jobs, as a JobStore holds them, say about candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crystalicl_jobflow.builders.parts import (
    Part,
    candidate_part,
    evaluation_part,
    generation_parts,
    relaxation_part,
    selection_part,
)
from crystalicl_jobflow.evaluation.energies.relaxed import read_relaxation
from crystalicl_jobflow.schemas.jobs import from_batches

KINDS = {
    "GenerateDoc": "generate",
    "ValidateDoc": "validate",
    "SelectDoc": "select",
    "EvaluateDoc": "evaluate",
    "RelaxDoc": "relax",
}
"""Class of a job's output → what the job did."""

SOURCES: dict[str, Any] = {
    "$or": [
        {"output.@class": {"$in": sorted(KINDS)}},
        {"metadata.candidate_id": {"$exists": True}},
        {"metadata.candidate_ids": {"$exists": True}},
    ]
}
"""Which documents of a job store speak of candidates."""


def job_parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what a job's output says, candidate by candidate.

    Parameters
    ----------
    document
        The document of a JobStore, with the data of its additional stores loaded.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the output is not of its kind.
    """
    output = document.get("output")
    kind = KINDS.get(output.get("@class", "")) if isinstance(output, Mapping) else None
    origin = {
        "name": kind or "relax",
        "job_uuid": document["uuid"],
        "job_index": document["index"],
        "job_name": str(document.get("name") or ""),
        "completed_at": str(document.get("completed_at") or ""),
    }
    for part in _parts(kind, document, output, origin):
        part.origins = [origin]
        part.stamp = origin["completed_at"]
        part.run_ids = {document["uuid"], *(document.get("hosts") or ())}
        run = (document.get("metadata") or {}).get("run")
        if isinstance(run, str) and run:
            part.run_ids.add(run)
        yield part


def _parts(
    kind: str | None,
    document: Mapping[str, Any],
    output: Any,
    origin: Mapping[str, Any],
) -> Iterator[Part]:
    if kind == "generate":
        for generation in from_batches(output["generations"]):
            yield from generation_parts(generation)
    elif kind == "validate":
        yield from map(candidate_part, from_batches(output["candidates"]))
    elif kind == "select":
        for row in from_batches(output["rows"]):
            yield selection_part(row, origin)
    elif kind == "evaluate":
        for row in from_batches(output["results"]):
            yield evaluation_part(row, origin)
    elif kind == "relax":
        for relaxation in from_batches(output["relaxations"]):
            yield relaxation_part(relaxation, origin)
    else:
        metadata = document.get("metadata") or {}
        names = metadata.get("candidate_ids") or [metadata["candidate_id"]]
        results = output if isinstance(output, list) else [output]
        if len(results) != len(names):
            raise ValueError(f"{len(results)} results for {len(names)} candidates")
        for name, result in zip(names, results, strict=True):
            relaxation = read_relaxation(name, result)
            yield relaxation_part(relaxation.model_dump(mode="json"), origin)
