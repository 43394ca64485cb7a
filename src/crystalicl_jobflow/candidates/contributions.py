"""What each kind of job says about a candidate: parts, from which documents are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from pymatgen.core import Structure

from crystalicl_jobflow.candidates.calculation_parts import calculation_entries
from crystalicl_jobflow.candidates.metadata_fields import (
    as_structure,
    candidate_metadata,
    generated_fields,
    relaxed_fields,
)
from crystalicl_jobflow.candidates.ordering import as_moment, end_in_utc, short_origin
from crystalicl_jobflow.schemas import STRUCTURE_COLUMNS, Completion, Generation
from crystalicl_jobflow.schemas.base import from_batches, without_marks
from crystalicl_jobflow.schemas.crystal_metadata import with_todays_names
from crystalicl_jobflow.schemas.stored_candidate import ENDED_AT, FOLLOWS, RELAX_MAKER
from crystalicl_jobflow.schemas.structure_table import OLD_COLUMNS

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


STAGES = ("", "generated", "validated")
"""What is known of a candidate's text; what a later stage says replaces the earlier one's."""

_TEXT_COLUMNS = tuple(STRUCTURE_COLUMNS)[: tuple(STRUCTURE_COLUMNS).index("symmetry_adherent") + 1]
_OWN_COLUMNS = frozenset(
    (*_TEXT_COLUMNS, "joint_success", "strategy", "num_demonstrations", "model", "seed",
     "attempts", "finished", "num_tokens", "failure_reason", "failure_message")
)  # fmt: skip
"""Columns of an evaluation's rows that the candidate's document says itself."""


@dataclass
class Part:
    """What one job says about one candidate.

    Parameters
    ----------
    candidate_id
        The candidate.
    stage
        One of :data:`STAGES`; '' where the job says nothing of the text.
    text
        Fields of the document that the text and its checks determine, ``generated`` with
        the crystal among them.
    relaxations, calculations, evaluations
        Entries of the document's lists of these names.
    origins, run_ids, completes
        As in :class:`~crystalicl_jobflow.schemas.stored_candidate.CandidateDoc`.
    stamp
        When the job ended.
    replaces
        Whether ``text`` replaces what is stored, however new that is.
    """

    candidate_id: str
    stage: str = ""
    text: dict[str, Any] = field(default_factory=dict)
    relaxations: list[dict[str, Any]] = field(default_factory=list)
    calculations: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    origins: list[dict[str, Any]] = field(default_factory=list)
    run_ids: set[str] = field(default_factory=set)
    completes: set[str] = field(default_factory=set)
    stamp: str = ""
    replaces: bool = False


def candidate_part(document: Mapping[str, Any]) -> Part:
    """Return what a validated candidate says of itself.

    Parameters
    ----------
    document
        A :class:`~crystalicl_jobflow.schemas.Candidate` in JSON form, as jobs store it.
    """
    known = with_todays_names(without_marks(document))
    metadata = candidate_metadata(known)
    text = {**metadata, "created_at": as_moment(known.get("created_at")), "generated": None}
    text |= {name: known[name] for name in _SAME_NAMES if name in known}
    if known.get("xrd") is not None:  # a text judged again without a pattern keeps what is known
        text["xrd"] = known["xrd"]
    if known.get("structure") is not None:
        text["generated"] = {
            "structure": structure_dict(known["structure"]), **generated_fields(metadata)
        }  # fmt: skip
    return Part(known["candidate_id"], stage="validated", text=text)


_SAME_NAMES = (
    "condition", "text", "text_format", "parsed", "declared_space_group", "properties", "checks",
    "success", "joint_success", "valid", "failure_reason", "failure_message", "provenance",
)  # fmt: skip
"""Fields that candidates and their stored documents have in common."""


def generation_parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what a generation says: one candidate per text, not yet read.

    Parameters
    ----------
    document
        A :class:`~crystalicl_jobflow.schemas.Generation` in JSON form.
    """
    from crystalicl_jobflow.validation.provenance import candidate_id, provenance

    generation = Generation.model_validate(without_marks(document))
    condition = generation.condition.model_dump(mode="json")
    for completion in generation.completions:
        assert isinstance(completion, Completion)
        yield Part(
            candidate_id(completion, generation),
            stage="generated",
            text={
                "condition": condition,
                "text": completion.text,
                "text_format": generation.text_format,
                "provenance": provenance(completion, generation).model_dump(mode="json"),
            },
        )


def relaxation_part(document: Mapping[str, Any], origin: Mapping[str, Any]) -> Part:
    """Return what a relaxation says of its candidate.

    Parameters
    ----------
    document
        A :class:`~crystalicl_jobflow.schemas.stored_candidate.CandidateRelaxation` in JSON form.
    origin
        The job, see :class:`~crystalicl_jobflow.schemas.stored_candidate.Origin`.
    """
    known = without_marks(document)
    structure = known.get("structure")
    entry = {**known, "symmetry": None, "density": None, "origin": short_origin(origin)}
    if structure is not None:
        entry["structure"] = structure_dict(structure)
        entry |= relaxed_fields(as_structure(structure))
    return Part(known["candidate_id"], relaxations=[entry])


