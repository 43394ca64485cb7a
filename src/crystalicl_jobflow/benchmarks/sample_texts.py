"""The work of every benchmark: write texts for conditions, check them, compare them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pymatgen.core import Structure

from crystalicl_jobflow.benchmarks.run_folder import RunFolder, part_size
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.generation.tasks import GenerationTask, plan_tasks, split_tasks
from crystalicl_jobflow.generation.writing import Writing
from crystalicl_jobflow.schemas import (
    Candidate,
    Condition,
    Generation,
    Retrieval,
)
from crystalicl_jobflow.schemas.base import Crystal, Document
from crystalicl_jobflow.schemas.benchmark import Comparison, SamplePart
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.energies import PropertyPredictor
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

LoadGenerator = Callable[[], "TextGenerator"]


class Request(Document):
    """One condition of a benchmark, or some samples of one."""

    retrieval: Retrieval = Field(description="The condition, and what its prompt shows.")
    task: GenerationTask = Field(description="Its place, its random streams, its samples.")
    truth: Crystal | None = Field(None, description="The true crystal, where there is one.")
    in_pool: bool | None = Field(
        None, description="Whether the pool holds a crystal of its formula and group."
    )


def plan_requests(
    retrievals: Sequence[Retrieval],
    truths: Sequence[Structure | None],
    *,
    samples: int = 1,
    in_pool: Sequence[bool] | None = None,
) -> list[Request]:
    """Give every condition its random streams.

    Parameters
    ----------
    retrievals
        The conditions with their demonstrations.
    truths
        True crystals, one (or None) per condition.
    samples
        Texts per condition.
    in_pool
        Whether the pool holds a crystal of each true one's formula and group; None without a pool.
    """
    tasks = plan_tasks([item.condition for item in retrievals], samples)
    known = [None] * len(tasks) if in_pool is None else in_pool
    return [
        Request(retrieval=retrieval, task=task, truth=truth, in_pool=held)
        for retrieval, task, truth, held in zip(retrievals, tasks, truths, known, strict=True)
    ]


SAMPLES_PER_TASK = 64
"""Texts of one condition that stay together where there is only one, as without conditions."""


def plan_unconditional(samples: int, *, seed: int = 0) -> list[Request]:
    """Return the requests for crystals without any condition.

    Parameters
    ----------
    samples
        Texts in all.
    seed
        Seed of the run.
    """
    nothing = Condition()
    retrieval = Retrieval(condition=nothing, strategy="C", shots=0, seed=seed)
    tasks = split_tasks(plan_tasks([nothing], samples), SAMPLES_PER_TASK)
    return [Request(retrieval=retrieval, task=task) for part in tasks for task in part]


def sample_part(
    requests: Sequence[Request],
    generator: LoadGenerator,
    writing: Writing,
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
    predictors: Sequence[PropertyPredictor] = (),
    unfinished: Path | None = None,
) -> SamplePart:
    """Write the texts of some conditions, read and check them, compare with the truth.

    Parameters
    ----------
    requests
        The conditions.
    generator
        Loads the language model.
    writing
        How texts are written.
    processes
        Processes for checks and comparisons.
    progress
        Called with (what, texts done, texts of this part).
    predictors
        Give crystals the properties that the conditions name, to judge them by.
    unfinished
        Folder where texts are kept as soon as they are written, see
        :class:`~crystalicl_jobflow.generation.resuming.UnfinishedWork`; None keeps none.

    Returns
    -------
    SamplePart
        A condition that no text can meet is written without a constraint, and named.
    """
    from crystalicl_jobflow.energies import judge_properties
    from crystalicl_jobflow.validation.validate import build_candidates

    report = progress or (lambda _what, _done, _total: None)
    total = sum(item.task.num_samples for item in requests)
    impossible = _impossible(requests, writing)
    seconds: dict[str, float] = {}

    loaded = generator()  # not counted as writing
    clock = time.perf_counter()
    groups = _groups(requests, writing, set(impossible), unfinished)
    generations = _write(groups, loaded, writing, report)
    seconds["generate"] = time.perf_counter() - clock

    clock = time.perf_counter()
    candidates = build_candidates(
        generations,
        processes=processes,
        progress=lambda done, _of: report("Check", done, total),
    )
    seconds["check"] = time.perf_counter() - clock
    if predictors:
        clock = time.perf_counter()
        candidates = judge_properties(candidates, predictors)
        seconds["predict"] = time.perf_counter() - clock

    clock = time.perf_counter()
    truths = {item.task.index: item.truth for item in requests}
    comparisons = compare(
        candidates,
        [truths[candidate.provenance.request_index] for candidate in candidates],
        processes=processes,
    )
    seconds["match"] = time.perf_counter() - clock
    report("Match", len(candidates), total)
    part = SamplePart(
        candidates=candidates,
        comparisons=comparisons,
        impossible=impossible,
        with_template=[item.task.index for item in requests if _has_template(item.retrieval)],
        in_pool={item.task.index: item.in_pool for item in requests if item.in_pool is not None},
        seconds=seconds,
    )
    for group in groups:
        if group.unfinished is not None:
            group.unfinished.discard()
    return part


def _has_template(retrieval: Retrieval) -> bool:
    """Whether a crystal that was found has the structure's stoichiometry and group."""
    asked, groups = retrieval.condition.anonymized, retrieval.condition.space_groups
    return any(
        item.anonymous_formula == asked and (groups is None or item.space_group in groups)
        for item in (*retrieval.demonstrations, *retrieval.templates)
    )


