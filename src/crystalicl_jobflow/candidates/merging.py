"""Merge parts into the document of a candidate, in any order, any number of times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crystalicl_jobflow.candidates.contributions import STAGES, Part, as_moment
from crystalicl_jobflow.candidates.metadata_fields import bring_up_to_date
from crystalicl_jobflow.crystal.metadata import CELL_FIELDS
from crystalicl_jobflow.schemas.properties import by_property_names
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc, relaxation_precedence
from crystalicl_jobflow.thresholds import (
    HULL_ROUNDING,
    METASTABLE_E_ABOVE_HULL,
    STABLE_E_ABOVE_HULL,
)

_DERIVED = (
    *CELL_FIELDS, "structure", "energy_per_atom", "formation_energy_per_atom",
    "energy_above_hull", "no_hull_reason", "is_stable", "is_metastable", "is_relaxed",
    "band_gap", "is_unique", "duplicate_of", "is_novel", "known_as", "is_sun",
)  # fmt: skip
"""Fields that follow from the others."""

_BOOKKEEPING = ("_id", "last_updated", "revision", "stage_at", "created_at")
"""Fields in which documents that say the same may differ."""

_EMPTY = CandidateDoc.model_construct(candidate_id="").model_dump(
    mode="json", exclude={"last_updated", "condition", "candidate_id"}
)


def merge(stored: Mapping[str, Any] | None, parts: Iterable[Part]) -> dict[str, Any]:
    """Return the document with what the parts say added to it.

    The order of parts, and how often one comes, makes no difference: of two that speak of the
    text the later stage counts, then the later job; relaxations and evaluations are kept by
    the job that made them; the rest follows from those.

    Parameters
    ----------
    stored
        The document so far, not changed; None for none.
    parts
        Parts of this candidate.

    Raises
    ------
    ValueError
        If there is neither a document nor a part, or parts of several candidates.
    """
    known = list(parts)
    names = {part.candidate_id for part in known} | ({stored["candidate_id"]} if stored else set())
    if len(names) != 1:
        raise ValueError(f"parts of {len(names)} candidates cannot become one document")
    document: dict[str, Any] = {
        "candidate_id": names.pop(),
        "condition": {},
        **{name: _copy(value) for name, value in _EMPTY.items()},
    }
    if stored is not None:
        document |= {name: _copy(value) for name, value in stored.items()}
        document["created_at"] = as_moment(document["created_at"])
        _restore_generated(document)
        bring_up_to_date(document)
    for part in known:
        _add(document, part)
    _derive(document)
    return document


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two documents say the same, whenever they were written."""
    names = {*one, *other} - set(_BOOKKEEPING)
    return all(one.get(name) == other.get(name) for name in names)


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else value


def _restore_generated(document: dict[str, Any]) -> None:
    """Put the crystal back to the text's part, where no relaxation has taken its place."""
    generated = document["generated"]
    if generated is not None and generated.get("structure") is None:
        document["generated"] = {**generated, "structure": document["structure"]}


def _add(document: dict[str, Any], part: Part) -> None:
    if part.stage:
        current = (STAGES.index(document["stage"]), document["stage_at"])
        if part.replaces or (STAGES.index(part.stage), part.stamp) >= current:
            document.update(part.text)
            document["stage"], document["stage_at"] = part.stage, part.stamp
    document["relaxations"] = _as_gathered(_by_origin(document["relaxations"] + part.relaxations))
    document["evaluations"] = _by_origin(document["evaluations"] + part.evaluations)
    origins = [{"origin": item} for item in [*document["origins"], *part.origins]]
    document["origins"] = [item["origin"] for item in _by_origin(origins)]
    document["run_ids"] = sorted({*document["run_ids"], *part.run_ids})
    document["completes"] = sorted({*document["completes"], *part.completes})


