"""Which worker runs which job, under jobflow-remote and FireWorks.

A Flow grows while it runs: a generation divides itself into shards, a selection into
relaxations. Left alone, the managers give such children the worker of the job that made them,
so that every relaxation would land on the GPU of the generation. :func:`assign_workers` instead
lets every job, whenever it is made, go by what it does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from typing import Any, Literal, TypedDict, Unpack

from jobflow import Flow, Job
from monty.json import MontyEncoder

from crystalicl_jobflow.utils.messages import first_line

Manager = Literal["jobflow_remote", "fireworks"]
"""What runs the jobs."""

Step = Literal["default", "retrieval", "generation", "training", "forcefield", "vasp"]
"""What a job does, as far as it matters for where it runs."""

STEPS: tuple[Step, ...] = ("default", "retrieval", "generation", "training", "forcefield", "vasp")

STEP_NAMES: dict[str, tuple[str, ...]] = {
    "forcefield": ("relax forcefield",),
    "vasp": ("relax dft",),
}
"""Step → parts of names: what `RelaxMaker` calls the jobs of Makers of any package."""


class StepWorkers(TypedDict, total=False):
    """Step → worker, for :func:`assign_workers`; a step without one goes to the default.

    The default may be missing with FireWorks: such jobs have no category, and workers
    without one run them.
    """

    default: str | None
    retrieval: str | None
    generation: str | None
    training: str | None
    forcefield: str | None
    vasp: str | None


_KEYS: dict[str, dict[str, str]] = {
    "jobflow_remote": {
        "worker": "worker",
        "resources": "resources",
        "exec_config": "exec_config",
        "priority": "priority",
    },
    "fireworks": {
        "worker": "_category",
        "resources": "_queueadapter",
        "priority": "_priority",
    },
}
"""Manager → what is set → its name in a job's ``manager_config``."""

# jobflow-remote takes what is missing in a child from its parent's document, and an empty
# configuration for missing.
_NO_EXEC_CONFIG: dict[str, Any] = {"export": {}}


def assign_workers(
    flow: Flow | Job,
    manager: Manager = "jobflow_remote",
    *,
    names: Mapping[str, str] | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    exec_config: Mapping[str, str | Mapping[str, Any]] | None = None,
    priority: Mapping[str, int] | None = None,
    **workers: Unpack[StepWorkers],
) -> Flow | Job:
    """Send jobs to workers by what they do, those that are made while the Flow runs too.

    A job's step follows from its function, whatever its name: ``retrieval`` is
    `RetrieveMaker` and `InstructionsMaker` (what reads pools), ``generation`` is
    `GenerateMaker` and the parts of a benchmark, ``training`` is `TrainMaker` and `GRPOMaker`,
    ``forcefield`` is every force field's Maker of atomate2, ``vasp`` every VASP Maker
    (those of other installed packages and those in the Flow, too), and both what
    `RelaxMaker` makes for that level. All others, the gathering of a divided
    generation and what fans out relaxations above all, go to ``default``.

    What was set on a job for another worker before is replaced; set what is special to a
    single job afterwards.

    Parameters
    ----------
    flow
        Flow or job, changed in place.
    manager
        'jobflow_remote': workers are those of the project, set as ``worker``. 'fireworks':
        workers are categories, set as ``_category``; a FireWorker runs the jobs of the
        categories in its file.
    names
        Part of a job's name → worker, for jobs that no step covers, and above all steps.
    resources
        Step (or part of a name that is in ``names``) → resources: ``resources`` of
        jobflow-remote, ``_queueadapter`` of FireWorks. A job of a step that is not here
        gets none, not those of the job that made it.
    exec_config
        The same → name of an execution configuration in the project, or its fields
        (``modules``, ``export``, ``pre_run``, ``post_run``); jobflow-remote only.
    priority
        The same → priority; greater goes first.
    **workers
        Worker of each step, see `StepWorkers`.

    Returns
    -------
    Flow or Job
        The same object.

    Raises
    ------
    ValueError
        If there is no such manager, if jobflow-remote gets no default worker (jobs made
        later would stay on the worker of the job that made them), if options are given for
        something that is neither a step nor in ``names``, or an execution configuration
        for FireWorks.
    ImportError
        If ``forcefield`` or ``vasp`` is given and atomate2 is missing.

    Examples
    --------
    >>> from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
    >>> from crystalicl_jobflow.submission.workers import assign_workers, worker_of
    >>> flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    >>> flow = assign_workers(
    ...     flow,
    ...     default="login",
    ...     generation="gpu",
    ...     resources={"generation": {"gres": "gpu:1", "time": "02:00:00"}},
    ... )
    >>> for job in flow.jobs[:2]:
    ...     print(job.name, "on", worker_of(job))
    retrieve CaTiO3 on login
    generate CaTiO3 ×1 on gpu
    """
    if manager not in _KEYS:
        raise ValueError(f"manager {manager!r} is not one of {', '.join(_KEYS)}")
    unknown = [step for step in workers if step not in STEPS]
    if unknown:
        raise TypeError(f"step {unknown[0]!r} is not one of {', '.join(STEPS)}")
    by_name = dict(names or {})
    default = workers.get("default")
    by_step: dict[str, str | None] = {step: workers.get(step) for step in STEPS[1:]}
    if manager == "jobflow_remote" and not default:
        raise ValueError(
            "jobflow-remote needs a default worker: jobs that are made while others run would"
            " stay on the worker of the job that made them"
        )
    options = _options(by_name, resources=resources, exec_config=exec_config, priority=priority)
    if manager == "fireworks" and exec_config:
        raise ValueError(
            "FireWorks has no exec_config; what a job needs around it goes into the worker's files"
        )

    def settings(step: str, worker: str | None) -> dict[str, Any]:
        return _settings(manager, worker or default, options.get(step, {}))

    _set_config(flow, settings("default", default))
    known = _known_modules(flow)
    for step, worker in by_step.items():
        if worker is None and step not in options:
            continue
        for function in step_functions(step):
            if not known(function.__module__):
                continue
            _set_config(flow, settings(step, worker), function_filter=function)
        for name in STEP_NAMES.get(step, ()):
            _set_config(flow, settings(step, worker), name_filter=name)
    for part, worker in by_name.items():
        _set_config(flow, settings(part, worker), name_filter=part)
    return flow


