"""``crystalicl submit``: a Flow that a YAML file describes, run here or handed to a manager."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.utils.files import write_text

if TYPE_CHECKING:
    from jobflow import JobStore

    from crystalicl_jobflow.schemas.flow_files import FlowFile, ManagerName
    from crystalicl_jobflow.submission import DescribedFlow

RESULT = "result.json"
"""What the Flow returns after a local run: rates, tables, a summary, a model card."""

EVALUATION = "evaluation"
"""Folder of a local run's evaluation, as ``crystalicl evaluate`` writes it."""


@click.command(
    epilog="\b\ncrystalicl submit flows/generate.yaml --dry-run\n"
    "crystalicl submit flows/generate.yaml --local --out run\n"
    "crystalicl submit flows/discover.yaml --project my-project\n"
    "crystalicl submit flows/discover.yaml --launchpad my_launchpad.yaml"
)
@click.argument("path", metavar="FLOW.yaml", type=click.Path(path_type=Path))
@click.option("--project", metavar="NAME", help="Submit to this project of jobflow-remote.")
@click.option(
    "--launchpad", metavar="FILE", help="Submit to FireWorks through this launch pad file."
)
@click.option("--local", is_flag=True, help="Run here, in this process.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("crystalicl-out"),
    show_default=True,
    help="Folder of a local run: outputs of the jobs, candidates.",
)
@click.option("--dry-run", is_flag=True, help="Show the jobs and their workers; submit nothing.")
def submit(
    path: Path, project: str | None, launchpad: str | None, local: bool, out: Path, dry_run: bool
) -> None:
    """Submit the Flow that a YAML file describes.

    The file names the Flow, what is asked for, the settings of its steps and the workers of
    its jobs. Without an option, the file's 'manager' says what runs it. Prints the ids of
    the jobs.
    """
    chosen = _chosen(project=project, launchpad=launchpad, local=local)

    from crystalicl_jobflow.submission import assign_described, load_flow_file

    described = load_flow_file(path)
    file = described.file
    manager = chosen or file.manager
    if manager is None:
        if not dry_run:
            raise UserError(
                "say what runs the Flow: --project NAME, --launchpad FILE, --local, or 'manager:'"
                f" in {path}"
            )
        manager = "jobflow-remote" if file.workers.default is not None else "local"
    if file.store is not None and manager != "local":
        raise described.text.error(
            ("store",), f"only a local run takes one; {manager} has a job store of its own"
        )
    assign_described(described, manager)
    if dry_run:
        _show(described, manager)
        if project is not None:
            from crystalicl_jobflow.submission.workers import check_workers

            check_workers(described.flow, project)
        click.echo(f"{len(described.jobs)} jobs for {manager}; nothing was submitted")
        return
    if manager == "local":
        _run(described, out)
        return

    from crystalicl_jobflow.submission import submit_fireworks, submit_jobflow_remote

    # stdout is for the ids; what the managers print (FireWorks logs there) is a remark
    with contextlib.redirect_stdout(sys.stderr):
        if manager == "jobflow-remote":
            ids = submit_jobflow_remote(described, project or file.project)
        else:
            ids = submit_fireworks(described, launchpad or file.launchpad)
    for number, job in zip(ids, described.jobs, strict=True):
        click.echo(f"{number}\t{job.name}")
    note(f"Submitted '{described.flow.name}' to {manager}: {len(ids)} jobs")


def _chosen(*, project: str | None, launchpad: str | None, local: bool) -> ManagerName | None:
    given: dict[str, ManagerName] = {}
    if project is not None:
        given["--project"] = "jobflow-remote"
    if launchpad is not None:
        given["--launchpad"] = "fireworks"
    if local:
        given["--local"] = "local"
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other")
    return next(iter(given.values()), None)


def _show(described: DescribedFlow, manager: ManagerName) -> None:
    from crystalicl_jobflow.submission import job_rows
    from crystalicl_jobflow.utils.redaction import redact

    rows = job_rows(described, manager)
    shown = table("Job", "Worker", "Resources")
    for row in rows:
        worker = "here" if manager == "local" else row["worker"] or "any"
        shown.add_row(row["job"], worker, redact(row["resources"] or "-"))
    stdout_console().print(shown)


def _run(described: DescribedFlow, out: Path) -> None:
    from monty.json import jsanitize

    from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store
    from crystalicl_jobflow.candidates.opening import CANDIDATES_STORE
    from crystalicl_jobflow.cli._candidates import CANDIDATES, shared_provenance, write_candidates
    from crystalicl_jobflow.cli._console import step_lines
    from crystalicl_jobflow.evaluation import write_evaluation
    from crystalicl_jobflow.stores import store_label
    from crystalicl_jobflow.submission import evaluation_of, run_here
    from crystalicl_jobflow.utils.files import write_json

    check_folder(out)
    store = _job_store(described, out)
    note(f"Running '{described.flow.name}'")
    seconds: dict[str, float] = {}
    # what libraries print (CHGNet does) is a remark here, too
    with step_lines(seconds), contextlib.redirect_stdout(sys.stderr):
        done = run_here(described, store, out / "jobs")
    candidates = open_candidate_store(str(out / CANDIDATES_STORE))
    CandidateBuilder(store, candidates).run()
    for job in described.jobs:
        click.echo(f"{job.uuid}\t{job.name}")
    found = candidates.count()
    if found:
        note(f"{found} candidates in {out / CANDIDATES_STORE}; see them with:")
        note(f"  crystalicl query {out}")
    note(f"Outputs of the jobs: {store_label(store.docs_store)}")
    if done["failed"]:
        raise click.ClickException(f"not done: {', '.join(done['failed'])}")
    if described.flow.output is not None:
        returned = described.flow.output.resolve(store)
        result = jsanitize(returned, strict=True, enum_values=True)
        write_json(out / RESULT, _without_batches(result))
        for step, count in getattr(returned, "count_rows", []):  # a discovery has them
            note(f"  {step}: {count}")
        note(f"What the Flow returns: {out / RESULT}")
    evaluated = evaluation_of(described, store)
    if evaluated is not None:
        evaluation, checked = evaluated
        write_evaluation(out / EVALUATION, evaluation, more=shared_provenance(checked))
        write_candidates(out / EVALUATION / CANDIDATES, checked)
        note(f"Rates and rows: {out / EVALUATION}; a page of them: crystalicl report {out}")


def _without_batches(value: Any) -> Any:
    """Return plain data with lists that are stored in batches as the lists that they are."""
    from crystalicl_jobflow.schemas.base import from_batches

    if isinstance(value, dict):
        return {name: _without_batches(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    return [_without_batches(item) for item in from_batches(value)]


def _job_store(described: DescribedFlow, out: Path) -> JobStore:
    """Return the job store that the file names, or two JSON files in the run's folder."""
    import yaml

    from crystalicl_jobflow.candidates.opening import JOB_STORE_FILE
    from crystalicl_jobflow.stores import load_job_store

    file: FlowFile = described.file
    if file.store is not None:
        try:
            return load_job_store(file.store)
        except ValueError as error:
            raise described.text.error(("store",), str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    folder = out.absolute()
    document = {
        "docs_store": {"type": "JSONStore", "paths": str(folder / "outputs.json")},
        "additional_stores": {
            "data": {"type": "JSONStore", "paths": str(folder / "outputs_data.json")}
        },
    }
    write_text(out / JOB_STORE_FILE, yaml.safe_dump(document, sort_keys=False))
    return load_job_store(document)
