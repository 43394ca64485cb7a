"""Tree search beside random sampling, on the conditions that a model finds hardest."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.benchmarks.conditional import OpenPool, plan_run
from crystalicl_jobflow.benchmarks.sample_texts import Request, sample_all
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.energies.text_verdicts import TextJudge
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.pipeline import write_and_check
from crystalicl_jobflow.retrieval import open_pool
from crystalicl_jobflow.schemas import Candidate, TreeSearch
from crystalicl_jobflow.schemas.benchmark import SamplePart
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks.run_folder import RunFolder
    from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting
    from crystalicl_jobflow.energies import EnergyModel

PUBLISHED = {
    "with group": {"validity": 0.60, "minimum": 0.65, "mean": 0.65},
    "without group": {"validity": 0.95, "minimum": 0.85, "mean": 0.70},
}
"""CrystaLLM's table 4 (Antunes, Butler and Grau-Crespo, Nature Communications 2024): shares of
20 hard compositions that improve in 1,000 iterations of its search with ALIGNN's formation
energies, beside 1,000 random draws."""

LEAST_CHANGE = 1e-6
"""Energies that differ by less, in eV/atom, are the same."""


@dataclass(frozen=True)
class Texts:
    """What some texts of a condition are.

    Parameters
    ----------
    valid
        Share of the texts that are valid and meet the condition.
    minimum, mean
        Lowest and mean formation energy per atom of these (eV); None where none has one.
    """

    valid: float
    minimum: float | None
    mean: float | None

    @classmethod
    def gather(cls, valid: Sequence[bool], energies: Sequence[float | None]) -> Texts:
        """Return what texts are.

        Parameters
        ----------
        valid
            Whether each text is valid.
        energies
            Energies of the valid ones.
        """
        known = [energy for energy in energies if energy is not None]
        return cls(
            sum(valid) / len(valid),
            min(known, default=None),
            math.fsum(known) / len(known) if known else None,
        )


@dataclass(frozen=True)
class HardCondition:
    """One condition: drawn at random, and searched.

    Parameters
    ----------
    material_id, label
        The crystal of the data set, and what is asked of it.
    drawn, searched
        The texts.
    """

    material_id: str
    label: str
    drawn: Texts
    searched: Texts

    @property
    def improved(self) -> dict[str, bool]:
        """Whether the search did better: ``validity``, ``minimum`` and ``mean``."""
        return {
            "validity": self.searched.valid > self.drawn.valid,
            "minimum": _lower(self.searched.minimum, self.drawn.minimum),
            "mean": _lower(self.searched.mean, self.drawn.mean),
        }


def _lower(now: float | None, before: float | None) -> bool:
    if now is None:
        return False
    return before is None or now < before - LEAST_CHANGE


@dataclass(frozen=True)
class SearchBenchmark:
    """Search beside random sampling.

    Parameters
    ----------
    conditions
        The hard conditions, the hardest first.
    looked_at
        Conditions among which they were found.
    candidates
        All their texts: the drawn ones, then those of the search.
    seconds
        Wall time of the draws for all conditions and of the searches.
    """

    conditions: list[HardCondition]
    looked_at: int
    candidates: list[Candidate]
    seconds: dict[str, float]

    def shares(self) -> dict[str, float | None]:
        """Return the shares of the conditions that the search improves."""
        found = [item.improved for item in self.conditions]
        return {
            name: sum(item[name] for item in found) / len(found) if found else None
            for name in ("validity", "minimum", "mean")
        }

    def metrics(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "improved": self.shares(),
            "published": PUBLISHED,
            "looked_at": self.looked_at,
            "conditions": [{**asdict(item), "improved": item.improved} for item in self.conditions],
            "seconds": self.seconds,
        }


def search_benchmark(
    setting: BenchmarkSetting,
    search: TreeSearch,
    *,
    hard: int = 20,
    seed: int = 0,
    folder: RunFolder | None = None,
    pools: OpenPool = open_pool,
    model: EnergyModel | None = None,
    progress: StageProgress | None = None,
) -> SearchBenchmark:
    """Find the conditions with the lowest share of valid texts, and search for them.

    As CrystaLLM's, those without a single valid text are left out: a formula whose charges do
    not add up stays invalid whatever is written.

    Parameters
    ----------
    setting
        Data set, conditions, demonstrations and model; its ``samples`` are the random draws for
        each condition. Each text is one draw, for the search and at random.
    search
        Settings of the search, with the potential.
    hard
        Conditions searched for.
    seed
        Seed of the rows, the demonstrations and the texts.
    folder
        Where the run is written down as it goes on; None keeps everything in memory.
    pools
        Opens the pool.
    model
        A loaded potential instead of the named one.
    progress
        Called with (what, done, total).

    Raises
    ------
    ValueError
        If the search names no potential, no row can be read, or no condition is left; one line.
    """
    if model is None:
        if search.energy is None:
            raise ValueError("the benchmark of a search compares energies: name a potential")
        model = load_energy_model(search.energy)
    setting = setting.model_copy(
        update={"sampling": setting.sampling.model_copy(update={"max_redraws": 0})}
    )
    requests, crystals, _ = plan_run(setting, seed, pools=pools, progress=progress)
    # nothing is compared with the true crystals
    requests = [item.model_copy(update={"truth": None}) for item in requests]
    writing = setting.writing(seed)
    parts = sample_all(
        requests,
        setting.model.load,
        writing,
        progress=progress,
        folder=folder,
        batch_size=setting.model.batch_size,
    )
    drawn = _by_request([item for part in parts for item in part.candidates])
    chosen = hardest(drawn, hard)
    if not chosen:
        raise ValueError("no condition has a valid text: nothing can be compared")
    asked = [requests[place] for place in chosen]
    conditions = [item.retrieval.condition for item in asked]
    judge = TextJudge(conditions, search, text_format=setting.text_format, model=model)
    work = None if folder is None else UnfinishedWork(folder.folder)
    started = time.perf_counter()
    searched = _by_request(
        write_and_check(
            [item.retrieval for item in asked],
            setting.model.load,
            writing=replace(writing, search=search),
            progress=None if progress is None else partial(progress, "Search"),
            unfinished=work,
            judge=judge,
        )
    )
    seconds = {
        "draw": round(sum(sum(part.seconds.values()) for part in parts), 3),
        "search": round(time.perf_counter() - started, 3),
    }
    rows = []
    for number, (place, request) in enumerate(zip(chosen, asked, strict=True)):
        rows.append(
            HardCondition(
                crystals[place].demonstration_id,
                _label(request),
                texts_of(drawn[place], judge),
                texts_of(searched[number], judge),
            )
        )
        if progress is not None:
            progress("Energies", number + 1, len(chosen))
    candidates = [item for place in chosen for item in drawn[place]]
    candidates += [item for number in sorted(searched) for item in searched[number]]
    found = SearchBenchmark(rows, len(requests), candidates, seconds)
    if folder is not None:
        metrics = {**found.metrics(), **folder.settings}
        folder.finish([SamplePart(candidates=candidates)], metrics)
    if work is not None:
        work.discard()
    return found


def is_hit(candidate: Candidate) -> bool:
    """Return whether a text is valid and meets its condition."""
    return candidate.valid and candidate.joint_success is not False


def hardest(drawn: Mapping[int, Sequence[Candidate]], number: int) -> list[int]:
    """Return the places of the conditions with the lowest share of valid texts, but some.

    Parameters
    ----------
    drawn
        Texts by place of their condition.
    number
        Most conditions that are returned; equal ones in their order.
    """
    shares = {place: sum(map(is_hit, texts)) / len(texts) for place, texts in drawn.items()}
    return sorted((place for place in shares if shares[place]), key=lambda p: (shares[p], p))[
        :number
    ]


def texts_of(candidates: Sequence[Candidate], judge: TextJudge) -> Texts:
    """Return what the texts of one condition are.

    Parameters
    ----------
    candidates
        The texts.
    judge
        Knows energies.
    """
    hits = [is_hit(item) for item in candidates]
    structures = [
        item.structure
        for item, hit in zip(candidates, hits, strict=True)
        if hit and item.structure is not None
    ]
    return Texts.gather(hits, judge.energies(structures))


def _by_request(candidates: Sequence[Candidate]) -> dict[int, list[Candidate]]:
    found: dict[int, list[Candidate]] = {}
    for item in candidates:
        found.setdefault(item.provenance.request_index, []).append(item)
    return found


def _label(request: Request) -> str:
    return request.retrieval.condition.label()
