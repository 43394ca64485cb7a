"""Finished runs judged by another predictor: the texts stay, predictions are made anew."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.benchmarks.run_folder import CANDIDATES, METRICS, RunFolder
from crystalicl_jobflow.benchmarks.settings import label_slug
from crystalicl_jobflow.benchmarks.suites import PREDICTED, predictor_note
from crystalicl_jobflow.benchmarks.tables import benchmark_table, read_tables
from crystalicl_jobflow.candidates import load_candidates
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_and_judge
from crystalicl_jobflow.schemas.benchmark import RunDoc, SamplePart, TableDoc
from crystalicl_jobflow.utils.hashing import file_hash
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas import Evaluation


def judge_again(
    folder: Path,
    predictors: Mapping[str, str | None],
    out: Path,
    *,
    progress: StageProgress | None = None,
) -> list[TableDoc]:
    """Judge the candidates of a finished benchmark by other predictors.

    Parameters
    ----------
    folder
        What ``crystalicl benchmark conditional``, ``ablation`` or ``cross-domain`` wrote.
    predictors
        Property to predictor, None for the default one. Properties without one stay judged as
        they are.
    out
        Where the judged runs go; runs that are there are not made again.
    progress
        Called with (what, done, total).

    Returns
    -------
    list of TableDoc
        The benchmark's tables with these verdicts. A crystal without a value meets nothing; the
        ``metrics.json`` of each judged run says why there is none.

    Raises
    ------
    ValueError
        If a run is missing, or nothing of it depends on these properties; one line.
    """
    from crystalicl_jobflow.energies import load_predictor, predictor_versions

    tables = read_tables(folder)
    loaded = [load_predictor(name, model) for name, model in predictors.items()]
    versions = predictor_versions(loaded)
    runs: list[RunDoc] = []
    for row in tables[0].rows:
        for place in _places(folder, row.label, alone=len(tables[0].rows) == 1):
            source = json.loads((place / METRICS).read_text(encoding="utf-8"))
            settings = {"candidates_sha256": file_hash(place / CANDIDATES), **versions}
            target = RunFolder(out / place.relative_to(folder), settings)
            metrics = target.finished
            if metrics is None:
                target.begin(1)
                metrics = _judge(place, source, target, predictors, versions, progress)
            runs.append(RunDoc.from_metrics(row.label, int(source["seed"]), metrics))
    note = predictor_note(loaded)
    return [_table(table, runs, note, versions) for table in tables]


def _places(folder: Path, label: str, *, alone: bool) -> list[Path]:
    """Return the folders of a row's runs, in the order of their seeds."""
    if alone and (folder / METRICS).is_file():
        return [folder]
    found = sorted(
        (path.parent for path in (folder / label_slug(label)).glob(f"seed_*/{METRICS}")),
        key=lambda path: int(path.name.removeprefix("seed_")),
    )
    if not found:
        raise ValueError(f"{folder / label_slug(label)} holds no finished run of {label!r}")
    return found


def _judge(
    place: Path,
    source: dict[str, Any],
    target: RunFolder,
    predictors: Mapping[str, str | None],
    versions: Mapping[str, str],
    progress: StageProgress | None,
) -> dict[str, Any]:
    """Judge one run, write it down, and return its metrics."""
    if "joint" not in source["rates"]:
        raise ValueError(f"{place}: nothing was asked for, so there is nothing to judge")
    started = time.perf_counter()
    candidates = load_candidates(place / CANDIDATES)
    evaluation, judged = evaluate_and_judge(
        candidates, EvaluationOptions(unique=False, predict=predictors), progress=progress
    )
    changed = [name for name in (*predictors, "joint", "negative_formation_energy")
               if name in evaluation.rates]  # fmt: skip
    metrics = {
        **source,
        **versions,
        "rates": {
            **source["rates"],
            **{name: evaluation.rates[name].model_dump() for name in changed},
        },
        "metrics": _figures(source, evaluation, predictors),
        "tolerances": {
            **{k: v for k, v in source["tolerances"].items() if not _of_predictor(k, predictors)},
            **{k: v for k, v in evaluation.tolerances.items() if _of_predictor(k, predictors)},
        },
        "reasons": evaluation.reasons,
        "seconds": {"predict": round(time.perf_counter() - started, 3)},
    }
    target.finish([SamplePart(candidates=judged)], metrics, evaluation)
    return metrics


def _of_predictor(name: str, predictors: Mapping[str, str | None]) -> bool:
    return name.partition(":")[0] in ("predictor", "not_predicted") and (
        name.partition(":")[2] in predictors
    )


def _figures(
    source: Mapping[str, Any], evaluation: Evaluation, predictors: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return the figures that still hold: no distance between distributions of old predictions."""
    stale = {f"wasserstein:{name}" for name in predictors}
    kept = {
        name: value
        for name, value in source["metrics"].items()
        if name not in stale and not name.startswith("not_judged:")
    }
    new = {k: v for k, v in evaluation.metrics.items() if k.startswith("not_judged:")}
    return {**kept, **new}


def _table(table: TableDoc, runs: list[RunDoc], note: str, versions: Mapping[str, str]) -> TableDoc:
    names = dict.fromkeys(version.partition(" ")[0] for version in versions.values())
    made = benchmark_table(
        f"{table.title}, judged by {' and '.join(names)}",
        {row.label: row.data_set for row in table.rows},
        runs,
        columns=[name for name in table.columns if name != "seconds"],
        repeats=table.repeats,
        notes=[*(words for words in table.notes if not words.startswith(_MADE)), note],
    )
    return made.model_copy(update={"published": table.published})


_MADE = (PREDICTED, "Seed", "Seconds")
"""With these the notes begin that are made anew."""
