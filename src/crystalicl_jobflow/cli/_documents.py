"""Stored candidates as tables, JSON lines and CIF texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.cli._candidates import ID_DIGITS
from crystalicl_jobflow.cli._console import table

if TYPE_CHECKING:
    from rich.table import Table

TABLE_FIELDS = (
    "condition", "formula_pretty", "symmetry", "nsites", "checks", "energy_above_hull",
    "is_stable", "is_novel", "valid", "joint_success", "failure_reason", "stage",
)  # fmt: skip
"""Fields that the table needs."""


def json_line(document: Mapping[str, Any]) -> str:
    """Return a document as one line of JSON; times in ISO 8601, UTC."""
    return json.dumps(document, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    return value.as_dict() if hasattr(value, "as_dict") else str(value)


def document_table(documents: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with one row per candidate; what no candidate has is no column."""
    asked = {_label(document) for document in documents}
    columns: list[tuple[str, list[str]]] = [
        ("Id", [str(document["candidate_id"])[:ID_DIGITS] for document in documents])
    ]
    if len(asked) > 1:
        columns.append(("Asked for", [_label(document) for document in documents]))
    columns.append(("Formula", [document.get("formula_pretty") or "-" for document in documents]))
    columns.append(("Group", [_group(document) for document in documents]))
    columns.append((">Atoms", [str(document.get("nsites") or "-") for document in documents]))
    energies = [_number(document, "energy_above_hull", 3) for document in documents]
    if set(energies) != {"-"}:
        columns.append((">eV/atom above hull", energies))
    else:
        columns.append((">Min. Å", [_number(d, "checks.min_distance", 2) for d in documents]))
    novel = [_flag(document.get("is_novel"), "new", "known") for document in documents]
    if set(novel) != {"-"}:
        columns.append(("Novel", novel))
    columns.append(("Outcome", [outcome(document) for document in documents]))
    return _filled(columns)


def field_table(documents: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Table:
    """Return a table of chosen fields."""
    from crystalicl_jobflow.candidates.candidate_query import field_name

    names = list(dict.fromkeys(["candidate_id", *fields]))
    return _filled(
        [
            (name, [_cell(_dig(document, field_name(name))) for document in documents])
            for name in names
        ]
    )


def _filled(columns: list[tuple[str, list[str]]]) -> Table:
    rows = table(*(heading for heading, _ in columns))
    for cells in zip(*(cells for _, cells in columns), strict=True):
        rows.add_row(*cells)
    return rows


def outcome(document: Mapping[str, Any]) -> str:
    """Return what became of a candidate, in a few words."""
    if document.get("stage") == "generated":
        return "not checked"
    if not document.get("valid"):
        reason = document.get("failure_reason")
        return "not valid" if reason is None else str(reason).replace("_", " ")
    words = ["valid"]
    if document.get("joint_success") is not None:
        words.append("as asked" if document["joint_success"] else "differs")
    if document.get("is_stable"):
        words.append("stable")
    return ", ".join(words)


def cif_text(document: Mapping[str, Any]) -> str:
    """Return the symmetrised CIF text of a document's crystal, the relaxed one where it is."""
    from pymatgen.io.cif import CifWriter

    from crystalicl_jobflow.candidates.contributions import as_structure

    symprec = float((document.get("symmetry") or {}).get("symprec") or 0.1)
    return str(CifWriter(as_structure(document["structure"]), symprec=symprec))


def write_cifs(folder: Path, documents: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write one CIF file for every document with a crystal: formula, group, start of the id."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for document in documents:
        if document.get("structure") is None:
            continue
        group = (document.get("symmetry") or {}).get("number") or 0
        name = f"{document['formula_pretty']}_{group}_{document['candidate_id'][:ID_DIGITS]}.cif"
        (folder / name).write_text(cif_text(document), encoding="utf-8")
        paths.append(folder / name)
    return paths


def _label(document: Mapping[str, Any]) -> str:
    from crystalicl_jobflow.schemas import Condition

    condition = document.get("condition") or {}
    given = {k: v for k, v in condition.items() if v is not None and not k.startswith("@")}
    return Condition.parse(given).label().replace(", group ", " ")


def _group(document: Mapping[str, Any]) -> str:
    symmetry = document.get("symmetry") or {}
    number = symmetry.get("number")
    return "-" if number is None else f"{number} {symmetry.get('symbol') or ''}"


def _number(document: Mapping[str, Any], name: str, digits: int) -> str:
    value = _dig(document, name)
    return "-" if value is None else f"{value:.{digits}f}"


def _flag(value: bool | None, yes: str, no: str) -> str:
    return "-" if value is None else yes if value else no


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _dig(document: Mapping[str, Any], name: str) -> Any:
    from crystalicl_jobflow.stores.sqlite.mongo_to_sql import dig

    return dig(document, name)