def _as_gathered(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out relaxations that a gathering job has read again, and put against a hull."""
    gathered = {entry.get("source_uuid") for entry in entries} - {None}
    return [entry for entry in entries if entry["origin"]["job_uuid"] not in gathered]


def _by_origin(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per job and kind, the latest; in the order of their times."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        origin = entry["origin"]
        key = (origin["name"], origin["job_uuid"], origin["job_index"], entry.get("level"))
        if key not in kept or origin["completed_at"] >= kept[key]["origin"]["completed_at"]:
            kept[key] = entry
    return sorted(
        kept.values(),
        key=lambda entry: tuple(
            str(entry["origin"][name]) for name in ("completed_at", "name", "job_uuid", "job_index")
        ),
    )


def _derive(document: dict[str, Any]) -> None:
    """Fill in the fields that follow from text, relaxations and evaluations."""
    for name in _DERIVED:
        document[name] = _copy(_EMPTY[name])
    generated = document["generated"]
    if generated is not None:
        for name in ("structure", *CELL_FIELDS):
            document[name] = generated.get(name, document[name])
    row: dict[str, Any] = {}
    for evaluation in document["evaluations"]:  # in the order of their times
        row |= by_property_names(evaluation["row"])
    _from_row(document, row)
    if document["relaxations"]:
        _from_relaxation(document, max(document["relaxations"], key=_precedence))
    known = by_property_names(document["properties"])
    if document["band_gap"] is None:
        document["band_gap"] = known.get("band_gap")
    if document["formation_energy_per_atom"] is None:
        document["formation_energy_per_atom"] = known.get("formation_energy_per_atom")
    above = document["energy_above_hull"]
    if above is None:
        above = document["energy_above_hull"] = known.get("energy_above_hull")
    if above is not None:
        document["no_hull_reason"] = None
    if above is not None and document["is_stable"] is None:
        counts = document["is_relaxed"] is not False
        document["is_stable"] = counts and above <= STABLE_E_ABOVE_HULL + HULL_ROUNDING
        document["is_metastable"] = counts and above <= METASTABLE_E_ABOVE_HULL + HULL_ROUNDING
    if generated is not None and document["structure"] is generated["structure"]:
        # held once: at the top
        document["generated"] = {**generated, "structure": None}


_COLUMNS = {
    "energy_per_atom": "energy_per_atom",
    "formation_energy_per_atom": "formation_energy_per_atom",
    "energy_above_hull": "energy_above_hull",
    "no_hull_reason": "no_hull_reason",
    "band_gap": "band_gap",
    "is_relaxed": "relaxed",
    "is_stable": "stable",
    "is_metastable": "metastable",
    "is_unique": "unique",
    "duplicate_of": "duplicate_of",
    "is_novel": "novel",
    "known_as": "known_as",
    "is_sun": "sun",
}
"""Field of the document → column of the table of structures."""


def _from_row(document: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name, column in _COLUMNS.items():
        document[name] = row.get(column)


def _precedence(relaxation: Mapping[str, Any]) -> tuple[tuple[bool, int, bool], str]:
    rank = relaxation_precedence(
        has_structure=relaxation.get("structure") is not None,
        level=relaxation["level"],
        converged=relaxation.get("converged"),
    )
    return rank, relaxation["origin"]["completed_at"]


def _from_relaxation(document: dict[str, Any], best: Mapping[str, Any]) -> None:
    failed = best.get("failure_reason") is not None or best.get("converged") is False
    document["is_relaxed"] = not failed
    if best.get("structure") is not None:
        document["structure"] = best["structure"]
        for name in CELL_FIELDS:
            document[name] = best.get(name) or document[name]
    for name in ("energy_per_atom", "formation_energy_per_atom", "energy_above_hull"):
        if best.get(name) is not None:
            document[name] = best[name]
    if best.get("no_hull_reason") is not None:
        document["no_hull_reason"] = best["no_hull_reason"]
    if failed:
        # unstable, where known crystals compete; elsewhere there is no verdict
        judged = best.get("energy_above_hull") is not None or document["is_stable"] is not None
        document["is_stable"] = document["is_metastable"] = False if judged else None
    elif best.get("energy_above_hull") is not None:
        document["is_stable"] = document["is_metastable"] = None
