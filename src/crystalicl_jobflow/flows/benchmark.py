"""Benchmarks as a Flow: planned where data can be read, written by many workers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import CURRENT_JOB, Flow, Job, JobConfig, Maker, OnMissing, Response, job
from jobflow.core.reference import OutputReference

from crystalicl_jobflow.benchmarks.conditional import measure_run, plan_run
from crystalicl_jobflow.benchmarks.run_folder import TEXTS_PER_PART, RunFolder
from crystalicl_jobflow.benchmarks.runs import add_run_energies, run_metrics
from crystalicl_jobflow.benchmarks.sample_texts import Request, sample_part
from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting, lasting_path
from crystalicl_jobflow.benchmarks.suites import Suite
from crystalicl_jobflow.benchmarks.tables import markdown, write_tables
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.schemas.base import BATCH, DATA, from_batches, without_marks
from crystalicl_jobflow.schemas.benchmark import PlanDoc, RunDoc, SamplePart, TablesDoc
from crystalicl_jobflow.settings import resume_folder
from crystalicl_jobflow.utils.numbers import whole_number

logger = logging.getLogger(__name__)


@dataclass
class BenchmarkFlowMaker(Maker):
    """All runs of a suite as jobs: plan, write, evaluate, and one table of them all.

    The job 'sample' of each run replaces itself by several that can go to different
    workers. A part whose job fails costs its own texts only, and a run that fails its row's
    mean only; the table says how many are missing.

    Parameters
    ----------
    name
        Name of the Flow.
    repeats, seed
        Runs of each row, and the seed of the first.
    shard_size
        Texts per job, draws of ``best_of`` included, at most; a condition is not divided.
    folder
        Folder that all workers share, where parts are written and found again by a Flow
        that is built anew; the files are those of ``crystalicl benchmark``. None keeps
        everything in the job store.
    processes
        Processes for checks and comparisons in each job.
    cache
        Path or store of fingerprints.

    Examples
    --------
    >>> from crystalicl_jobflow.flows import BenchmarkFlowMaker
    >>> from crystalicl_jobflow.benchmarks import BenchmarkSetting, conditional_suite
    >>> setting = BenchmarkSetting(dataset="mp_20_test.csv.gz", limit=1000)
    >>> suite = conditional_suite(setting, shots=(0, 3))
    >>> flow = BenchmarkFlowMaker(repeats=1).make(suite)
    >>> [job.name for job in flow.jobs]  # doctest: +NORMALIZE_WHITESPACE
    ['plan embedded (SGS) 0-shot, seed 0', 'sample embedded (SGS) 0-shot, seed 0',
     'plan embedded (SGS) 3-shot, seed 0', 'sample embedded (SGS) 3-shot, seed 0', 'tables']
    """

    name: str = "benchmark"
    repeats: int = 1
    seed: int = 0
    shard_size: int = TEXTS_PER_PART
    folder: str | None = None
    processes: int = 1
    cache: str | None = None

    def __post_init__(self) -> None:
        for option in ("repeats", "shard_size", "processes"):
            setattr(self, option, whole_number(getattr(self, option), option))

    def make(self, suite: Suite) -> Flow:
        """Build the Flow.

        Parameters
        ----------
        suite
            The rows, see e.g. :func:`conditional_suite`.

        Returns
        -------
        Flow
            Its output is a :class:`~crystalicl_jobflow.schemas.benchmark.TablesDoc`.
        """
        jobs: list[Job | Flow] = []
        runs: list[Any] = []
        for setting in suite.settings:
            for seed in range(self.seed, self.seed + self.repeats):
                run = {
                    "setting": _absolute(setting).model_dump(mode="json"),
                    "seed": seed,
                    "folder": self._run_folder(setting, seed),
                    "shard_size": self.shard_size,
                    "processes": self.processes,
                    "cache": self.cache,
                }
                plan = plan_benchmark(run)
                plan.update_metadata({"benchmark": suite.title, "row": setting.label})
                plan.name = f"plan {setting.label}, seed {seed}"
                sample = sample_benchmark(run, plan.output.num_parts, plan.uuid)
                sample.name = f"sample {setting.label}, seed {seed}"
                jobs += [plan, sample]
                runs.append(sample.output)
        place = None if self.folder is None else str(Path(self.folder).expanduser().absolute())
        jobs.append(make_tables(suite.document(), runs, self.repeats, place))
        return Flow(jobs, output=jobs[-1].output, name=self.name)

    def _run_folder(self, setting: BenchmarkSetting, seed: int) -> str | None:
        if self.folder is None:
            return None
        root = Path(self.folder).expanduser().absolute()
        return str(root / setting.slug / f"seed_{seed}")


@job(name="plan", output_schema=PlanDoc, data=DATA)
def plan_benchmark(run: dict[str, Any]) -> PlanDoc:
    """Draw the crystals of a run and choose the demonstrations.

    Parameters
    ----------
    run
        Setting, seed, folder and shard size.
    """
    setting = _setting(run)
    identity = setting.identity(run["seed"])
    folder = None if run["folder"] is None else RunFolder(Path(run["folder"]), identity)
    if folder is not None and folder.finished is not None:
        return PlanDoc(finished=folder.finished, identity=identity)
    requests, crystals, failed = plan_run(setting, run["seed"])
    texts = max(item.task.num_samples for item in requests) * setting.sampling.best_of
    size = max(1, int(run["shard_size"]) // texts)
    if folder is not None:
        size = folder.begin(size)
    parts = [requests[start : start + size] for start in range(0, len(requests), size)]
    return PlanDoc(
        parts=[{BATCH: [item.model_dump() for item in part]} for part in parts],
        num_parts=len(parts),
        num_texts=sum(item.task.num_samples for item in requests),
        crystals=crystals,
        failed=failed,
        identity=identity,
    )


# What replaces this job finds its own way: parts go where this job went, the evaluation
# does not need the GPU that they do.
@job(
    name="sample",
    output_schema=RunDoc,
    config=JobConfig(pass_manager_config=False),
)
def sample_benchmark(run: dict[str, Any], num_parts: int, plan: str) -> RunDoc | Response[Any]:
    """Replace this job by those that write the parts of a run, and one that evaluates them.

    Parameters
    ----------
    run
        Setting, seed, folder and shard size.
    num_parts
        Parts of the plan.
    plan
        Identifier of the job that made the plan.
    """
    if not num_parts:
        finished = RunFolder.begun(Path(run["folder"])).finished
        assert finished is not None
        return RunDoc.from_metrics(run["setting"]["label"], run["seed"], finished)
    this = CURRENT_JOB.job
    planned = OutputReference(plan)
    jobs = []
    for number in range(num_parts):
        part = write_part(run, number, planned.parts[number])
        part.name = f"{this.name} {number + 1}/{num_parts}"
        part.config.manager_config = dict(this.config.manager_config)
        jobs.append(part)
    gather = evaluate_benchmark(
        run, [part.output for part in jobs], planned.crystals, planned.failed, planned.identity
    )
    gather.name = this.name.replace("sample", "evaluate", 1)
    # the evaluation takes this job's place itself, see GenerateMaker
    gather.set_uuid(this.uuid)
    gather.index = this.index + 1
    gather.metadata = {**gather.metadata, **this.metadata}
    return Response(replace=Flow([*jobs, gather], name=this.name))


@job(name="part", output_schema=SamplePart, data=DATA)
def write_part(run: dict[str, Any], number: int, asked: Any) -> SamplePart:
    """Write, check and compare the texts of some conditions.

    Parameters
    ----------
    run
        Setting, seed and folder.
    number
        Number of the part, from 0.
    asked
        Its conditions with their demonstrations.
    """
    setting, folder = _setting(run), _folder(run)
    items = asked[BATCH] if isinstance(asked, Mapping) else asked
    conditions = [Request.model_validate(without_marks(item)) for item in items]

    def work() -> SamplePart:
        return sample_part(
            conditions,
            setting.model.load,
            setting.writing(run["seed"]),
            predictors=setting.load_predictors(),
            processes=run["processes"],
            unfinished=resume_folder(),
        )

    return work() if folder is None else folder.part(number, work)[0]


@job(
    name="evaluate",
    output_schema=RunDoc,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def evaluate_benchmark(
    run: dict[str, Any], parts: list[Any], crystals: Any, failed: Any, identity: Any
) -> RunDoc:
    """Evaluate all parts of a run together.

    Parameters
    ----------
    run
        Setting, seed and folder.
    parts
        Outputs of the jobs that wrote them; None for one that failed.
    crystals, failed, identity
        Of the plan.

    Raises
    ------
    RuntimeError
        If every part failed.
    """
    setting, folder = _setting(run), _folder(run)
    missing = [number for number, part in enumerate(parts, start=1) if part is None]
    present = [SamplePart.model_validate(without_marks(part)) for part in parts if part is not None]
    if not present:
        raise RuntimeError(f"all {len(parts)} parts failed; see the error of each")
    result = measure_run(
        setting,
        present,
        [
            Demonstration.model_validate(without_marks(item))
            for item in from_batches(crystals or [])
        ],
        [(str(name), str(reason)) for name, reason in failed or ()],
        processes=run["processes"],
        cache=run["cache"],
    )
    if setting.energies is not None:
        add_run_energies(setting, result)
    metrics = run_metrics(setting, result, without_marks(identity), processes=run["processes"])
    if missing:
        metrics["missing_parts"] = missing
    elif folder is not None:
        # an incomplete run stays open: the next Flow writes what is missing
        folder.finish(present, metrics, result.evaluation)
    return RunDoc.from_metrics(setting.label, run["seed"], metrics, missing=missing)


@job(
    name="tables",
    output_schema=TablesDoc,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def make_tables(
    suite: dict[str, Any], runs: list[Any], repeats: int, folder: str | None = None
) -> TablesDoc:
    """Put the runs of a suite into tables, beside the published ones.

    Parameters
    ----------
    suite
        See :meth:`Suite.document`.
    runs
        Outputs of the runs; None for one that failed.
    repeats
        Runs of each row.
    folder
        Where ``table.md`` and ``table.json`` are written.
    """
    known = [None if run is None else RunDoc.model_validate(without_marks(run)) for run in runs]
    tables = Suite.from_document(suite).make_tables(known, repeats=repeats)
    if folder is not None:
        write_tables(Path(folder), tables)
    return TablesDoc(tables=tables, markdown="\n".join(map(markdown, tables)))


def _setting(run: Mapping[str, Any]) -> BenchmarkSetting:
    return BenchmarkSetting.model_validate(without_marks(run["setting"]))


def _folder(run: Mapping[str, Any]) -> RunFolder | None:
    """Return the run's folder as the plan left it: the data set need not be here."""
    return None if run["folder"] is None else RunFolder.begun(Path(run["folder"]))


def _absolute(setting: BenchmarkSetting) -> BenchmarkSetting:
    """Return the setting with paths that mean the same in another folder and process."""
    changes = {name: lasting_path(getattr(setting, name)) for name in ("dataset", "pool", "known")}
    return setting.model_copy(update=changes)
