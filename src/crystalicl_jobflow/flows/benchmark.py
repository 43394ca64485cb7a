"""Conditional generation measured on a data set: a plain function, no job."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.schemas import (
    PROPERTIES,
    Candidate,
    Condition,
    Demonstration,
    Evaluation,
    SamplingParams,
    Strategy,
    find_property,
)
from crystalicl_jobflow.settings import SETTINGS

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions
    from crystalicl_jobflow.retrieval import DemonstrationIndex

CONDITION_FIELDS = (
    "formula",
    "anonymous_formula",
    "chemsys",
    "elements",
    "space_group",
    "num_sites",
)
"""What a benchmark may ask of a crystal, beside its properties."""

StageProgress = Callable[[str, int, int | None], None]
"""Called with what is done, how much of it, and of how much, if known."""


@dataclass
class BenchmarkResult:
    """What a conditional benchmark measured.

    Parameters
    ----------
    evaluation
        Rates with their denominators, against the data set's true crystals.
    candidates
        One per condition and sample.
    material_ids
        The data set's rows that were asked for, in order.
    failed
        Id and reason of the drawn rows that could not be read.
    impossible
        Id and reason of the rows that no text can meet under the constraint; they were
        written freely.
    seconds
        Wall time of each part.
    """

    evaluation: Evaluation
    candidates: list[Candidate]
    material_ids: list[str]
    failed: list[tuple[str, str]] = field(default_factory=list)
    impossible: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def condition_names(names: str | Sequence[str]) -> list[str]:
    """Read the names of what is asked for, e.g. ``"formula,space_group"``.

    Raises
    ------
    ValueError
        If one is neither a field of a condition nor a known property; one line.
    """
    items = names.split(",") if isinstance(names, str) else list(names)
    read = []
    for item in (name.strip() for name in items):
        spec = find_property(item)
        if item not in CONDITION_FIELDS and spec is None:
            known = ", ".join((*CONDITION_FIELDS, *PROPERTIES))
            raise ValueError(f"a condition cannot ask for {item!r}; it can for {known}")
        read.append(item if spec is None else spec.name)
    return list(dict.fromkeys(read))


def condition_of(crystal: Demonstration, names: Sequence[str]) -> Condition:
    """Return the condition that asks for a known crystal.

    Parameters
    ----------
    crystal
        The known crystal.
    names
        What is asked for, see :func:`condition_names`.

    Raises
    ------
    ValueError
        If the crystal has no value for a property that is asked for.
    """
    fields: dict[str, Any] = {}
    properties: dict[str, float] = {}
    for name in names:
        if name in CONDITION_FIELDS:
            fields[name] = getattr(crystal, name)
        elif name in crystal.properties:
            properties[name] = crystal.properties[name]
        else:
            raise ValueError(f"{crystal.demonstration_id} has no {name}")
    return Condition.build(**fields, properties=properties)


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
    constrain: bool | ConstraintOptions = True,
    processes: int = 1,
    progress: StageProgress | None = None,
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
    constrain
        Whether texts are held to their condition as they are written, and how.
    processes
        Processes for checks and comparisons.
    progress
        Called with (what, done, total).

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
    from crystalicl_jobflow.evaluation import build_candidates, evaluate
    from crystalicl_jobflow.generation.pipeline import generate_for_retrievals, plan_tasks
    from crystalicl_jobflow.retrieval import retrieve_many
    from crystalicl_jobflow.schemas import Retrieval

    if shots and pool is None:
        raise ValueError(f"{shots} shots need a pool of demonstrations")
    report = progress or (lambda _what, _done, _total: None)
    names = condition_names(condition)
    clock = _Clock()

    crystals, failed = draw_crystals(dataset, limit=limit, seed=seed, progress=report)
    if not crystals:
        raise ValueError(f"{dataset} holds no crystal that can be read")
    asked = [condition_of(crystal, names) for crystal in crystals]
    clock.lap("read_dataset")

    if shots and pool is not None:
        retrievals = retrieve_many(pool, asked, strategy=strategy, shots=shots, seed=seed)
    else:
        retrievals = [
            Retrieval(condition=item, strategy=strategy, shots=0, seed=seed) for item in asked
        ]
    clock.lap("retrieve")
    impossible = _impossible(asked, constrain, text_format)
    generations = []
    loaded = _once(generator)
    tasks = plan_tasks(asked, samples)
    done = 0
    for places, held in (
        ([place for place in range(len(asked)) if place not in impossible], constrain),
        (sorted(impossible), False),
    ):
        if not places:
            continue
        generations += generate_for_retrievals(
            [retrievals[place] for place in places],
            loaded,
            sampling=sampling or SamplingParams(seed=seed),
            text_format=text_format,
            constrain=held,
            tasks=[tasks[place] for place in places],
            progress=_after(report, done, samples * len(asked)),
        )
        done += samples * len(places)
    generations.sort(key=lambda item: item.completions[0].request_index)
    clock.lap("generate")
    candidates = build_candidates(
        generations,
        processes=processes,
        progress=lambda done, total: report("Check", done, total),
    )
    clock.lap("check")
    truths: dict[int, Structure] = {
        place: crystal.structure
        for place, crystal in enumerate(crystals)
        if crystal.structure is not None
    }
    evaluation = evaluate(
        candidates,
        references=truths,
        processes=processes,
        progress=lambda done, total: report("Match", done, total),
    )
    clock.lap("evaluate")
    return BenchmarkResult(
        evaluation=evaluation,
        candidates=candidates,
        material_ids=[crystal.demonstration_id for crystal in crystals],
        failed=failed,
        impossible=[(crystals[place].demonstration_id, why) for place, why in impossible.items()],
        seconds=clock.seconds,
    )


def _impossible(
    conditions: Sequence[Condition], constrain: bool | ConstraintOptions, text_format: str
) -> dict[int, str]:
    """Return the conditions that no text can meet under their constraint, and why."""
    from crystalicl_jobflow.generation.constraints import ImpossibleConditionError
    from crystalicl_jobflow.generation.pipeline import build_constraints

    found: dict[int, str] = {}
    for place, condition in enumerate(conditions):
        try:
            build_constraints([condition], constrain, text_format=text_format)
        except ImpossibleConditionError as error:
            found[place] = str(error)
    return found


def _after(report: StageProgress, before: int, total: int) -> Callable[[int, int], None]:
    """Return a progress callback of texts that are written after others."""
    return lambda done, _total: report("Generate", before + done, total)


def _once(generator: TextGenerator | Callable[[], TextGenerator]) -> Callable[[], TextGenerator]:
    """Return a function that loads the generator the first time, and keeps it."""
    return lru_cache(maxsize=1)(generator) if callable(generator) else lambda: generator


def draw_crystals(
    dataset: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> tuple[list[Demonstration], list[tuple[str, str]]]:
    """Draw crystals from a data set.

    Parameters
    ----------
    dataset
        Any source of crystals.
    limit
        Crystals wanted; None for all. Rows that cannot be read are passed over.
    seed
        Seed of the order.
    progress
        Called with (what, done, total).

    Returns
    -------
    tuple
        The crystals with their structures, in a drawn order; ids and reasons of the
        drawn rows that cannot be read.
    """
    from crystalicl_jobflow.evaluation import crystal_summary
    from crystalicl_jobflow.retrieval.records import make_demonstration
    from crystalicl_jobflow.retrieval.sources import open_source

    source = open_source(dataset)
    records = list(source.records())
    order = np.random.default_rng(seed).permutation(len(records))
    wanted = len(records) if limit is None else min(limit, len(records))
    crystals: list[Demonstration] = []
    failed: list[tuple[str, str]] = []
    for place in order:
        if len(crystals) == wanted:
            break
        record = records[place]
        document = make_demonstration(record, source=source.name, symprec=SETTINGS.SYMPREC)
        if isinstance(document, str):
            failed.append((record.record_id, document))
            continue
        crystal = Demonstration.model_validate(document)
        # the group is asked for as it will be judged, by the same program and tolerance
        if crystal.structure is not None:
            group = crystal_summary(crystal.structure, symprec=SETTINGS.SYMPREC).space_group
            crystal = crystal.model_copy(update={"space_group": group or crystal.space_group})
        crystals.append(crystal)
        if progress is not None:
            progress("Read", len(crystals), wanted)
    return crystals, failed


class _Clock:
    """Wall seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now
