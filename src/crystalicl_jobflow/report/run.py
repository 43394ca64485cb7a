"""What a run left in its folder, read for the report."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from crystalicl_jobflow.candidates.files import read_candidates
from crystalicl_jobflow.schemas import (
    CANDIDATES_FILE,
    METRICS_FILE,
    STRUCTURES_CSV,
    STRUCTURES_PARQUET,
    Candidate,
    Evaluation,
    Rate,
)
from crystalicl_jobflow.schemas.benchmark import TABLE_FILE, TableDoc
from crystalicl_jobflow.schemas.diffraction import PATTERN_FILE, PowderPattern
from crystalicl_jobflow.schemas.structure_table import OLD_COLUMNS
from crystalicl_jobflow.utils.messages import first_line

SUMMARY_FILE = "summary.json"
"""What ``crystalicl generate`` and ``demo`` write in place of a METRICS_FILE."""


@dataclass
class Run:
    """A run as the report needs it.

    Parameters
    ----------
    name
        What the page is called by.
    candidates
        All of them, in their order.
    rates, metrics, reasons, tolerances
        As :class:`~crystalicl_jobflow.schemas.Evaluation` has them.
    meanings
        What each rate divides by what, where the run's file says so.
    document
        The whole of the file that the rates come from; empty where they were computed now.
    columns
        Further results of each candidate, from the table of structures: one mapping per
        candidate, empty where there is no table.
    sources
        Files that were read.
    tables
        Tables of a benchmark.
    num_runs
        Runs whose candidates are here together.
    pattern
        Measured powder pattern that the candidates were compared with.
    """

    name: str
    candidates: list[Candidate]
    rates: dict[str, Rate]
    metrics: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    tolerances: dict[str, Any] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    columns: list[dict[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    tables: list[TableDoc] = field(default_factory=list)
    num_runs: int = 1
    pattern: PowderPattern | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            self.columns = [{} for _ in self.candidates]

    def value(self, index: int, name: str) -> Any:
        """Return what is known about a candidate under a column's name, or None.

        The table of structures comes first, then the candidate's predicted properties, its
        checks and its own fields.
        """
        known = self.columns[index].get(name)
        if known is not None:
            return known
        candidate = self.candidates[index]
        if name in candidate.properties:
            return candidate.properties[name]
        if name in type(candidate.checks).model_fields:
            return getattr(candidate.checks, name)
        return getattr(candidate, name) if name in type(candidate).model_fields else None


def read_run(folder: str | Path) -> Run:
    """Read what a run left in a folder.

    Needs the candidates, here or in folders below, as a local run and a benchmark's many leave
    them; takes rates from ``metrics.json`` or ``summary.json``, and computes them where there is
    neither; takes further results of each candidate from ``structures.parquet`` or
    ``structures.csv``.

    Parameters
    ----------
    folder
        Where a run, an evaluation or a benchmark wrote.

    Raises
    ------
    ValueError
        If there are no candidates, or a file cannot be read; one line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    if (folder / CANDIDATES_FILE).is_file():
        run = _read_one(folder)
    else:
        places = [path.parent for path in sorted(folder.glob(f"*/**/{CANDIDATES_FILE}"))]
        if not places:
            raise ValueError(f"{folder} holds no {CANDIDATES_FILE}")
        runs = [_read_one(place) for place in places]
        name = folder.resolve().name
        run = replace(runs[0], name=name) if len(runs) == 1 else _together(name, runs)
    run.tables = _read_tables(folder / TABLE_FILE)
    return run


def _read_one(folder: Path) -> Run:
    path = folder / CANDIDATES_FILE
    candidates = read_candidates(path)
    if not candidates:
        raise ValueError(f"{path} holds no candidates")
    sources = [path.name]
    document: dict[str, Any] = {}
    for name in (METRICS_FILE, SUMMARY_FILE):
        if (folder / name).is_file():
            document = _read_json(folder / name)
            sources.append(name)
            break
    columns, table = _read_table(folder, candidates)
    if table is not None:
        sources.append(table)
    if (folder / PATTERN_FILE).is_file():
        sources.append(PATTERN_FILE)
    run = build_run(
        folder.resolve().name, candidates, document=document, columns=columns, sources=sources
    )
    run.pattern = _read_pattern(folder / PATTERN_FILE)
    return run


def _read_pattern(path: Path) -> PowderPattern | None:
    if not path.is_file():
        return None
    try:
        return PowderPattern.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} holds no pattern: {first_line(error)}") from None


