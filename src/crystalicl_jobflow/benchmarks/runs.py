"""One run of a benchmark: a setting with a seed, kept in a folder, resumable."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.benchmarks.conditional import OpenPool, conditional_benchmark
from crystalicl_jobflow.benchmarks.results import BenchmarkResult, prediction_rates
from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting
from crystalicl_jobflow.benchmarks.simulated_patterns import simulate_pattern
from crystalicl_jobflow.benchmarks.splits import split_rates
from crystalicl_jobflow.energies.kept import ENERGIES_FILE
from crystalicl_jobflow.evaluation.structure_prediction import SAMPLES
from crystalicl_jobflow.retrieval import open_pool
from crystalicl_jobflow.schemas import Rate
from crystalicl_jobflow.schemas.benchmark import Comparison, RunDoc
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.run_folder import RunFolder

MAX_LISTED = 10
"""Most constraints that a run lists; every candidate names its own."""


def run_setting(
    setting: BenchmarkSetting,
    seed: int,
    *,
    folder: RunFolder | None = None,
    pools: OpenPool = open_pool,
    processes: int = 1,
    cache: Any = None,
    progress: StageProgress | None = None,
) -> tuple[RunDoc, BenchmarkResult | None]:
    """Do one run, or what is missing of it.

    Parameters
    ----------
    setting
        One row of a table.
    seed
        Seed of the rows, the demonstrations and the texts.
    folder
        Where the run lies, made for :meth:`BenchmarkSetting.identity` of this setting and
        seed; None keeps everything in memory.
    pools
        Opens the pool.
    processes
        Processes for checks and comparisons.
    cache
        Where fingerprints are kept.
    progress
        Called with (what, done, total).

    Returns
    -------
    tuple
        The run's document; its result, None where the finished run was in the folder.
    """
    if folder is not None and folder.finished is not None:
        return RunDoc.from_metrics(setting.label, seed, folder.finished), None
    result = conditional_benchmark(
        setting,
        seed=seed,
        folder=folder,
        pools=pools,
        processes=processes,
        cache=cache,
        progress=progress,
    )
    identity = folder.settings if folder is not None else setting.identity(seed)
    if setting.energies is not None:
        # energies are kept in the folder as they are found: a killed run goes on
        kept = None if folder is None else str(folder.folder / ENERGIES_FILE)
        add_run_energies(setting, result, cache=kept, progress=progress)
    if setting.xrd is not None:
        add_run_patterns(setting, seed, result, processes=processes, progress=progress)
    metrics = run_metrics(setting, result, identity, processes=processes, progress=progress)
    if folder is not None:
        folder.finish(result.parts, metrics, result.evaluation)
    return RunDoc.from_metrics(setting.label, seed, metrics), result


def add_run_energies(
    setting: BenchmarkSetting,
    result: BenchmarkResult,
    *,
    cache: str | None = None,
    progress: StageProgress | None = None,
) -> None:
    """Give the crystals of a run their energies, in place.

    Parameters
    ----------
    setting
        Says how they are computed.
    result
        The run; its candidates, and those of its parts, get a property.
    cache
        File where energies are kept by structure hash; that of the setting where it names one.
    progress
        Called with (what, conditions done, of).
    """
    from crystalicl_jobflow.selection.evidence_energies import add_energies

    options = setting.evidence_energies
    started = time.perf_counter()
    result.candidates = add_energies(
        result.candidates,
        options if options.cache is not None else replace(options, cache=cache),
        progress=None if progress is None else partial(progress, "Energies"),
    )
    _give_to_parts(result)
    result.seconds["energies"] = round(time.perf_counter() - started, 3)


def add_run_patterns(
    setting: BenchmarkSetting,
    seed: int,
    result: BenchmarkResult,
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
) -> None:
    """Compare the crystals of a run with simulated patterns of the true ones, in place.

    Parameters
    ----------
    setting
        Says how patterns are simulated.
    seed
        Seed of noise, shifts and widths.
    result
        The run; its candidates, and those of its parts, get `Candidate.xrd`.
    processes
        Processes that share the crystals.
    progress
        Called with (what, conditions done, of).
    """
    from crystalicl_jobflow.selection.pattern_fits import add_pattern_fits

    assert setting.xrd is not None
    started = time.perf_counter()
    places: dict[int, list[int]] = {}
    for place, candidate in enumerate(result.candidates):
        places.setdefault(candidate.provenance.request_index, []).append(place)
    for done, (asked, found) in enumerate(places.items(), start=1):
        truth, name = result.truths.get(asked), result.material_ids[asked]
        if truth is not None:
            pattern = simulate_pattern(truth, setting.xrd, name=name, seed=seed)
            own = [result.candidates[place] for place in found]
            fitted = add_pattern_fits(own, pattern, processes=processes)
            for place, candidate in zip(found, fitted, strict=True):
                result.candidates[place] = candidate
        if progress is not None:
            progress("Patterns", done, len(places))
    _give_to_parts(result)
    result.seconds["patterns"] = round(time.perf_counter() - started, 3)


def _give_to_parts(result: BenchmarkResult) -> None:
    """Put the candidates of a run into its parts, in their order."""
    done = iter(result.candidates)
    for part in result.parts:
        part.candidates = [next(done) for _ in part.candidates]


def run_metrics(
    setting: BenchmarkSetting,
    result: BenchmarkResult,
    identity: dict[str, Any],
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Return the content of ``metrics.json``: rates, settings, speed, provenance.

    Parameters
    ----------
    setting
        What was run.
    result
        What was measured.
    identity
        All that decides the figures, see :meth:`BenchmarkSetting.identity`.
    processes
        Processes that rank samples.
    progress
        Called with (what, done, total).
    """
    evaluation = result.evaluation
    metrics: dict[str, Any] = {}
    if setting.kind == "prediction":
        comparisons = [item for part in result.parts for item in part.comparisons]
        metrics["prediction"] = prediction_rates(result.candidates, comparisons, setting.samples)
        metrics["prediction_by"] = split_rates(
            result.candidates,
            comparisons,
            setting.samples,
            with_template=result.with_template,
            in_pool=result.in_pool,
        )
        if setting.samples > 1 or setting.rankings:
            metrics |= _ranked(setting, result, comparisons, processes, progress)
    metrics |= {
        "rates": {
            **{name: rate.model_dump() for name, rate in evaluation.rates.items()},
            **ranked_rates(metrics),
        },
        "reasons": evaluation.reasons,
        "metrics": evaluation.metrics,
        "tolerances": evaluation.tolerances,
        **{name: value for name, value in identity.items() if name not in ("sampling", "model")},
        "num_conditions": len(result.material_ids),
        "not_read": dict(result.failed),
        "written_freely": dict(result.impossible),
        "seconds": result.seconds,
        "speed": result.speed,
        "identity": identity.get("model"),
    }
    if result.candidates:
        first = result.candidates[0].provenance
        described = {item.provenance.constraint for item in result.candidates} - {None}
        metrics |= {
            "constraints": sorted(map(str, described))[:MAX_LISTED],
            "num_constrained": sum(
                item.provenance.constraint is not None for item in result.candidates
            ),
            "sampling": None if first.sampling is None else first.sampling.model_dump(),
            "model": None if first.model is None else first.model.model_dump(),
            "versions": first.versions,
        }
    return {**metrics, "material_ids": result.material_ids}


