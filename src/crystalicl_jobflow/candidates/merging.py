"""Merge parts into the document of a candidate, in any order, any number of times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crystalicl_jobflow.candidates.contributions import STAGES, Part
from crystalicl_jobflow.candidates.metadata_fields import bring_up_to_date
from crystalicl_jobflow.candidates.ordering import (
    JobKey,
    as_moment,
    is_later,
    job_key,
    ranks,
)
from crystalicl_jobflow.crystal.metadata import CELL_FIELDS
from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
from crystalicl_jobflow.energies.calculation_kinds import STATIC, comparable_method
from crystalicl_jobflow.energies.relaxation_outputs import same_cell
from crystalicl_jobflow.schemas.properties import by_property_names
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc, relaxation_precedence
from crystalicl_jobflow.thresholds import (
    HULL_ROUNDING,
    METASTABLE_E_ABOVE_HULL,
    STABLE_E_ABOVE_HULL,
)

_DERIVED = (
    *CELL_FIELDS, "structure", "energy_per_atom", "formation_energy_per_atom",
    "energy_above_hull", "no_hull_reason", "energy_method", "energy_corrections", "is_stable",
    "is_metastable", "is_relaxed", "band_gap", "is_unique", "duplicate_of", "is_novel", "known_as",
    "is_sun", "hosts", "tags", "metadata",
)  # fmt: skip
"""Fields that follow from the others."""

_BOOKKEEPING = ("_id", "last_updated", "revision", "stage_at", "stage_job", "created_at")
"""Fields in which documents that say the same may differ."""

_EMPTY = CandidateDoc.model_construct(candidate_id="").model_dump(
    mode="json", exclude={"last_updated", "condition", "candidate_id"}
)


def merge(stored: Mapping[str, Any] | None, parts: Iterable[Part]) -> dict[str, Any]:
    """Return the document with what the parts say added to it.

    The order of parts of several jobs, and how often one comes, makes no difference: of two
    that speak of the text the later stage counts, then the later job; relaxations,
    calculations and evaluations are kept by the job that made them; the rest follows from
    those. Of one job (uuid and index) the last part counts and replaces what it said before:
    it is what the job store holds now. Which of two jobs is later, see
    :mod:`~crystalicl_jobflow.candidates.ordering`.

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
    _put_in_order(document)
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
    ran = {job_key(origin) for origin in part.origins}
    document["origins"] = [
        *(item for item in document["origins"] if job_key(item) not in ran), *part.origins
    ]  # fmt: skip
    if part.stage and (part.replaces or _tells_more(document, part)):
        document.update(part.text)
        document["stage"], document["stage_at"] = part.stage, part.stamp
        document["stage_job"] = "/".join(map(str, next(iter(ran)))) if ran else ""
    for name in ("relaxations", "calculations", "evaluations"):
        kept = [item for item in document[name] if job_key(item["origin"]) not in ran]
        document[name] = kept + getattr(part, name)
    document["run_ids"] = sorted({*document["run_ids"], *part.run_ids})
    document["completes"] = sorted({*document["completes"], *part.completes})


def _put_in_order(document: dict[str, Any]) -> None:
    """Put jobs and what they have given in the order of the jobs."""
    _drop_gathered(document)
    order = ranks([*document["origins"], *_entry_origins(document)])
    for name in ("relaxations", "calculations", "evaluations"):
        document[name] = _in_order(document[name], order)
    document["origins"].sort(key=lambda item: order[job_key(item)])


def _tells_more(document: Mapping[str, Any], part: Part) -> bool:
    """Return whether a part's text takes the place of the one that is there."""
    now, new = STAGES.index(document["stage"]), STAGES.index(part.stage)
    if now != new or not part.origins:
        return new >= now
    uuid, _, index = document["stage_job"].rpartition("/")
    holder = (uuid, int(index)) if uuid else _holder_by_time(document)
    found = job_key(part.origins[0])
    return holder is None or holder == found or is_later(found, holder, document["origins"])


def _holder_by_time(document: Mapping[str, Any]) -> JobKey | None:
    """Return the job whose text a document of an older version has."""
    ended = document["stage_at"]
    origins = (item for item in document["origins"] if ended and item["completed_at"] == ended)
    found = next(origins, None)
    return None if found is None else job_key(found)


def _drop_gathered(document: dict[str, Any]) -> None:
    """Leave out what a gathering job has read again, and put against a hull."""
    gathered = {entry.get("source_uuid") for entry in document["relaxations"]} - {None}
    for name in ("relaxations", "calculations"):
        document[name] = [
            entry for entry in document[name] if entry["origin"]["job_uuid"] not in gathered
        ]


