"""Run the whole chain in this process and show the candidates.

    python flows/local.py --formula CaTiO3 SrTiO3 --space-group 221 --samples 4

Without --jobstore the outputs live in memory; with one (see stores/) they stay.
"""

from __future__ import annotations

import sys

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from rich.console import Console
from rich.table import Table

from _options import flow_maker, generation_parser, read_conditions
from crystalicl_jobflow.candidates import open_candidate_store, store_candidates
from crystalicl_jobflow.schemas import Candidate, Evaluation
from crystalicl_jobflow.stores import load_job_store


def show(candidates: list[Candidate], evaluation: Evaluation) -> None:
    """Print one row per candidate, then the rates with their denominators."""
    table = Table("asked for", "crystal", "group", "atoms", "valid", "as asked", "reason", box=None)
    for item in candidates:
        table.add_row(
            item.condition.label(),
            item.formula_pretty or "-",
            item.space_group_symbol or "-",
            str(item.nsites_primitive or "-"),
            "yes" if item.valid else "no",
            {True: "yes", False: "no", None: "-"}[item.joint_success],
            str(item.failure_reason or ""),
        )
    console = Console()
    console.print(table)
    for name, rate in evaluation.rates.items():
        if rate.rate is not None:
            console.print(f"{name}: {rate.rate:.3f} ({rate.count} of {rate.of})", highlight=False)


def main() -> int:
    """Build the Flow, run it, print the table."""
    parser = generation_parser(__doc__.splitlines()[0])
    parser.add_argument("--jobstore", help="job store as a YAML file")
    parser.add_argument("--candidates", help="store that also receives the candidates")
    options = parser.parse_args()
    flow = flow_maker(parser, options).make(read_conditions(parser, options))
    try:
        store = (
            load_job_store(options.jobstore)
            if options.jobstore
            else JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        )
        candidates_store = open_candidate_store(options.candidates) if options.candidates else None
    except ValueError as error:
        parser.error(str(error))
    outputs = {job.name.partition(" ")[0]: job.output for job in flow.jobs}
    run_locally(flow, store=store, ensure_success=True)
    candidates = outputs["validate"].candidates.resolve(store)
    if candidates_store is not None:
        store_candidates(candidates, candidates_store)
    show(candidates, outputs["evaluate"].resolve(store))
    return 0


if __name__ == "__main__":
    sys.exit(main())
