"""One run of a benchmark in memory: draw conditions, write texts for them, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.benchmarks.conditions import (
    condition_names,
    condition_of,
    draw_crystals,
)
from crystalicl_jobflow.benchmarks.results import BenchmarkResult
from crystalicl_jobflow.benchmarks.sample_texts import (
    Request,
    plan_requests,
    plan_unconditional,
    sample_all,
)
from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting
from crystalicl_jobflow.datasets.crystal_data import nothing_read
from crystalicl_jobflow.pipeline import choose_demonstrations
from crystalicl_jobflow.retrieval import DemonstrationIndex, open_pool
from crystalicl_jobflow.retrieval.criteria import excluded
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.schemas.benchmark import SamplePart
from crystalicl_jobflow.utils.progress import Clock, StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.run_folder import RunFolder
    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.generation import TextGenerator

OpenPool = Callable[[str | None, str], DemonstrationIndex]
"""Opens a pool, given its name (None for the prototypes) and the strategy."""


def conditional_benchmark(
    setting: BenchmarkSetting,
    *,
    generator: TextGenerator | Callable[[], TextGenerator] | None = None,
    seed: int = 0,
    folder: RunFolder | None = None,
    pools: OpenPool = open_pool,
    processes: int = 1,
    cache: Any = None,
    progress: StageProgress | None = None,
) -> BenchmarkResult:
    """Write crystals for the conditions of a data set's crystals, and compare with these.

    Parameters
    ----------
    setting
        Data set, conditions, demonstrations, model and how texts are written. A crystal with
        the same formula and group as the one wanted is never shown.
    generator
        The language model, or what loads it; None loads the setting's.
    seed
        Seed of the rows, the demonstrations and the texts.
    folder
        Where each part is written as it is done, and read from by the next run of the
        same settings; None keeps everything in memory.
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
    BenchmarkResult
        Rates, candidates and times.

    Raises
    ------
    ValueError
        If no row can be read, a row lacks a property of the condition, or the pool cannot
        be opened; one line.
    """
    clock = Clock()
    predictors = setting.load_predictors()
    requests, crystals, failed = plan_run(
        setting, seed, pools=pools, progress=progress, clock=clock
    )
    parts = sample_all(
        requests,
        lru_cache(maxsize=1)(setting.model.load) if generator is None else generator,
        setting.writing(seed),
        processes=processes,
        progress=progress,
        folder=folder,
        predictors=predictors,
        batch_size=setting.model.batch_size,
    )
    return measure_run(
        setting,
        parts,
        crystals,
        failed,
        processes=processes,
        cache=cache,
        progress=progress,
        clock=clock,
    )


def plan_run(
    setting: BenchmarkSetting,
    seed: int,
    *,
    pools: OpenPool = open_pool,
    progress: StageProgress | None = None,
    clock: Clock | None = None,
) -> tuple[list[Request], list[Demonstration], list[tuple[str, str]]]:
    """Draw the crystals of a run and choose the demonstrations.

    Parameters
    ----------
    setting
        Data set, conditions and demonstrations.
    seed
        Seed of the rows and the demonstrations.
    pools
        Opens the pool.
    progress
        Called with (what, done, total).
    clock
        Takes the times of reading and retrieval.

    Returns
    -------
    tuple
        The conditions with their demonstrations; the crystals, none where there is no
        condition; id and reason of the rows that cannot be read.

    Raises
    ------
    ValueError
        If the data set, the pool or a property of the condition is not there; one line.
    """
    if setting.kind == "unconditional":
        return plan_unconditional(setting.samples, seed=seed), [], []
    names = condition_names(setting.condition)
    crystals, failed = draw_crystals(
        setting.dataset, limit=setting.limit, seed=seed, progress=progress
    )
    if not crystals:
        raise ValueError(nothing_read(f"{setting.dataset}", failed))
    conditions = [condition_of(crystal, names) for crystal in crystals]
    clock = clock or Clock()
    clock.lap("read_dataset")
    pool = pools(setting.pool, setting.strategy) if setting.uses_pool else None
    retrievals = choose_demonstrations(
        conditions,
        pool,
        shots=setting.shots,
        strategy=setting.strategy,
        seed=seed,
        templates=setting.templates,
        groups=setting.groups_offered,
    )
    truths = [crystal.structure for crystal in crystals]
    in_pool = None if pool is None else [_in_pool(crystal, pool) for crystal in crystals]
    requests = plan_requests(retrievals, truths, samples=setting.samples, in_pool=in_pool)
    clock.lap("retrieve")
    return requests, crystals, failed


def _in_pool(crystal: Demonstration, pool: DemonstrationIndex) -> bool:
    """Whether a pool holds a crystal of the formula and group of a true one."""
    asked = condition_of(crystal, ("formula", "space_group"))
    return len(excluded(pool, asked, ())) > 0


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
    """Evaluate all parts of a run together.

    Parameters
    ----------
    setting
        Says what is computed, and which sets the crystals are compared with.
    parts
        The run's parts.
    crystals
        The true crystals of the conditions, in order; none without conditions.
    failed
        Id and reason of the rows that could not be read.
    processes
        Processes for comparisons.
    cache
        Where fingerprints are kept.
    progress
        Called with (what, done, total).
    clock
        Times so far.
    """
    from crystalicl_jobflow.comparison.matching import MatchResult
    from crystalicl_jobflow.evaluation import evaluate_all

    reference = cached_data_set(setting.dataset) if setting.kind == "unconditional" else None
    known = None if setting.known is None else cached_data_set(setting.known)
    clock = clock or Clock()
    for part in parts:
        for name, seconds in part.seconds.items():
            clock.seconds[name] = clock.seconds.get(name, 0.0) + seconds
    clock.skip()
    candidates = [candidate for part in parts for candidate in part.candidates]
    comparisons = [item for part in parts for item in part.comparisons]
    truths: dict[Any, Structure] = {
        place: crystal.structure
        for place, crystal in enumerate(crystals)
        if crystal.structure is not None
    }
    evaluation = evaluate_all(
        candidates,
        setting.evaluation(processes=processes, cache=cache),
        truths=truths or None,
        matches=[
            None if item is None else MatchResult(**item.model_dump()) for item in comparisons
        ],
        reference=reference,
        known=known,
        progress=progress,
    )
    clock.lap("evaluate")
    impossible = {place: why for part in parts for place, why in part.impossible.items()}
    result = BenchmarkResult(
        evaluation=evaluation,
        candidates=candidates,
        material_ids=[crystal.demonstration_id for crystal in crystals],
        failed=list(failed),
        impossible=[(crystals[place].demonstration_id, why) for place, why in impossible.items()],
        seconds={name: round(seconds, 3) for name, seconds in clock.seconds.items()},
        parts=list(parts),
        truths=truths,
    )
    _add_energies(setting, result, reference)
    return result


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
        [item.structure for item in valid if item.structure is not None],
        reference.structures,
        generated_properties={name: [item.properties.get(name) for item in valid]},
        reference_properties={name: of_reference},
    )
    evaluation.metrics[f"wasserstein:{name}"] = distances[name].distance


@lru_cache(maxsize=4)
def cached_data_set(spec: str) -> CrystalData:
    """Return a data set, read once in a process."""
    from crystalicl_jobflow.datasets.crystal_data import read_data_set

    return read_data_set(spec)