def _entry_origins(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the jobs that entries name and the list of origins does not."""
    known = {job_key(item) for item in document["origins"]}
    entries = [*document["relaxations"], *document["calculations"], *document["evaluations"]]
    return [item["origin"] for item in entries if job_key(item["origin"]) not in known]


def _in_order(entries: list[dict[str, Any]], order: Mapping[JobKey, int]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: order[job_key(entry["origin"])])


def _derive(document: dict[str, Any]) -> None:
    """Fill in the fields that follow from text, relaxations and evaluations."""
    for name in _DERIVED:
        document[name] = _copy(_EMPTY[name])
    generated = document["generated"]
    if generated is not None:
        for name in ("structure", *CELL_FIELDS):
            document[name] = generated.get(name, document[name])
    _from_origins(document)
    row: dict[str, Any] = {}
    for evaluation in document["evaluations"]:  # in the order of their jobs
        found = by_property_names(evaluation["row"])
        if "energy_per_atom" in found:  # all of one method, never of two
            row = {name: value for name, value in row.items() if name not in _ENERGY_COLUMNS}
        row |= found
    _from_row(document, row)
    if document["relaxations"]:
        best = max(enumerate(document["relaxations"]), key=lambda item: _precedence(*item))[1]
        _from_relaxation(document, _with_static(best, document["calculations"]))
    known = by_property_names(document["properties"])
    if document["band_gap"] is None:
        document["band_gap"] = known.get("band_gap")
    computed = document["energy_per_atom"] is not None  # predictions are of another method
    if document["formation_energy_per_atom"] is None and not computed:
        document["formation_energy_per_atom"] = known.get("formation_energy_per_atom")
    above = document["energy_above_hull"]
    if above is None and not computed:
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
    "energy_method": "energy_method",
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

_ENERGY_COLUMNS = frozenset(
    ("energy_per_atom", "formation_energy_per_atom", "energy_above_hull", "no_hull_reason",
     "energy_method", "relaxed", "stable", "metastable", "sun")
)  # fmt: skip
"""Columns that are of one method each time."""


def _from_origins(document: dict[str, Any]) -> None:
    """Put together what users have written on the jobs, in the order of the jobs."""
    for origin in document["origins"]:
        document["hosts"] += [
            uuid for uuid in origin.get("hosts") or () if uuid not in document["hosts"]
        ]
        document["tags"] = sorted({*document["tags"], *(origin.get("tags") or ())})
        document["metadata"] |= origin.get("metadata") or {}


def _from_row(document: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name, column in _COLUMNS.items():
        document[name] = row.get(column)


def _precedence(place: int, relaxation: Mapping[str, Any]) -> tuple[Any, ...]:
    rank = relaxation_precedence(
        has_structure=relaxation.get("structure") is not None,
        level=relaxation["level"],
        converged=relaxation.get("converged"),
        judged=relaxation.get("formation_energy_per_atom") is not None
        or relaxation.get("energy_above_hull") is not None,
    )
    return *rank, place


def _with_static(best: Mapping[str, Any], calculations: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return a relaxation with the energy of a static calculation of the same cell and method.

    The latest such calculation counts. One whose energy was put against a hull keeps it: the
    three energies belong together.
    """
    judged = best.get("formation_energy_per_atom") is not None
    if best["level"] != "dft" or judged or best.get("structure") is None:
        return best
    method = comparable_method(best.get("method") or "")
    relaxed = structure_from_dict(best["structure"])
    for item in reversed(calculations):
        if (
            item["task_type"] == STATIC
            and item.get("structure") is not None
            and item.get("energy_per_atom") is not None
            and item.get("converged") is not False
            and comparable_method(item["method"]) == method
            and same_cell(relaxed, structure_from_dict(item["structure"]))
        ):
            names = ("energy_per_atom", "corrected_energy_per_atom")
            return {**best, **{name: item.get(name) for name in names}}
    return best


def _from_relaxation(document: dict[str, Any], best: Mapping[str, Any]) -> None:
    failed = best.get("failure_reason") is not None or best.get("converged") is False
    document["is_relaxed"] = not failed
    if best.get("structure") is not None:
        document["structure"] = best["structure"]
        for name in CELL_FIELDS:
            document[name] = best.get(name) or document[name]
    names = ("energy_per_atom", "formation_energy_per_atom", "energy_above_hull")
    if any(best.get(name) is not None for name in names):
        # all of this method, or None
        document |= {name: best.get(name) for name in (*names, "no_hull_reason")}
        document["energy_method"] = best.get("method") or None
        document["energy_corrections"] = best.get("corrections")
        if best.get("energy_above_hull") is None and not failed:
            # the verdict of an evaluation is on another method's energies
            document["is_stable"] = document["is_metastable"] = None
    elif best.get("no_hull_reason") is not None:
        document["no_hull_reason"] = best["no_hull_reason"]
    if failed:
        # unstable, where known crystals compete; elsewhere there is no verdict
        judged = best.get("energy_above_hull") is not None or document["is_stable"] is not None
        document["is_stable"] = document["is_metastable"] = False if judged else None
    elif best.get("energy_above_hull") is not None:
        document["is_stable"] = document["is_metastable"] = None
