"""``crystalicl collect``: candidates from the outputs of jobs, one document each."""

from __future__ import annotations

import json

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import say


@click.command(
    epilog="\b\ncrystalicl collect stores/mongodb.yaml --store stores/mongodb.yaml\n"
    "crystalicl collect stores/json.yaml --store candidates.sqlite"
)
@click.argument("job_store", metavar="JOB_STORE.yaml", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--store",
    metavar="STORE",
    default="candidates.sqlite",
    show_default=True,
    help="Store of candidates.",
)
@click.option(
    "--query",
    metavar="JSON",
    help='Only jobs that meet this, in MongoDB\'s language, e.g. \'{"metadata.run": "first"}\'.',
)
@click.option("--rebuild", is_flag=True, help="Read jobs again that were read before.")
def collect(job_store: str, store: str, query: str | None, rebuild: bool) -> None:
    """Gather candidates from the outputs of jobs.

    JOB_STORE.yaml is a job store as jobflow.yaml has it, see the folder stores/. Generation,
    validation, relaxation and evaluation jobs add to one document per candidate; jobs that
    were read before are passed over.
    """
    criteria = None
    if query is not None:
        try:
            criteria = json.loads(query)
        except ValueError as error:
            raise UserError(f"--query is no JSON: {error}") from None
        if not isinstance(criteria, dict):
            raise UserError("--query is no JSON object")

    from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store
    from crystalicl_jobflow.stores import load_job_store

    jobs = load_job_store(job_store, read_only=True)
    target = open_candidate_store(store)
    before = target.count()
    builder = CandidateBuilder(jobs, target, query=criteria, rebuild=rebuild)
    builder.run()
    after = target.count()
    say(
        f"{builder.total or 0} jobs read; {after} candidates in {store}, {after - before} of them"
        " new"
    )
