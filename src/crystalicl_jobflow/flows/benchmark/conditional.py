"""Conditional generation and structure prediction measured on a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.flows.benchmark.asking import (
    StageProgress,
    condition_names,
    condition_of,
    draw_crystals,
)
from crystalicl_jobflow.flows.benchmark.parts import RunFolder, part_size
from crystalicl_jobflow.flows.benchmark.sampling import Asked, Writing, ask, sample_part
from crystalicl_jobflow.schemas import (
    Candidate,
    Evaluation,
    SamplingParams,
    Strategy,
)
from crystalicl_jobflow.schemas.benchmark import Comparison, SamplePart
from crystalicl_jobflow.settings import SETTINGS

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions
    from crystalicl_jobflow.retrieval import DemonstrationIndex


@dataclass
class BenchmarkResult:
    """What a benchmark measured.

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
        Wall time of each stage; of a resumed run, of all its parts.
    parts
        The run's parts, as they were written.
    """

    evaluation: Evaluation
    candidates: list[Candidate]
    material_ids: list[str]
    failed: list[tuple[str, str]] = field(default_factory=list)
    impossible: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    parts: list[SamplePart] = field(default_factory=list)

    @property
    def speed(self) -> dict[str, float | None]:
        """Tokens, draws and crystals per second of writing, loading not counted.

        ``tokens`` are those of the texts that were kept, ``tokens_drawn`` and ``draws`` all,
        also those of texts that were drawn again or were less probable.
        """
        seconds = self.seconds.get("generate", 0.0)
        known = [candidate.provenance for candidate in self.candidates]
        tokens = sum(item.num_tokens for item in known)
        tokens_drawn = sum(item.tokens_drawn or item.num_tokens for item in known)
        draws = sum(item.draws or item.attempts for item in known)
        crystals = sum(candidate.parsed for candidate in self.candidates)

        def per_second(count: int) -> float | None:
            return round(count / seconds, 3) if seconds else None

        return {
            "seconds": round(seconds, 3),
            "tokens": tokens,
            "tokens_drawn": tokens_drawn,
            "draws": draws,
            "tokens_per_second": per_second(tokens),
            "tokens_drawn_per_second": per_second(tokens_drawn),
            "draws_per_second": per_second(draws),
            "crystals_per_second": per_second(crystals),
        }


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
    folder: RunFolder | None = None,
    unique: bool = True,
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
    folder
        Where each part is written as it is done, and read from by the next run of the
        same settings; None keeps everything in memory.
    unique
        Whether to count different crystals, see
        :func:`~crystalicl_jobflow.evaluation.evaluate`.

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
    from crystalicl_jobflow.evaluation import MatchResult, evaluate

    if shots and pool is None:
        raise ValueError(f"{shots} shots need a pool of demonstrations")
    report = progress or (lambda _what, _done, _total: None)
    names = condition_names(condition)
    clock = _Clock()
    crystals, failed = draw_crystals(dataset, limit=limit, seed=seed, progress=report)
    if not crystals:
        raise ValueError(f"{dataset} holds no crystal that can be read")
    conditions = [condition_of(crystal, names) for crystal in crystals]
    truths = [crystal.structure for crystal in crystals]
    clock.lap("read_dataset")
    asked = ask(
        conditions,
        truths,
        pool=pool,
        shots=shots,
        strategy=strategy,
        samples=samples,
        seed=seed,
    )
    clock.lap("retrieve")
    parts = sample_all(
        asked,
        generator,
        Writing(sampling or SamplingParams(seed=seed), text_format, constrain),
        processes=processes,
        progress=report,
        folder=folder,
    )
    for part in parts:
        for name, seconds in part.seconds.items():
            clock.seconds[name] = clock.seconds.get(name, 0.0) + seconds
    clock.skip()
    candidates = [candidate for part in parts for candidate in part.candidates]
    comparisons = [item for part in parts for item in part.comparisons]
    references: dict[int, Structure] = {
        place: truth for place, truth in enumerate(truths) if truth is not None
    }
    evaluation = evaluate(
        candidates,
        references=references,
        matches=[
            None if item is None else MatchResult(**item.model_dump()) for item in comparisons
        ],
        unique=unique,
        processes=processes,
    )
    clock.lap("evaluate")
    impossible = {place: why for part in parts for place, why in part.impossible.items()}
    return BenchmarkResult(
        evaluation=evaluation,
        candidates=candidates,
        material_ids=[crystal.demonstration_id for crystal in crystals],
        failed=failed,
        impossible=[(crystals[place].demonstration_id, why) for place, why in impossible.items()],
        seconds={name: round(seconds, 3) for name, seconds in clock.seconds.items()},
        parts=parts,
    )


def sample_all(
    asked: Sequence[Asked],
    generator: TextGenerator | Callable[[], TextGenerator],
    writing: Writing,
    *,
    processes: int = 1,
    progress: StageProgress | None = None,
    folder: RunFolder | None = None,
) -> list[SamplePart]:
    """Do the work of :func:`sample_part` for all conditions, in parts where there is a folder.

    Parameters
    ----------
    asked
        The conditions.
    generator
        The language model, or what loads it; not loaded where every part is there.
    writing, processes, progress
        See :func:`sample_part`.
    folder
        Where parts are written and found again.
    """
    report = progress or (lambda _what, _done, _total: None)
    total = sum(item.task.num_samples for item in asked)
    load = lru_cache(maxsize=1)(generator) if callable(generator) else lambda: generator

    def work(items: Sequence[Asked], start: int) -> SamplePart:
        return sample_part(
            items,
            load,
            writing,
            processes=processes,
            progress=report,
            before=sum(item.task.num_samples for item in asked[:start]),
            total=total,
        )

    if folder is None:
        return [work(asked, 0)]
    per_condition = max((item.task.num_samples for item in asked), default=1)
    draws = per_condition * writing.sampling.best_of
    size = folder.begin(part_size(draws, batch_size=SETTINGS.BATCH_SIZE))
    found = 0

    def resumed(conditions: int) -> None:
        nonlocal found
        found += conditions
        report("Found", found * per_condition, total)

    return folder.run(asked, size, work, resumed=resumed)


def prediction_rates(
    candidates: Sequence[Candidate],
    comparisons: Sequence[Comparison | None],
    n: int,
) -> list[dict[str, Any]]:
    """Return match rate and RMS with 1, 2, … n samples of each condition.

    Parameters
    ----------
    candidates
        The samples, named by ``provenance.request_index`` and ``sample_index``.
    comparisons
        Each one beside the true crystal; those without one do not count.
    n
        Samples of a condition, at most.

    Returns
    -------
    list of dict
        For each number of samples k: ``n``; ``conditions``, those with a true crystal;
        ``matched``, those with a match among the first k samples; ``match_rate``;
        ``rms``, the mean over the matched ones of the lowest RMS. The same with the
        suffix ``_valid`` for samples that pass CDVAE's gate (distance, volume,
        composition), ``_reduced`` for matches that the matcher's reduction to primitive
        cells finds.
    """
    kinds: Mapping[str, Callable[[Candidate, Comparison], bool]] = {
        "": lambda _candidate, found: found.matched,
        "_valid": lambda candidate, found: (
            found.matched
            and bool(candidate.checks.structure_valid and candidate.checks.composition_valid)
        ),
        "_reduced": lambda _candidate, found: found.matched and found.reduced,
    }
    best: dict[str, list[dict[int, float]]] = {kind: [{} for _ in range(n)] for kind in kinds}
    conditions: set[int] = set()
    for candidate, found in zip(candidates, comparisons, strict=True):
        if found is None:
            continue
        place = candidate.provenance.request_index
        conditions.add(place)
        for kind, counts in kinds.items():
            if not counts(candidate, found) or found.rms is None:
                continue
            for lowest in best[kind][candidate.provenance.sample_index :]:
                lowest[place] = min(found.rms, lowest.get(place, found.rms))
    rows = []
    for k in range(n):
        row: dict[str, Any] = {"n": k + 1, "conditions": len(conditions)}
        for kind in kinds:
            lowest = best[kind][k]
            row[f"matched{kind}"] = len(lowest)
            row[f"match_rate{kind}"] = len(lowest) / len(conditions) if conditions else None
            row[f"rms{kind}"] = sum(lowest.values()) / len(lowest) if lowest else None
        rows.append(row)
    return rows


class _Clock:
    """Wall seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def skip(self) -> None:
        """Begin a lap here."""
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now
