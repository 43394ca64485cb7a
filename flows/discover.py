r"""Generate crystals, relax the new ones, and say how stable they are.

    python flows/discover.py --formula NaCl --samples 4 --run
    python flows/discover.py --formula CaTiO3 SrTiO3 --samples 50 --relax both --n-relax 20 \
        --n-dft 3 --known known.csv --candidates candidates.sqlite --run

A force field relaxes all crystals in one job, which loads it once; VASP gets a Flow for each.
Novelty and the convex hull are against --known. Without --run the Flow is built and described
only; with it, it runs in this process (VASP: where atomate2 finds it). For workers of
jobflow-remote and FireWorks see submit_jobflow_remote.py and submit_fireworks.py.
"""

from __future__ import annotations

import os
import sys

# Force fields on a few atoms are tens of times slower with several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from rich.console import Console
from rich.table import Column, Table

from _options import add_relaxation, build_flow, generation_parser
from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store
from crystalicl_jobflow.schemas.discovery import DiscoveryDoc
from crystalicl_jobflow.stores import load_job_store


def show(document: DiscoveryDoc) -> None:
    """Print what was found, best first, and how many were left after each step."""
    table = Table(
        Column("candidate", no_wrap=True), "crystal", "group", "above hull", "method", box=None
    )
    for item in document.found:
        above = item.energy_above_hull
        table.add_row(
            item.candidate_id,
            item.formula_pretty,
            str(item.structure.get_space_group_info(symprec=0.1)[1]),
            "not judged" if above is None else f"{above:+.3f} eV/atom",
            item.method,
        )
    console = Console()
    console.print(table)
    for step, count in document.count_rows:
        console.print(f"{step}: {count}", highlight=False)


def main() -> int:
    """Build the Flow, run it if asked to, print what it found."""
    parser = generation_parser(__doc__.splitlines()[0])
    add_relaxation(parser)
    parser.set_defaults(relax="forcefield")
    parser.add_argument("--jobstore", help="job store as a YAML file; in memory without")
    parser.add_argument("--candidates", help="store that receives the candidates' documents")
    parser.add_argument("--run", action="store_true", help="really run, in this process")
    options = parser.parse_args()
    flow = build_flow(parser, options)
    for job in flow.jobs:
        print(job.name)
    if not options.run:
        print("Not run; add --run.")
        return 0
    try:
        store = (
            load_job_store(options.jobstore)
            if options.jobstore
            else JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        )
        target = open_candidate_store(options.candidates) if options.candidates else None
    except ValueError as error:
        parser.error(str(error))
    # a relaxation that fails is no failure of the whole
    run_locally(flow, store=store, create_folders=True)
    if target is not None:
        CandidateBuilder(store, target).run()
    if options.relax != "no":
        show(flow.output.resolve(store))
    return 0


if __name__ == "__main__":
    sys.exit(main())
