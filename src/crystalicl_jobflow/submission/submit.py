"""Hand a described Flow to what runs it, each job to its worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crystalicl_jobflow.submission.build import DescribedFlow
from crystalicl_jobflow.submission.workers import assign_workers, check_workers, worker_of
from crystalicl_jobflow.utils.messages import driver_line

if TYPE_CHECKING:
    from jobflow import JobStore
    from maggma.core import Store

    from crystalicl_jobflow.schemas import Candidate, Evaluation
    from crystalicl_jobflow.schemas.flow_files import ManagerName

_MANAGERS: dict[str, Literal["jobflow_remote", "fireworks"]] = {
    "jobflow-remote": "jobflow_remote",
    "fireworks": "fireworks",
}


def assign_described(described: DescribedFlow, manager: ManagerName) -> None:
    """Send the jobs of a Flow to the workers that its file names.

    Parameters
    ----------
    described
        The Flow; its jobs are changed.
    manager
        What will run it; a local run has no workers.

    Raises
    ------
    FlowFileError
        If the workers do not fit the manager, or a local run is to read a file that is not
        here; one line.
    """
    choices = described.file.workers
    if manager == "local":
        for place, name in described.files.elsewhere:
            raise described.text.error(place, f"{name} does not exist")
        return
    if not choices.model_fields_set:
        return
    try:
        assign_workers(described.flow, _MANAGERS[manager], **choices.arguments())
    except (ValueError, TypeError) as error:
        raise described.text.error(("workers",), " ".join(str(error).split())) from None


def job_rows(described: DescribedFlow, manager: ManagerName) -> list[dict[str, str | None]]:
    """Return one row for every job: its name, its worker, and what the queue is asked for.

    Parameters
    ----------
    described
        The Flow, after :func:`assign_described`.
    manager
        What will run it.

    Returns
    -------
    list of dict
        ``job``, ``worker`` (None: any, or the default one) and ``resources`` as text. After
        the jobs, a row for each step that is sent somewhere and whose jobs are made while
        others run; there ``job`` begins with '(later)'.
    """
    rows: list[dict[str, str | None]] = []
    for job in described.jobs:
        config = job.config.manager_config
        asked = config.get("resources") or config.get("_queueadapter")
        worker = None if manager == "local" else worker_of(job, _MANAGERS[manager])
        rows.append({"job": job.name, "worker": worker, "resources": _words(asked)})
    if manager == "local":
        return rows
    choices = described.file.workers
    later = {name: choices.steps()[name] for name in LATER_STEPS if name in choices.steps()}
    for name, choice in {**later, **choices.names}.items():
        worker = choice.worker or (choices.default.worker if choices.default else None)
        what = f"(later) {name}" if name in later else f"(later) *{name}*"
        rows.append({"job": what, "worker": worker, "resources": _words(choice.resources)})
    return rows


LATER_STEPS = ("generation", "forcefield", "vasp")
"""Steps with jobs that are made while others run: shards and relaxations."""


def submit_jobflow_remote(described: DescribedFlow, project: str | None = None) -> list[str]:
    """Submit a Flow to jobflow-remote.

    Parameters
    ----------
    described
        The Flow, after :func:`assign_described`.
    project
        Name of the project; None for the current one.

    Returns
    -------
    list of str
        The jobs' ids in the project, in their order.

    Raises
    ------
    ValueError
        If there is no such project, or it has no such worker; one line.
    ImportError
        If jobflow-remote is missing; one line.
    """
    check_workers(described.flow, project)
    from jobflow_remote import submit_flow
    from jobflow_remote.config import ConfigError

    default = described.file.workers.default
    worker = None if default is None else default.worker
    try:
        ids = submit_flow(described.flow, worker=worker, project=project)
    except ConfigError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return [str(number) for number in ids]


def submit_fireworks(described: DescribedFlow, launchpad: str | None = None) -> list[str]:
    """Add a Flow to a FireWorks launch pad.

    Parameters
    ----------
    described
        The Flow, after :func:`assign_described`.
    launchpad
        Launch pad file; None for the one that FireWorks finds by itself.

    Returns
    -------
    list of str
        The ids of the Fireworks, in the order of the jobs.

    Raises
    ------
    ValueError
        If the file does not exist or is no launch pad, or its server cannot be used; one
        line.
    ImportError
        If FireWorks is missing; one line.
    """
    try:
        from fireworks import LaunchPad
        from fireworks.utilities.fw_serializers import FWSerializationError
        from jobflow.managers.fireworks import flow_to_workflow
    except ImportError as error:
        raise ImportError(
            "FireWorks is missing: pip install 'crystalicl-jobflow[fireworks]'"
        ) from error
    from pymongo.errors import PyMongoError

    if launchpad is None:
        pad = LaunchPad.auto_load()
    else:
        path = Path(launchpad).expanduser()
        if not path.is_file():
            raise ValueError(f"launch pad {launchpad} does not exist")
        try:
            pad = LaunchPad.from_file(str(path))
        except (FWSerializationError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{launchpad} is no launch pad file: {error}") from None
    workflow = flow_to_workflow(described.flow)
    # ids are negative until the launch pad gives them
    temporary = {fw.tasks[0]["job"].uuid: fw.fw_id for fw in workflow.fws}
    try:
        given: Mapping[int, int] = pad.add_wf(workflow)
    except PyMongoError as error:
        place = launchpad or "that FireWorks finds"
        raise ValueError(f"the launch pad {place} cannot be used: {driver_line(error)}") from None
    return [str(given[temporary[job.uuid]]) for job in described.jobs]


def run_here(described: DescribedFlow, store: JobStore, folder: str | Path) -> dict[str, list[str]]:
    """Run a Flow in this process.

    Parameters
    ----------
    described
        The Flow.
    store
        Where the jobs' outputs go; needs the additional store ``data``.
    folder
        Where the jobs run, each in a folder of its own.

    Returns
    -------
    dict
        ``completed``: names of the jobs with an output, those made on the way included;
        ``failed``: names of the described jobs without one.

    Raises
    ------
    ValueError
        If the store cannot be connected; one line.
    """
    from jobflow import run_locally

    from crystalicl_jobflow.stores import connect_store

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    large: dict[str, Store] = store.additional_stores  # type: ignore[has-type]
    for part in (store.docs_store, *large.values()):
        connect_store(part)
    responses = run_locally(
        described.flow, store=store, log=False, root_dir=folder, create_folders=True
    )
    done = set(responses)
    found = store.query({"uuid": {"$in": sorted(done)}}, properties=["name", "uuid"])
    return {
        "completed": sorted({str(item["name"]) for item in found}),
        "failed": [job.name for job in described.jobs if job.uuid not in done],
    }


def evaluation_of(
    described: DescribedFlow, store: JobStore
) -> tuple[Evaluation, list[Candidate]] | None:
    """Return what the evaluation of a Flow that ran has found, and the candidates.

    Parameters
    ----------
    described
        The Flow.
    store
        Where the outputs of its jobs are.

    Returns
    -------
    tuple or None
        None where the Flow has not one job that validates and one that evaluates.
    """
    from crystalicl_jobflow.jobs import EvaluateMaker, ValidateMaker
    from crystalicl_jobflow.schemas import Evaluation
    from crystalicl_jobflow.schemas.candidate import ValidateDoc

    validate = [job for job in described.jobs if isinstance(job.maker, ValidateMaker)]
    evaluate = [job for job in described.jobs if isinstance(job.maker, EvaluateMaker)]
    if len(validate) != 1 or len(evaluate) != 1:
        return None
    checked, evaluation = (job.output.resolve(store) for job in (validate[0], evaluate[0]))
    if isinstance(checked, ValidateDoc) and isinstance(evaluation, Evaluation):
        return evaluation, checked.candidates
    return None


def _words(resources: Any) -> str | None:
    if not resources:
        return None
    if isinstance(resources, Mapping):
        return ", ".join(f"{name}={_plain(value)}" for name, value in resources.items())
    return str(resources)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
