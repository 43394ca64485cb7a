r"""Send a generation, and relaxations after it, to the workers of jobflow-remote.

    python flows/submit_jobflow_remote.py --formula CaTiO3 --default login --generation gpu
    python flows/submit_jobflow_remote.py --formula CaTiO3 --shards 4 --relax both --n-dft 3 \
        --default login --generation gpu --forcefield cpu --vasp cluster \
        --resources '{"generation": {"gres": "gpu:1"}, "vasp": {"nodes": 2}}' --submit

Workers are those of the project's file (docs/workers.md). Without --submit the Flow is built
and described only. Retrieval runs where the pool's store can be reached; the GPU worker gets
the demonstrations with its job and needs no database.
"""

from __future__ import annotations

import sys

from _options import add_relaxation, add_workers, build_flow, chosen_workers, generation_parser
from crystalicl_jobflow.submission.workers import assign_workers, check_workers, worker_of


def main() -> int:
    """Build the Flow, assign its jobs, submit it if asked to."""
    parser = generation_parser(__doc__.splitlines()[0])
    add_relaxation(parser)
    add_workers(parser, "worker")
    parser.add_argument("--default", required=True, help="worker of all other jobs")
    parser.add_argument("--project", default=None, help="jobflow-remote project")
    parser.add_argument("--submit", action="store_true", help="really submit")
    options = parser.parse_args()
    try:
        from jobflow_remote import submit_flow
    except ImportError:
        parser.error("jobflow-remote is missing: pip install 'crystalicl-jobflow[remote]'")

    flow = build_flow(parser, options)
    try:
        assign_workers(flow, "jobflow_remote", **chosen_workers(parser, options))
        if options.submit:
            check_workers(flow, options.project)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    for job in flow.jobs:
        print(f"{job.name}: worker {worker_of(job)}")
    if not options.submit:
        print("Not submitted; add --submit.")
        return 0
    for identifier in submit_flow(flow, worker=options.default, project=options.project):
        print(f"submitted job {identifier}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
