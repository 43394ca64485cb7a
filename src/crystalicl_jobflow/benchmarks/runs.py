"""One run of a benchmark: a setting with a seed, in this process, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.benchmarks.conditional import ask_for, measure
from crystalicl_jobflow.benchmarks.conditions import draw_crystals
from crystalicl_jobflow.benchmarks.results import BenchmarkResult, prediction_rates
from crystalicl_jobflow.benchmarks.sample_texts import Asked, ask_nothing, sample_all
from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting
from crystalicl_jobflow.retrieval import DemonstrationIndex, open_pool
from crystalicl_jobflow.schemas import Demonstration, Rate
from crystalicl_jobflow.schemas.benchmark import RunDoc, SamplePart
from crystalicl_jobflow.utils.progress import Clock, StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.run_folder import RunFolder
    from crystalicl_jobflow.datasets.crystal_data import CrystalData

OpenPool = Callable[[str | None, str], DemonstrationIndex]
"""Opens a pool, given its name (None for the prototypes) and the strategy."""

MAX_LISTED = 10
"""Most constraints that a run lists; every candidate names its own."""


def plan_run(
    setting: BenchmarkSetting,
    seed: int,
    *,
    pools: OpenPool = open_pool,
    progress: StageProgress | None = None,
    clock: Clock | None = None,
) -> tuple[list[Asked], list[Demonstration], list[tuple[str, str]]]:
    """Draw the crystals of a run and choose the demonstrations.

    Returns
    -------
    tuple
        What is asked for; the crystals, none where nothing is asked for; rows that cannot
        be read.

    Raises
    ------
    ValueError
        If the data set, the pool or what is asked for is not there; one line.
    """
    if setting.kind == "unconditional":
        return ask_nothing(setting.samples, seed=seed), [], []
    crystals, failed = draw_crystals(
        setting.dataset, limit=setting.limit, seed=seed, progress=progress
    )
    asked = ask_for(
        crystals,
        setting.condition,
        dataset=setting.dataset,
        pool=pools(setting.pool, setting.strategy) if setting.shots else None,
        shots=setting.shots,
        strategy=setting.strategy,
        samples=setting.samples,
        seed=seed,
        clock=clock,
    )
    return asked, crystals, failed


def measure_run(
    setting: BenchmarkSetting,
    parts: Sequence[SamplePart],
    crystals: Sequence[Demonstration],
    failed: Sequence[tuple[str, str]] = (),
    *,
    processes: int = 1,
    cache: Any = None,
    progress: StageProgress | None = None,
    clock: Clock | None = None,
) -> BenchmarkResult:
    """Evaluate the parts of a run together, see :func:`measure`."""
    reference: CrystalData | None = None
    known: CrystalData | None = None
    if setting.kind == "unconditional":
        reference = _data_set(setting.dataset)
    if setting.known is not None:
        known = _data_set(setting.known)
    result = measure(
        parts,
        crystals,
        options=setting.evaluation(processes=processes, cache=cache),
        failed=failed,
        reference=reference,
        known=known,
        progress=progress,
        clock=clock,
    )
    _add_energies(setting, result, reference)
    return result


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
        What is asked for.
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
        The run's document; its result, None where the folder held the finished run.
    """
    if folder is not None and folder.finished is not None:
        return RunDoc.from_metrics(setting.label, seed, folder.finished), None
    clock = Clock()
    predictors = setting.load_predictors()
    asked, crystals, failed = plan_run(setting, seed, pools=pools, progress=progress, clock=clock)
    parts = sample_all(
        asked,
        lru_cache(maxsize=1)(setting.model.load),
        setting.writing(seed),
        processes=processes,
        progress=progress,
        folder=folder,
        predictors=predictors,
        batch_size=setting.model.batch_size,
    )
    result = measure_run(
        setting,
        parts,
        crystals,
        failed,
        processes=processes,
        cache=cache,
        progress=progress,
        clock=clock,
    )
    identity = folder.settings if folder is not None else setting.identity(seed)
    metrics = run_metrics(setting, result, identity, processes=processes, progress=progress)
    if folder is not None:
        folder.finish(parts, metrics, result.evaluation)
    return RunDoc.from_metrics(setting.label, seed, metrics), result


def run_metrics(
    setting: BenchmarkSetting,
    result: BenchmarkResult,
    identity: dict[str, Any],
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Return what ``metrics.json`` holds of a run: rates, settings, speed, provenance."""
    evaluation = result.evaluation
    metrics: dict[str, Any] = {}
    if setting.kind == "prediction":
        comparisons = [item for part in result.parts for item in part.comparisons]
        metrics["prediction"] = prediction_rates(result.candidates, comparisons, setting.samples)
        if setting.samples > 1:
            from crystalicl_jobflow.selection.select import ranked_places

            metrics["prediction_ranked"] = prediction_rates(
                result.candidates,
                comparisons,
                setting.samples,
                places=ranked_places(
                    result.candidates,
                    processes=processes,
                    progress=None if progress is None else partial(progress, "Rank"),
                ),
            )
    metrics |= {
        "rates": {name: rate.model_dump() for name, rate in evaluation.rates.items()},
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


def _add_energies(
    setting: BenchmarkSetting, result: BenchmarkResult, reference: CrystalData | None
) -> None:
    """Add the share with negative formation energy, and the energies' distribution."""
    name = "formation_energy_per_atom"
    if name not in setting.predictors:
        return
    from crystalicl_jobflow.comparison.distributions import property_distributions
    from crystalicl_jobflow.evaluation.metrics import negative_energies

    candidates = result.candidates
    found = [candidate.properties.get(name) for candidate in candidates]
    evaluation = result.evaluation
    evaluation.rates["negative_formation_energy"] = negative_energies(found)
    if reference is None:
        return
    (predictor,) = [item for item in setting.load_predictors() if item.property_name == name]
    of_reference = predictor.predict(reference.structures)
    valid = [item for item in candidates if item.valid and item.structure is not None]
    distances = property_distributions(
        [item.structure for item in valid],  # type: ignore[misc]
        reference.structures,
        generated_properties={name: [item.properties.get(name) for item in valid]},
        reference_properties={name: of_reference},
    )
    evaluation.metrics[f"wasserstein:{name}"] = distances[name].distance


@lru_cache(maxsize=4)
def _data_set(spec: str) -> CrystalData:
    from crystalicl_jobflow.datasets.crystal_data import read_data_set

    return read_data_set(spec)


__all__ = ["OpenPool", "Rate", "measure_run", "open_pool", "plan_run", "run_metrics", "run_setting"]
