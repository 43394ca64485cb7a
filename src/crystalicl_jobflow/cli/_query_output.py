"""What ``crystalicl query`` shows and writes: tables, CSV, Parquet, JSON, CIF."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.candidates.candidate_query import field_name, terms_of
from crystalicl_jobflow.candidates.shown import SHOWN_DIGITS, CrystalFile, outcome
from crystalicl_jobflow.cli._candidates import write_cifs
from crystalicl_jobflow.cli._console import stdout_console, table
from crystalicl_jobflow.stores.sqlite.mongo_to_sql import dig
from crystalicl_jobflow.utils.files import json_default, replacing

if TYPE_CHECKING:
    from rich.table import Table

_TABLE_FIELDS = (
    "condition", "formula_pretty", "symmetry", "nsites", "nsites_primitive", "checks",
    "energy_above_hull", "is_stable", "is_novel", "valid", "joint_success", "failure_reason",
    "no_hull_reason", "stage",
)  # fmt: skip
"""Fields that the table needs."""

_ALWAYS_SHOWN = frozenset(
    ("candidate_id", "formula_pretty", "chemsys", "elements", "symmetry.number",
     "nsites_primitive", "valid", "joint_success", "failure_reason", "run_ids")
)  # fmt: skip
"""Fields whose values every table tells: its formula, its group, the outcome."""

_HEADINGS = {
    "energy_above_hull": (">eV/atom above hull", 3),
    "energy_per_atom": (">Energy eV/atom", 3),
    "formation_energy_per_atom": (">Formation eV/atom", 3),
    "band_gap": (">Gap eV", 2),
    "density": (">g/cm³", 2),
    "checks.min_distance": (">Min. Å", 2),
    "nelements": (">Elements", 0),
    "formula_anonymous": ("Anonymous", None),
    "symmetry.symbol": ("Symbol", None),
    "symmetry.crystal_system": ("System", None),
    "is_relaxed": ("Relaxed", None),
    "is_stable": ("Stable", None),
    "is_metastable": ("Metastable", None),
    "is_unique": ("Unique", None),
    "is_sun": ("S.U.N.", None),
}
"""Field → heading of its column and decimals of its numbers; all others go by their name."""


def asked_fields(criteria: Mapping[str, Any], sort: str | None) -> list[str]:
    """Return the fields that a question sorts or filters by and a table has to show.

    Parameters
    ----------
    criteria
        The question in MongoDB's language.
    sort
        What is sorted by, by any of its names.

    Raises
    ------
    ValueError
        If there is no such field; one line.
    """
    names = [] if sort is None else [field_name(sort)]
    for term in terms_of(dict(criteria)):
        names += [name for name in term if not name.startswith("$")]
    return [name for name in dict.fromkeys(names) if name not in _ALWAYS_SHOWN]


def needed_fields(
    output: str, chosen: Sequence[str] | None, shown: Sequence[str]
) -> list[str] | None:
    """Return the fields to ask the store for; None for all.

    Parameters
    ----------
    output
        The format.
    chosen
        Fields that the user chose; None for none.
    shown
        See :func:`asked_fields`.
    """
    from crystalicl_jobflow.candidates.flat_rows import FLAT_FIELDS

    if chosen is not None:
        return list(chosen)
    if output == "table":
        whole = [name for name in shown if name.split(".")[0] not in _TABLE_FIELDS]
        return [*_TABLE_FIELDS, *whole]
    if output in ("csv", "parquet"):
        return [*FLAT_FIELDS, *shown]
    return ["structure", "formula_pretty", "symmetry"] if output == "cif" else None


def write_found(
    found: Iterable[dict[str, Any]],
    output: str,
    out: Path | None,
    *,
    fields: Sequence[str] | None,
    shown: Sequence[str],
) -> int | None:
    """Print or write what was found.

    Parameters
    ----------
    found
        The documents.
    output
        The format.
    out
        File, or folder of CIF files; None to print.
    fields
        Fields that the user chose; None for none.
    shown
        See :func:`asked_fields`.

    Returns
    -------
    int or None
        How many there are; None where they were printed for another program.
    """
    if output == "table":
        documents = list(found)
        if documents and fields is None:
            stdout_console(asked_for=True).print(document_table(documents, shown))
        elif documents:
            stdout_console(asked_for=True).print(field_table(documents, fields or ()))
        return len(documents)
    if output in ("csv", "parquet"):
        columns = needed_fields(output, fields, shown) or []
        return _write_rows(found, output, out, columns)
    if output == "cif" and out is not None:
        return len(write_cifs(out, map(CrystalFile.of_document, found)))
    with ExitStack() as stack:
        counted: Counter[str] = Counter()
        file = None
        if out is not None:
            beside = stack.enter_context(replacing(out))
            file = stack.enter_context(beside.open("w", encoding="utf-8"))
        for text in _texts(found, output, counted):
            click.echo(text, file=file)
    return None if out is None else counted.total()


def count_words(shown: int, matching: int, everything: int) -> str:
    """Return how many candidates are shown, of how many.

    Parameters
    ----------
    shown
        Those that were printed or written.
    matching
        Those that answer the question.
    everything
        Those in the source.
    """
    if not matching:
        return f"No candidate meets this, of {everything}."
    if shown == matching == everything:
        return f"{shown} candidates"
    if matching in (shown, everything):
        return f"{shown} of {everything} candidates"
    return f"{shown} of {matching} that meet this, of {everything} candidates"


def json_line(document: Mapping[str, Any]) -> str:
    """Return a document as one line of JSON; times in ISO 8601, UTC."""
    return json.dumps(document, default=json_default, ensure_ascii=False)


def _texts(found: Iterable[dict[str, Any]], output: str, counted: Counter[str]) -> Iterator[str]:
    """Yield lines of JSON or texts of CIF, counting the candidates; a list has brackets, too."""

    def count(document: dict[str, Any]) -> dict[str, Any]:
        counted[output] += 1
        return document

    found = map(count, found)
    if output == "cif":
        crystals = map(CrystalFile.of_document, found)
        yield from (crystal.text() for crystal in crystals if crystal is not None)
    elif output == "jsonl":
        yield from map(json_line, found)
    else:
        yield "["
        before = None
        for document in found:
            if before is not None:
                yield f"{before},"
            before = json_line(document)
        if before is not None:
            yield before
        yield "]"


def _write_rows(
    found: Iterable[dict[str, Any]], output: str, out: Path | None, fields: list[str]
) -> int | None:
    from crystalicl_jobflow.candidates.flat_rows import flat_table

    rows = flat_table(found, fields)
    if out is None:
        click.echo(rows.to_csv(index=False), nl=False)
        return None
    with replacing(out) as beside:
        if output == "csv":
            rows.to_csv(beside, index=False)
        else:
            rows.to_parquet(beside, index=False)
    return len(rows)


def document_table(documents: Sequence[Mapping[str, Any]], shown: Sequence[str] = ()) -> Table:
    """Return a table with one row per candidate; what no candidate has is no column.

    Parameters
    ----------
    documents
        Stored candidates.
    shown
        Fields that get a column whatever they hold, see :func:`asked_fields`.
    """
    asked = {_label(document) for document in documents}
    columns: list[tuple[str, list[str]]] = [
        ("Id", [str(document["candidate_id"])[:SHOWN_DIGITS] for document in documents])
    ]
    if len(asked) > 1 and len(shown) <= _MOST_BESIDE_LABELS:
        columns.append(("Asked for", [_label(document) for document in documents]))
    columns.append(("Formula", [document.get("formula_pretty") or "-" for document in documents]))
    columns.append(("Group", [_group(document) for document in documents]))
    columns.append((">Atoms", list(map(_atoms, documents))))
    known = any(
        document.get(name) is not None
        for document in documents
        for name in ("energy_above_hull", "no_hull_reason")
    )
    if known and "energy_above_hull" not in shown:
        columns.append(_column("energy_above_hull", documents))
    elif not known and not shown:
        columns.append(_column("checks.min_distance", documents))
    columns += [_column(name, documents) for name in shown if name != "is_novel"]
    novel = [_flag(document.get("is_novel"), "new", "known") for document in documents]
    if set(novel) != {"-"} or "is_novel" in shown:
        columns.append(("Novel", novel))
    columns.append(("Outcome", [_outcome(document) for document in documents]))
    return _filled(columns)


_MOST_BESIDE_LABELS = 1
"""With more columns than this there is no room for what was asked for."""


def field_table(documents: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Table:
    """Return a table of chosen fields."""
    names = list(dict.fromkeys(["candidate_id", *fields]))
    return _filled(
        [
            (name, [_cell(dig(document, field_name(name))) for document in documents])
            for name in names
        ]
    )


def _filled(columns: list[tuple[str, list[str]]]) -> Table:
    rows = table(*(heading for heading, _ in columns))
    rows.columns[0].no_wrap = True  # an id is copied as a whole
    for cells in zip(*(cells for _, cells in columns), strict=True):
        rows.add_row(*cells)
    return rows


def _column(name: str, documents: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    heading, decimals = _HEADINGS.get(name, (name.removeprefix("properties."), None))
    cells = [_cell(dig(document, name), decimals) for document in documents]
    if name == "energy_above_hull":
        cells = [
            "not judged" if cell == "-" and document.get("no_hull_reason") else cell
            for cell, document in zip(cells, documents, strict=True)
        ]
    return heading, cells


def _outcome(document: Mapping[str, Any]) -> str:
    if document.get("stage") == "generated":
        return "not checked"
    return outcome(
        valid=bool(document.get("valid")),
        reason=document.get("failure_reason"),
        as_asked=document.get("joint_success"),
        stable=document.get("is_stable"),
    )


def _label(document: Mapping[str, Any]) -> str:
    from crystalicl_jobflow.schemas import Condition

    condition = document.get("condition") or {}
    given = {k: v for k, v in condition.items() if v is not None and not k.startswith("@")}
    return Condition.parse(given).label().replace(", group ", " ")


def _group(document: Mapping[str, Any]) -> str:
    symmetry = document.get("symmetry") or {}
    number = symmetry.get("number")
    return "-" if number is None else f"{number} {symmetry.get('symbol') or ''}"


def _atoms(document: Mapping[str, Any]) -> str:
    """Return the atoms in the primitive cell, which earlier versions called nsites."""
    return str(document.get("nsites_primitive") or document.get("nsites") or "-")


def _flag(value: bool | None, yes: str, no: str) -> str:
    return "-" if value is None else yes if value else no


def _cell(value: Any, decimals: int | None = None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and decimals is not None:
        return f"{value:.{decimals}f}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=json_default, ensure_ascii=False)
    return str(value)