def evaluation_part(row: Mapping[str, Any], origin: Mapping[str, Any]) -> Part:
    """Return what a row of an evaluation says of its candidate."""
    kept = {
        name: value
        for name, value in ((OLD_COLUMNS.get(name, name), value) for name, value in row.items())
        if value is not None and name not in _OWN_COLUMNS and not name.startswith(("success_", "@"))
    }
    return Part(row["candidate_id"], evaluations=[{"origin": short_origin(origin), "row": kept}])


def selection_part(row: Mapping[str, Any], origin: Mapping[str, Any]) -> Part:
    """Return what a row of a selection says of its candidate.

    That is, whether it is chosen for the next step, or why not.
    """
    kept = {
        column: row[name]
        for name, column in _SELECTION_COLUMNS.items()
        if row.get(name) is not None
    }
    return Part(row["candidate_id"], evaluations=[{"origin": short_origin(origin), "row": kept}])


_SELECTION_COLUMNS = {
    "selected": "selected",
    "rank": "selection_rank",
    "reason": "selection_reason",
    "message": "selection_message",
    "times_drawn": "times_drawn",
}
"""Field of a :class:`~crystalicl_jobflow.schemas.discovery.SelectionRow` → column."""


def structure_dict(structure: Any) -> dict[str, Any]:
    """Return a structure's dictionary, whether it is one already or not."""
    return structure.as_dict() if isinstance(structure, Structure) else dict(structure)


def job_parts(document: Mapping[str, Any], *, zone: ZoneInfo | None = None) -> Iterator[Part]:
    """Yield what a job's output says, candidate by candidate.

    Parameters
    ----------
    document
        The document of a JobStore, with the data of its additional stores loaded.
    zone
        Zone of the workers whose jobs do not say in which they ran; None where not known.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the output is not of its kind.
    """
    output = document.get("output")
    kind = KINDS.get(output.get("@class", "")) if isinstance(output, Mapping) else None
    origin = job_origin(document, kind or "calculate", zone)
    for part in _parts(kind, document, output, origin):
        # of a user's own job it shows only now whether it is a relaxation
        named = {**origin, "name": "relax"} if kind is None and part.relaxations else origin
        part.origins = [named]
        part.stamp = named["completed_at"]
        part.run_ids = {document["uuid"], *named["hosts"]}
        run = (document.get("metadata") or {}).get("run")
        if isinstance(run, str) and run:
            part.run_ids.add(run)
        yield part


def job_origin(document: Mapping[str, Any], name: str, zone: ZoneInfo | None) -> dict[str, Any]:
    """Return a job as documents name it, with what its user has written on it.

    Parameters
    ----------
    document
        The document of a JobStore.
    name
        What the job did.
    zone
        As in :func:`job_parts`.
    """
    metadata = document.get("metadata") or {}
    ended = end_in_utc(document, zone)
    outputs = document.get("output")
    tagged = [metadata, *(outputs if isinstance(outputs, list) else [outputs])]
    tags = [item.get("tags") for item in tagged if isinstance(item, Mapping)]
    return {
        "name": name,
        "job_uuid": document["uuid"],
        "job_index": document["index"],
        "job_name": str(document.get("name") or ""),
        "completed_at": str(document.get("completed_at") or ""),
        "ended_at": None if ended is None else f"{ended.isoformat()}+00:00",
        "follows": [str(uuid) for uuid in metadata.get(FOLLOWS) or ()],
        "hosts": list(document.get("hosts") or ()),
        "tags": sorted({str(tag) for found in tags for tag in _as_list(found)}),
        "metadata": {key: item for key, item in metadata.items() if key not in _OWN_METADATA},
    }


_OWN_METADATA = frozenset(
    ("candidate_id", "candidate_ids", "run", "tags", FOLLOWS, ENDED_AT, RELAX_MAKER)
)
"""Metadata that this package reads and writes, and that stand elsewhere in the document."""


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


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
        method = (output.get("tolerances") or {}).get("energies")
        for row in from_batches(output["results"]):
            has_energy = method and row.get("energy_per_atom") is not None
            yield evaluation_part(row | {"energy_method": method} if has_energy else row, origin)
    elif kind == "relax":
        for relaxation in from_batches(output["relaxations"]):
            yield relaxation_part(relaxation, origin)
    else:
        yield from _calculation_parts(document, output, origin)


def _calculation_parts(
    document: Mapping[str, Any], output: Any, origin: Mapping[str, Any]
) -> Iterator[Part]:
    """Yield what a job of atomate2, or of a user's own, says of the candidates it names."""
    metadata = document.get("metadata") or {}
    names = metadata.get("candidate_ids") or [metadata["candidate_id"]]
    maker = str(metadata.get(RELAX_MAKER) or "")
    results = output if isinstance(output, list) else [output]
    if len(names) == 1:
        groups = [results]
    elif len(results) == len(names):
        groups = [[result] for result in results]
    else:
        raise ValueError(f"{len(results)} results for {len(names)} candidates")
    for name, group in zip(names, groups, strict=True):
        relaxations, calculations = calculation_entries(name, group, maker, origin)
        part = Part(name, calculations=calculations)
        for relaxation in relaxations:
            part.relaxations += relaxation_part(relaxation, origin).relaxations
        yield part