def worker_of(job: Job, manager: Manager = "jobflow_remote") -> str | None:
    """Return the worker a job is assigned to; None for none.

    Parameters
    ----------
    job
        A job.
    manager
        'jobflow_remote' or 'fireworks'.
    """
    worker: str | None = job.config.manager_config.get(_KEYS[manager]["worker"])
    return worker


def workers_of(flow: Flow | Job, manager: Manager = "jobflow_remote") -> list[str]:
    """Return the workers that jobs of a Flow are or may be assigned to, sorted.

    Parameters
    ----------
    flow
        A Flow or job after :func:`assign_workers`.
    manager
        'jobflow_remote' or 'fireworks'.
    """
    key = _KEYS[manager]["worker"]
    found = set()
    for job in _jobs(flow):
        found.add(worker_of(job, manager))
        for update in job.config_updates:
            if update["dict_mod"]:
                config = update["config"].get("_set", {})
                found.add(config.get("manager_config", {}).get(key))
                found.add(config.get(f"manager_config->{key}"))
    return sorted(worker for worker in found if worker)


def check_workers(flow: Flow | Job, project: str | None = None) -> None:
    """Raise unless a project of jobflow-remote has all workers that a Flow names.

    jobflow-remote itself looks at the default one only; a job for another that does not
    exist would fail when its turn comes.

    Parameters
    ----------
    flow
        A Flow or job after :func:`assign_workers`.
    project
        Name of the project; None for the current one.

    Raises
    ------
    ValueError
        If there is no such project or worker; one line.
    ImportError
        If jobflow-remote is missing; one line with what to install.
    """
    try:
        from jobflow_remote.config import ConfigError, ConfigManager
    except ImportError as error:
        raise ImportError(
            "jobflow-remote is missing: pip install 'crystalicl-jobflow[remote]'"
        ) from error
    try:
        found = ConfigManager().get_project(project)
    except ConfigError as error:
        raise ValueError(first_line(error)) from error
    missing = [worker for worker in workers_of(flow) if worker not in found.workers]
    if missing:
        raise ValueError(
            f"project {found.name} has no worker {', '.join(missing)};"
            f" it has {', '.join(found.workers) or 'none'}"
        )


