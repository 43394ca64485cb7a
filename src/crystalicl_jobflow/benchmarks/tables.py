"""Tables of a benchmark: mean and standard deviation over runs, beside published figures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from crystalicl_jobflow.evaluation.intervals import half_width, value_text
from crystalicl_jobflow.schemas.benchmark import TABLE_FILE, RunDoc, TableDoc, TableRow
from crystalicl_jobflow.utils.files import write_json, write_text
from crystalicl_jobflow.utils.markdown import markdown_table
from crystalicl_jobflow.utils.messages import counted

SUCCESS = ("formula", "space_group", "formation_energy_per_atom", "band_gap")

COLUMNS: dict[str, tuple[str, ...]] = {
    "conditional": (*SUCCESS, "joint", "match", "seconds"),
    "realism": ("overlap", "symmetry_adherence", "negative_formation_energy"),
    "unconditional": (
        "composition_valid",
        "structure_valid_radii",
        "valid",
        "coverage_recall_separate",
        "coverage_precision_separate",
        "coverage_recall",
        "coverage_precision",
        "wasserstein:density",
        "wasserstein:formation_energy_per_atom",
        "wasserstein:num_elements",
        "unique",
        "novel",
        "seconds",
    ),
    "prediction": ("match_at_{n}", "rms_at_{n}", "match_valid_at_{n}", "rms_valid_at_{n}"),
    "ranked": ("match_ranked_at_{n}", "rms_ranked_at_{n}"),
}
"""Figures that each kind of table shows; those that no run has are left out."""

WORDS = {
    "formation_energy_per_atom": "formation energy",
    "structure_valid_radii": "structure valid",
    "negative_formation_energy": "negative energy",
    "coverage_recall_separate": "COV-R",
    "coverage_precision_separate": "COV-P",
    "coverage_recall": "COV-R, one crystal",
    "coverage_precision": "COV-P, one crystal",
    "wasserstein:density": "W(density)",
    "wasserstein:formation_energy_per_atom": "W(formation energy)",
    "wasserstein:num_elements": "W(elements)",
}
"""Headings that differ from the figure's name."""

SECONDS_NOTE = "Seconds: wall time of one run, from the reading of the data set to the last figure."