def _ranked(
    setting: BenchmarkSetting,
    result: BenchmarkResult,
    comparisons: Sequence[Comparison | None],
    processes: int,
    progress: StageProgress | None,
) -> dict[str, Any]:
    """Return the match rates of ranked samples: of the first ranking, and of each by name."""
    from crystalicl_jobflow.selection.select import ranked_places

    rows, splits = {}, {}
    for name, ranking in setting.ranked_by.items():
        places = ranked_places(
            result.candidates,
            ranking=ranking,
            processes=processes,
            progress=None if progress is None else partial(progress, "Rank"),
        )
        given = (result.candidates, comparisons, setting.samples)
        rows[name] = prediction_rates(*given, places=places)
        splits[name] = split_rates(
            *given, with_template=result.with_template, in_pool=result.in_pool, places=places
        )
    found: dict[str, Any] = {"prediction_ranked": next(iter(rows.values()))}
    found["prediction_ranked_split"] = splits
    if len(rows) > 1:
        found["prediction_ranked_by"] = rows
    return found


def ranked_rates(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the match rates of the best-ranked samples as rates.

    Parameters
    ----------
    metrics
        With ``prediction_ranked`` and, where there are several rankings,
        ``prediction_ranked_by``.

    Returns
    -------
    dict
        ``match_ranked_at_K`` of the first ranking, ``match_ranked_NAME_at_K`` of each of
        several, for the K of `SAMPLES` that there are and the largest.
    """
    tables = {"": metrics.get("prediction_ranked", [])}
    tables |= {f"_{name}": rows for name, rows in metrics.get("prediction_ranked_by", {}).items()}
    rates: dict[str, dict[str, Any]] = {}
    for name, rows in tables.items():
        for row in rows:
            if row["n"] in SAMPLES or row["n"] == len(rows):
                rate = Rate.from_counts(row["matched"], row["conditions"])
                rates[f"match_ranked{name}_at_{row['n']}"] = rate.model_dump()
    return rates