def _together(name: str, runs: Sequence[Run]) -> Run:
    """Put the candidates of several runs together; counts and denominators add up."""
    rates = {}
    for rate in runs[0].rates:
        if all(rate in run.rates for run in runs):
            count = sum(run.rates[rate].count for run in runs)
            rates[rate] = Rate.from_counts(count, sum(run.rates[rate].of for run in runs))
    reasons: Counter[str] = Counter()
    for run in runs:
        reasons.update(run.reasons)
    # what is unique in its run need not be so among all of them
    within = {"unique", "duplicate_of"}
    rates.pop("unique", None)
    columns = [
        {key: value for key, value in row.items() if key not in within}
        for run in runs
        for row in run.columns
    ]
    return Run(
        name=name,
        candidates=[candidate for run in runs for candidate in run.candidates],
        rates=rates,
        reasons=dict(reasons),
        tolerances={name: value for run in runs for name, value in run.tolerances.items()},
        meanings=runs[0].meanings,
        columns=columns,
        sources=[f"{len(runs)} runs"],
        num_runs=len(runs),
    )


def _read_tables(path: Path) -> list[TableDoc]:
    if not path.is_file():
        return []
    try:
        return TypeAdapter(list[TableDoc]).validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} holds no tables: {first_line(error)}") from None


def build_run(
    name: str,
    candidates: Sequence[Candidate],
    *,
    document: Mapping[str, Any] | None = None,
    columns: list[dict[str, Any]] | None = None,
    sources: Sequence[str] = (),
    evaluation: Evaluation | None = None,
) -> Run:
    """Put a run together from what is in memory.

    Parameters
    ----------
    name
        What the page is called by.
    candidates
        All of them.
    document
        ``metrics.json`` or ``summary.json`` as read.
    columns
        Further results, one mapping per candidate.
    sources
        Files that were read.
    evaluation
        Where rates and results come from if the document has none; made now where None.

    Raises
    ------
    ValueError
        If a rate of the document is none.
    """
    document = dict(document or {})
    rates = _rates(document.get("rates"), name)
    run = Run(
        name=name,
        candidates=list(candidates),
        rates=rates,
        document=document,
        columns=columns or [],
        sources=list(sources),
    )
    if rates:
        run.meanings = {
            name: str(rate["meaning"])
            for name, rate in document["rates"].items()
            if name in rates and rate.get("meaning")
        }
        run.metrics = dict(document.get("metrics") or {})
        run.reasons = dict(document.get("reasons") or {})
        run.tolerances = dict(document.get("tolerances") or {})
        return run
    if evaluation is None:
        from crystalicl_jobflow.evaluation.rates import evaluate

        evaluation = evaluate(run.candidates)
    elif columns is None:
        run.columns = [_known(row) for row in evaluation.results]
    run.rates, run.metrics = evaluation.rates, evaluation.metrics
    run.reasons, run.tolerances = evaluation.reasons, evaluation.tolerances
    return run


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no mapping")
    return document


def _rates(document: Any, where: str) -> dict[str, Rate]:
    if not isinstance(document, Mapping):
        return {}
    rates = {}
    for name, rate in document.items():
        if not isinstance(rate, Mapping) or not {"count", "of"} <= set(rate):
            continue  # a mean over repeats has no count
        count, of = rate["count"], rate["of"]
        if not (isinstance(count, int) and isinstance(of, int) and 0 <= count <= of):
            raise ValueError(f"{where}: rate {name!r} is {count} of {of}")
        rates[str(name)] = Rate.from_counts(count, of)
    return rates


def _read_table(
    folder: Path, candidates: Sequence[Candidate]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the table's row of each candidate, and the file's name."""
    import pandas as pd

    rows: list[dict[str, Any]]
    for name in (STRUCTURES_PARQUET, STRUCTURES_CSV):
        path = folder / name
        if not path.is_file():
            continue
        try:
            table = pd.read_parquet(path) if name == STRUCTURES_PARQUET else pd.read_csv(path)
        except ImportError:  # pandas has no reader for Parquet here: take the CSV
            continue
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
        rows = [_known(row) for row in table.to_dict("records")]
        ids = [row.get("candidate_id") for row in rows]
        if ids == [candidate.candidate_id for candidate in candidates]:
            return rows, name  # row by row: two equal draws have one id
        by_id = dict(zip(ids, rows, strict=True))
        return [by_id.get(candidate.candidate_id, {}) for candidate in candidates], name
    return [{} for _ in candidates], None


def _known(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Leave out empty cells; plain Python values for the rest."""
    import pandas as pd

    known: dict[str, Any] = {}
    for name, value in row.items():
        if pd.api.types.is_scalar(value) and pd.isna(value):
            continue
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, float) and not math.isfinite(plain):
            continue
        known[OLD_COLUMNS.get(str(name), str(name))] = plain
    return known
