"""Rows of finished benchmarks in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crystalicl_jobflow.benchmarks.tables import read_tables
from crystalicl_jobflow.schemas.benchmark import TableDoc, TableRow


def side_by_side(
    runs: Sequence[tuple[str, Path]], *, title: str | None = None, columns: Sequence[str] = ()
) -> TableDoc:
    """Put the rows of several benchmarks into one table.

    Parameters
    ----------
    runs
        Label and folder (or ``table.json``) of each; the first table of each counts. Where it has
        several rows, their own labels follow.
    title
        Words above the table; None for those of the first.
    columns
        Figures shown; none: all that any of the tables shows, in their order. Only these are kept.

    Returns
    -------
    TableDoc
        Ours in the order given, then the published rows that any of the tables has.

    Raises
    ------
    ValueError
        If there is no run, a folder has no table, or no run has one of the figures; one line.
    """
    if not runs:
        raise ValueError("no benchmark to put into the table")
    tables = [(label, read_tables(place)[0]) for label, place in runs]
    rows = [
        row.model_copy(update={"label": label if len(table.rows) == 1 else f"{label} {row.label}"})
        for label, table in tables
        for row in table.rows
    ]
    shown = list(columns) or list(
        dict.fromkeys(name for _, table in tables for name in table.columns)
    )
    for name in shown:
        if not any(name in row.mean for row in rows):
            known = sorted({key for row in rows for key in row.mean if "_at_" not in key})
            raise ValueError(f"no run has the figure {name!r}; they have {', '.join(known)}")
    published = {
        (row.label, row.source): row
        for _, table in tables
        for row in table.published
        if any(row.mean.get(name) is not None for name in shown)
    }
    return TableDoc(
        title=title or tables[0][1].title,
        columns=shown,
        rows=[_only(row, shown) for row in rows],
        published=[_only(row, shown) for row in published.values()],
        notes=list(dict.fromkeys(note for _, table in tables for note in table.notes)),
        repeats=max(table.repeats for _, table in tables),
    )


def _only(row: TableRow, names: Sequence[str]) -> TableRow:
    """Return a row without the figures that are not shown."""
    parts = ("mean", "std", "uncertainty", "of")
    kept = {
        part: {name: value for name, value in getattr(row, part).items() if name in names}
        for part in parts
    }
    return row.model_copy(update=kept)