@cache
def seed_figures() -> dict[str, Any]:
    """Return the published figures: sources, and tables by number.

    All of them stand in ``seed_figures.json``, with the numbers that their tables have in
    the papers (CrystalICL's; ``CrystaLLM 3`` is the other paper's). ``CSPML`` is what the
    structures that its authors published score with our matcher, before their relaxation.
    """
    text = resources.files(__package__).joinpath("seed_figures.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def seed_rows(tables: Iterable[str], *, data_set: str | None = None) -> list[TableRow]:
    """Return published rows.

    Parameters
    ----------
    tables
        Numbers, see :func:`seed_figures`.
    data_set
        Only rows on this data set; None for all.
    """
    rows = []
    for number in tables:
        table = seed_figures()["tables"][number]
        own = number.removeprefix(f"{table['source']} ")
        where = table.get("where", f"{table['source']}, table {own}")
        for row in table["rows"]:
            if data_set is not None and row["dataset"] != data_set:
                continue
            std = row.get("std", [None] * len(table["columns"]))
            rows.append(
                TableRow(
                    label=row["label"],
                    data_set=row["dataset"],
                    source=where,
                    mean=dict(zip(table["columns"], row["mean"], strict=True)),
                    std=dict(zip(table["columns"], std, strict=True)),
                )
            )
    return rows


def table_row(label: str, runs: Sequence[RunDoc], *, asked: int, data_set: str) -> TableRow:
    """Return the mean and the standard deviation of every figure over the runs of a row.

    Parameters
    ----------
    label
        Name of the row.
    runs
        Those that there are.
    asked
        Runs that there should be.
    data_set
        Name of the data set.

    Returns
    -------
    TableRow
        The standard deviation is that of a sample (divided by the number of runs less
        one); None for a single run. A figure that some of the runs lack is the mean of the
        others, and counted in ``of``.
    """
    names = dict.fromkeys(name for run in runs for name in run.figures)
    mean: dict[str, float | None] = {}
    std: dict[str, float | None] = {}
    of: dict[str, int] = {}
    for name in names:
        values = [v for run in runs if (v := run.figures.get(name)) is not None]
        of[name] = len(values)
        mean[name] = statistics.fmean(values) if values else None
        std[name] = statistics.stdev(values) if len(values) > 1 else None
    return TableRow(
        label=label,
        data_set=data_set,
        source="here",
        mean=mean,
        std=std,
        uncertainty=_uncertainty(runs, names),
        of=of,
        runs=len(runs),
        missing_runs=asked - len(runs),
        missing_parts=sum(len(run.missing_parts) for run in runs),
    )


def _uncertainty(runs: Sequence[RunDoc], names: Iterable[str]) -> dict[str, float]:
    """Return half the width of the interval of every figure that is a rate, over all runs."""
    found = {}
    for name in names:
        counts = [item for run in runs if (item := _counts(run, name)) is not None]
        width = half_width(sum(count for count, _ in counts), sum(of for _, of in counts))
        if width is not None:
            found[name] = width
    return found


def _counts(run: RunDoc, name: str) -> tuple[int, int] | None:
    """Return how many of how many cases a rate of a run counts; None where it is no rate."""
    rate = run.metrics.get("rates", {}).get(name)
    if rate is not None:
        return rate["count"], rate["of"]
    share, of = run.figures.get(name), run.metrics.get("num_conditions")
    if not name.startswith("match_") or share is None or not of:
        return None
    return round(share * of), of


def benchmark_table(
    title: str,
    labels: Mapping[str, str],
    runs: Sequence[RunDoc | None],
    *,
    columns: Sequence[str],
    repeats: int,
    tables: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> TableDoc:
    """Put the runs of a benchmark into a table, with published rows below.

    Parameters
    ----------
    title
        Words above the table.
    labels
        Label of each row → name of its data set, in order.
    runs
        Runs of all rows; None for one that failed.
    columns
        Figures shown, where any run has them.
    repeats
        Runs that each row should have.
    tables
        Numbers of the published tables, see :func:`seed_figures`; rows on the data sets of
        ours, and the columns that these have.
    notes
        Remarks below the table.
    """
    present = [run for run in runs if run is not None]
    rows = [
        table_row(
            label, [run for run in present if run.label == label], asked=repeats, data_set=data_set
        )
        for label, data_set in labels.items()
    ]
    shown = [name for name in columns if any(row.mean.get(name) is not None for row in rows)]
    published = [
        row
        for data_set in dict.fromkeys(labels.values())
        for row in seed_rows(tables, data_set=data_set)
        if any(row.mean.get(name) is not None for name in shown)
    ]
    remarks = list(notes)
    for number in tables:
        note = seed_figures()["tables"][number].get("note")
        if note is not None:
            remarks.append(f"CrystalICL, {number}: {note}.")
    if seeds := sorted({run.seed for run in present}):
        remarks.append(f"{'Seed' if len(seeds) == 1 else 'Seeds'} {', '.join(map(str, seeds))}.")
    if "seconds" in shown:
        remarks.append(SECONDS_NOTE)
    missing = sum(row.missing_runs for row in rows)
    if missing:
        remarks.append(f"{missing} runs are missing: their jobs failed.")
    return TableDoc(
        title=title, columns=shown, rows=rows, published=published, notes=remarks, repeats=repeats
    )


def markdown(table: TableDoc) -> str:
    """Return a table as Markdown: ours first, published rows below with their sources."""
    several = len({row.data_set for row in (*table.rows, *table.published)}) > 1
    heads = [WORDS.get(name, name.replace("_", " ")) for name in table.columns]
    first = ["", "data set"] if several else [""]
    rows = []
    for row in (*table.rows, *table.published):
        cells = [figure_text(row, name) for name in table.columns]
        where = row.source
        if row.source == "here":
            where = f"here, {counted(row.runs, 'run')}"
        names = [row.label, row.data_set] if several else [row.label]
        rows.append([*names, *cells, where])
    lines = [f"## {table.title}", "", markdown_table([*first, *heads, "from"], rows).rstrip("\n")]
    notes = [*table.notes]
    if table.repeats > 1:
        notes.insert(0, "± is the standard deviation over the runs.")
    for note in notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def write_tables(folder: Path, tables: Sequence[TableDoc]) -> list[Path]:
    """Write tables as ``table.md`` and ``table.json``; return the paths."""
    paths = [folder / "table.md", folder / TABLE_FILE]
    write_text(paths[0], "\n".join(map(markdown, tables)))
    documents = [table.model_dump(mode="json") for table in tables]
    write_json(paths[1], documents)
    return paths


def read_tables(place: Path) -> list[TableDoc]:
    """Read what :func:`write_tables` wrote.

    Parameters
    ----------
    place
        The folder, or the ``table.json`` itself.

    Raises
    ------
    ValueError
        If there are no tables; one line.
    """
    path = place / TABLE_FILE if place.is_dir() else place
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [TableDoc.model_validate(found[0]), *map(TableDoc.model_validate, found[1:])]
    except FileNotFoundError:
        raise ValueError(f"{place} has no {TABLE_FILE}: it is no finished benchmark") from None
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"{path} holds no table of a benchmark") from None


def figure_text(row: TableRow, name: str) -> str:
    """Return a figure of a row as tables show it: with the digits that are certain.

    Parameters
    ----------
    row
        The row.
    name
        The figure's name.
    """
    return value_text(row.mean.get(name), row.std.get(name), uncertainty=row.uncertainty.get(name))