def _jobs(flow: Flow | Job) -> list[Job]:
    return [flow] if isinstance(flow, Job) else [job for job, _ in flow.iterflow()]


def step_functions(step: str) -> list[Callable[..., Any]]:
    """Return the functions whose jobs belong to a step.

    For ``forcefield`` and ``vasp`` these are the ``make`` methods of atomate2's base Makers
    and of all their subclasses that are imported and have one of their own.

    Parameters
    ----------
    step
        'retrieval', 'generation', 'training', 'forcefield' or 'vasp'.

    Raises
    ------
    ValueError
        If there is no such step.
    ImportError
        If atomate2 is needed and missing; one line with what to install.
    """
    if step == "retrieval":
        from crystalicl_jobflow.jobs import InstructionsMaker, RetrieveMaker

        return [RetrieveMaker.make, InstructionsMaker.make]
    if step == "generation":
        from crystalicl_jobflow.flows.benchmark import sample_benchmark, write_part
        from crystalicl_jobflow.jobs import GenerateMaker

        return [GenerateMaker.make, sample_benchmark, write_part]
    if step == "training":
        from crystalicl_jobflow.jobs import GRPOMaker, TrainMaker

        return [TrainMaker.make, GRPOMaker.make]
    try:
        if step == "forcefield":
            from atomate2.ase.jobs import AseMaker
            from atomate2.forcefields import jobs, md  # noqa: F401

            from crystalicl_jobflow.jobs.relax import relax_together

            return [*_makes(AseMaker), relax_together]
        if step == "vasp":
            from atomate2.vasp.jobs import core, mvl  # noqa: F401
            from atomate2.vasp.jobs.base import BaseVaspMaker

            return list(_makes(BaseVaspMaker))
    except ImportError as error:
        raise ImportError(
            f"no {step} worker without atomate2: pip install 'crystalicl-jobflow[forcefields]'"
        ) from error
    raise ValueError(f"step {step!r} is not one of {', '.join(STEPS[1:])}")


def _makes(base: type) -> Iterator[Callable[..., Any]]:
    """Yield the different ``make`` methods of a Maker and its subclasses, each once."""
    classes: list[type[Any]] = [base]
    seen: set[Any] = set()
    for kind in classes:  # grows
        for below in kind.__subclasses__():
            if below not in classes:
                classes.append(below)
        make = kind.__dict__.get("make")
        # what cannot be imported by name is nothing that a job could be stored with
        if make is None or "<locals>" in kind.__qualname__ or make in seen:
            continue
        seen.add(make)
        yield make


def _known_modules(flow: Flow | Job) -> Callable[[str], bool]:
    """Return whether whoever can read a Flow can import a module.

    A Maker that was only tried in a notebook or script beside must not be named in the Flow:
    the server that stores it, and its workers, know no such module.
    """
    installed = {"atomate2", "crystalicl_jobflow", *packages_distributions()}
    mentioned = set(re.findall(r'"@module": "([^"]*)"', json.dumps(flow, cls=MontyEncoder)))
    return lambda module: module in mentioned or module.partition(".")[0] in installed


def _options(
    by_name: Mapping[str, str], **given: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return step or name → option → value."""
    options: dict[str, dict[str, Any]] = {}
    known: Sequence[str] = (*STEPS, *by_name)
    for option, values in given.items():
        for place, value in (values or {}).items():
            if place not in known:
                raise ValueError(f"{option} of {place!r}: it is not one of {', '.join(known)}")
            if isinstance(value, Mapping):
                value = dict(value)
            options.setdefault(place, {})[option] = value
    return options


def _settings(manager: str, worker: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's ``manager_config``."""
    settings = dict(options)
    if worker is not None:
        settings["worker"] = worker
    if manager == "jobflow_remote":
        # else a job gets those of the job that made it
        settings.setdefault("resources", {})
        settings["exec_config"] = settings.get("exec_config") or _NO_EXEC_CONFIG
    return {_KEYS[manager][option]: value for option, value in settings.items()}


def _set_config(flow: Flow | Job, settings: Mapping[str, Any], **filters: Any) -> None:
    """Set a job's ``manager_config``, now and in the jobs that are made by it."""
    change = {
        # without the second, the place of the job that makes others would replace theirs
        "_set": {"manager_config": dict(settings), "pass_manager_config": False}
    }
    flow.update_config(change, dict_mod=True, **filters)
