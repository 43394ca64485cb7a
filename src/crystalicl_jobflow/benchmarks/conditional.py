"""Conditional generation and structure prediction measured on a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.benchmarks.conditions import (
    condition_names,
    condition_of,
    draw_crystals,
)
from crystalicl_jobflow.benchmarks.results import BenchmarkResult
from crystalicl_jobflow.benchmarks.run_folder import RunFolder
from crystalicl_jobflow.benchmarks.sample_texts import Asked, Writing, ask, sample_all
from crystalicl_jobflow.evaluation.options import EvaluationOptions
from crystalicl_jobflow.schemas import Demonstration, SamplingParams, Strategy
from crystalicl_jobflow.schemas.benchmark import SamplePart
from crystalicl_jobflow.utils.progress import Clock, StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.energies import PropertyPredictor
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions
    from crystalicl_jobflow.retrieval import DemonstrationIndex


def conditional_benchmark(
    dataset: str | Path,
    *,
    generator: TextGenerator | Callable[[], TextGenerator],
    condition: str | Sequence[str] = ("formula", "space_group"),
    pool: DemonstrationIndex | None = None,
    shots: int = 0,
    strategy: Strategy = "C",
    samples: int = 1,
    limit: int | None = None,
    seed: int = 0,
    sampling: SamplingParams | None = None,
    text_format: str = "sgs",
    template: str = "crystalicl",
    constrain: bool | ConstraintOptions = True,
    processes: int = 1,
    progress: StageProgress | None = None,
    folder: RunFolder | None = None,
    predictors: Sequence[PropertyPredictor] = (),
    evaluation: EvaluationOptions | None = None,
    reference: CrystalData | None = None,
    known: CrystalData | None = None,
) -> BenchmarkResult:
    """Ask for the crystals of a data set by their conditions, and compare.

    Parameters
    ----------
    dataset
        A CSV with CIFs, or any other source of crystals; the true structures.
    generator
        The language model, or what loads it.
    condition
        What is asked for, see :func:`condition_names`.
    pool
        The demonstrations; needed with shots. A crystal with the same formula and group
        as the one asked for is never shown.
    shots, strategy
        Demonstrations in each prompt, and how they are chosen.
    samples
        Texts per condition.
    limit
        Rows asked for, drawn with the seed; None for all, in a drawn order.
    seed
        Seed of the rows, the demonstrations and, without ``sampling``, the texts.
    sampling
        Temperature, nucleus, limits and seed of the texts.
    text_format
        Text that the model is asked for.
    template
        Words of the prompts.
    constrain
        Whether texts are held to their condition as they are written, and how.
    processes
        Processes for checks and comparisons.
    progress
        Called with (what, done, total).
    folder
        Where each part is written as it is done, and read from by the next run of the
        same settings; None keeps everything in memory.
    predictors
        Predict the properties that are asked for, see
        :func:`~crystalicl_jobflow.energies.load_predictor`; what nothing
        predicts is not judged.
    evaluation
        What is computed beside success and matches; how many crystals differ where None.
    reference, known
        Sets to compare with, see :func:`~crystalicl_jobflow.evaluation.evaluate_all`.

    Returns
    -------
    BenchmarkResult
        Rates, candidates and times.

    Raises
    ------
    ValueError
        If shots are asked for without a pool, no row can be read, or a row lacks what is
        asked; one line.
    """
    if shots and pool is None:
        raise ValueError(f"{shots} shots need a pool of demonstrations")
    report = progress or _silent
    clock = Clock()
    crystals, failed = draw_crystals(dataset, limit=limit, seed=seed, progress=report)
    asked = ask_for(
        crystals,
        condition,
        dataset=dataset,
        pool=pool,
        shots=shots,
        strategy=strategy,
        samples=samples,
        seed=seed,
        clock=clock,
    )
    parts = sample_all(
        asked,
        generator,
        Writing(
            sampling or SamplingParams(seed=seed),
            text_format=text_format,
            template=template,
            constrain=constrain,
        ),
        processes=processes,
        progress=report,
        folder=folder,
        predictors=predictors,
    )
    options = evaluation or EvaluationOptions(unique=True, processes=processes)
    return measure(
        parts,
        crystals,
        failed=failed,
        options=options,
        reference=reference,
        known=known,
        progress=report,
        clock=clock,
    )


def ask_for(
    crystals: Sequence[Demonstration],
    condition: str | Sequence[str],
    *,
    dataset: str | Path,
    pool: DemonstrationIndex | None,
    shots: int,
    strategy: Strategy,
    samples: int,
    seed: int,
    clock: Clock | None = None,
) -> list[Asked]:
    """Return the conditions that ask for known crystals, with their demonstrations.

    Parameters
    ----------
    crystals
        See :func:`draw_crystals`.
    condition, pool, shots, strategy, samples, seed
        See :func:`conditional_benchmark`.
    dataset
        Where the crystals come from, for messages.
    clock
        Is told when the retrieval begins and ends.

    Raises
    ------
    ValueError
        If there is no crystal, or one lacks what is asked; one line.
    """
    names = condition_names(condition)
    if not crystals:
        raise ValueError(f"{dataset} holds no crystal that can be read")
    conditions = [condition_of(crystal, names) for crystal in crystals]
    clock = clock or Clock()
    clock.lap("read_dataset")
    asked = ask(
        conditions,
        [crystal.structure for crystal in crystals],
        pool=pool,
        shots=shots,
        strategy=strategy,
        samples=samples,
        seed=seed,
    )
    clock.lap("retrieve")
    return asked


def measure(
    parts: Sequence[SamplePart],
    crystals: Sequence[Demonstration],
    *,
    options: EvaluationOptions,
    failed: Sequence[tuple[str, str]] = (),
    reference: CrystalData | None = None,
    known: CrystalData | None = None,
    progress: StageProgress | None = None,
    clock: Clock | None = None,
) -> BenchmarkResult:
    """Evaluate all parts of a run together.

    Parameters
    ----------
    parts
        The run's parts.
    crystals
        The crystals asked for, in order; none where nothing was asked for.
    options
        What is computed.
    failed
        Rows that could not be read.
    reference, known
        Sets to compare with, see :func:`~crystalicl_jobflow.evaluation.evaluate_all`.
    progress
        Called with (what, done, total).
    clock
        Times so far.
    """
    from crystalicl_jobflow.comparison.matching import MatchResult
    from crystalicl_jobflow.evaluation import evaluate_all

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
        options,
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
    return BenchmarkResult(
        evaluation=evaluation,
        candidates=candidates,
        material_ids=[crystal.demonstration_id for crystal in crystals],
        failed=list(failed),
        impossible=[(crystals[place].demonstration_id, why) for place, why in impossible.items()],
        seconds={name: round(seconds, 3) for name, seconds in clock.seconds.items()},
        parts=list(parts),
    )


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """Report nothing."""
