"""Send a generation to the workers of jobflow-remote: the model's job to a GPU.

    python flows/submit_jobflow_remote.py --formula CaTiO3 --worker local --gpu-worker gpu --submit

Without --submit the Flow is built and described only. Retrieval runs on --worker, which
must reach the pool's store; the GPU worker gets the demonstrations with its job and needs
no database.
"""

from __future__ import annotations

import json
import sys

from _options import flow_maker, generation_parser, read_conditions


def main() -> int:
    """Build the Flow, route its jobs, submit it if asked to."""
    parser = generation_parser(__doc__.splitlines()[0])
    parser.add_argument("--project", default=None, help="jobflow-remote project")
    parser.add_argument("--worker", default=None, help="worker of all jobs but the model's")
    parser.add_argument("--gpu-worker", default=None, help="worker of the model's jobs")
    parser.add_argument("--gpu-resources", default=None, help="its resources, as JSON")
    parser.add_argument("--submit", action="store_true", help="really submit")
    options = parser.parse_args()
    try:
        from jobflow_remote import set_run_config, submit_flow
    except ImportError:
        parser.error("jobflow-remote is missing: pip install 'crystalicl-jobflow[remote]'")

    flow = flow_maker(parser, options).make(read_conditions(parser, options))
    # Dynamic: the shards of a divided generation, named 'generate 1/4', go there, too.
    set_run_config(
        flow,
        name_filter="generate",
        worker=options.gpu_worker,
        resources=json.loads(options.gpu_resources) if options.gpu_resources else None,
        dynamic=True,
    )
    for job in flow.jobs:
        print(f"{job.name}: worker {job.config.manager_config.get('worker', options.worker)}")
    if not options.submit:
        print("Not submitted; add --submit.")
        return 0
    for identifier in submit_flow(flow, worker=options.worker, project=options.project):
        print(f"submitted job {identifier}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