def sample_all(
    requests: Sequence[Request],
    generator: TextGenerator | Callable[[], TextGenerator],
    writing: Writing,
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
    folder: RunFolder | None = None,
    predictors: Sequence[PropertyPredictor] = (),
    batch_size: int | None = None,
) -> list[SamplePart]:
    """Do the work of :func:`sample_part` for all conditions, in parts where there is a folder.

    Parameters
    ----------
    asked
        The conditions.
    generator
        The language model, or what loads it; not loaded where every part is there.
    writing, processes, progress, predictors
        See :func:`sample_part`.
    folder
        Where parts are written and found again.
    batch_size
        Texts that the model writes at once; parts are many batches.
    """
    report = progress or (lambda _what, _done, _total: None)
    total = sum(item.task.num_samples for item in requests)
    load = lru_cache(maxsize=1)(generator) if callable(generator) else lambda: generator

    def work(items: Sequence[Request], start: int) -> SamplePart:
        return sample_part(
            items,
            load,
            writing,
            processes=processes,
            progress=_after(report, sum(item.task.num_samples for item in requests[:start]), total),
            predictors=predictors,
        )

    if folder is None:
        return [work(requests, 0)]
    per_condition = max((item.task.num_samples for item in requests), default=1)
    draws = per_condition * writing.sampling.best_of
    size = folder.begin(part_size(draws, batch_size=batch_size or SETTINGS.BATCH_SIZE))
    found = 0

    def resumed(conditions: int) -> None:
        nonlocal found
        found += conditions
        report("Found", found * per_condition, total)

    return folder.run(requests, size, work, resumed=resumed)


def compare(
    candidates: Sequence[Candidate],
    truths: Sequence[Structure | None],
    *,
    processes: int = 1,
) -> list[Comparison | None]:
    """Compare candidates with the true crystals of their conditions.

    The same text for the same truth is compared once: at low temperatures many samples of
    a condition are equal.

    Parameters
    ----------
    candidates
        What was written.
    truths
        The true crystal of each candidate's condition; None where there is none.
    processes
        Processes that compare.

    Returns
    -------
    list of Comparison or None
        One per candidate; None where there is no truth. A text without a crystal matches nothing.
    """
    from crystalicl_jobflow.comparison.matching import match_many

    places: dict[tuple[int, str], list[int]] = {}
    comparisons: list[Comparison | None] = []
    for place, (candidate, truth) in enumerate(zip(candidates, truths, strict=True)):
        comparisons.append(None if truth is None else Comparison(matched=False))
        if truth is not None and candidate.structure is not None:
            key = (candidate.provenance.request_index, candidate.text)
            places.setdefault(key, []).append(place)
    pairs = []
    for members in places.values():
        prediction, truth = candidates[members[0]].structure, truths[members[0]]
        assert prediction is not None
        assert truth is not None
        pairs.append((prediction, truth))
    for members, result in zip(
        places.values(), match_many(pairs, processes=processes), strict=True
    ):
        found = Comparison(
            matched=result.matched,
            rms=result.rms,
            max_distance=result.max_distance,
            reduced=getattr(result, "reduced", False),
        )
        for place in members:
            comparisons[place] = found
    return comparisons


@dataclass(frozen=True)
class _Group:
    """Conditions whose texts are written in one call of the generator."""

    requests: list[Request]
    constrain: bool | ConstraintOptions
    unfinished: UnfinishedWork | None


def _groups(
    requests: Sequence[Request], writing: Writing, impossible: set[int], folder: Path | None
) -> list[_Group]:
    """Return the conditions to write under their constraint, and those that have none."""
    groups = (
        ([item for item in requests if item.task.index not in impossible], writing.constrain),
        ([item for item in requests if item.task.index in impossible], False),
    )
    return [
        _Group(items, constrain, None if folder is None else UnfinishedWork(folder))
        for items, constrain in groups
        if items
    ]


def _write(
    groups: Sequence[_Group], generator: TextGenerator, writing: Writing, report: StageProgress
) -> list[Generation]:
    """Write the texts, in the order of the conditions."""
    from crystalicl_jobflow.generation.generate import generate_for_retrievals

    total = sum(item.task.num_samples for group in groups for item in group.requests)
    generations: list[Generation] = []
    done = 0
    for group in groups:
        shifted = _after(report, done, total)
        generations += generate_for_retrievals(
            [item.retrieval for item in group.requests],
            generator,
            sampling=writing.sampling,
            text_format=writing.text_format,
            template=writing.template,
            constrain=group.constrain,
            groups=writing.groups,
            tasks=[item.task for item in group.requests],
            progress=partial(shifted, "Generate"),
            unfinished=group.unfinished,
        )
        done += sum(item.task.num_samples for item in group.requests)
    return sorted(
        generations,
        key=lambda item: (item.completions[0].request_index, item.completions[0].sample_index),
    )


def _after(report: StageProgress, before: int, total: int) -> StageProgress:
    """Return the progress of texts that come after others, of all texts."""
    return lambda what, done, _of: report(what, before + done, total)


def _impossible(requests: Sequence[Request], writing: Writing) -> dict[int, str]:
    """Return the places of conditions that no text can meet under their constraint, and why."""
    from crystalicl_jobflow.generation.constraints import ImpossibleConditionError
    from crystalicl_jobflow.generation.generate import build_constraints

    found: dict[int, str] = {}
    for item in requests:
        try:
            build_constraints(
                [item.retrieval.condition], writing.constrain, text_format=writing.text_format
            )
        except ImpossibleConditionError as error:
            found[item.task.index] = str(error)
    return found
