r"""Send a generation, and relaxations after it, to the workers of FireWorks.

    python flows/submit_fireworks.py --formula CaTiO3 --generation gpu
    python flows/submit_fireworks.py --formula CaTiO3 --shards 4 --relax both --n-dft 3 \
        --generation gpu --vasp cluster --submit

A worker of FireWorks runs the jobs of the categories in its file (docs/workers.md):
`rlaunch -w gpu_worker.yaml rapidfire` with `category: gpu`; `category: __none__` takes those
without. Without --submit the workflow is built and described only. The job store is that of
jobflow.yaml (JOBFLOW_CONFIG_FILE).
"""

from __future__ import annotations

import sys

from _options import add_relaxation, add_workers, build_flow, chosen_workers, generation_parser
from crystalicl_jobflow.submission.workers import assign_workers


def main() -> int:
    """Build the workflow, assign its jobs, add it to the launch pad if asked to."""
    parser = generation_parser(__doc__.splitlines()[0])
    add_relaxation(parser)
    add_workers(parser, "category")
    parser.add_argument("--default", default=None, help="category of all other jobs; none")
    parser.add_argument("--launchpad", default=None, help="my_launchpad.yaml")
    parser.add_argument("--submit", action="store_true", help="really submit")
    options = parser.parse_args()
    try:
        from fireworks import LaunchPad
        from jobflow.managers.fireworks import flow_to_workflow
    except ImportError:
        parser.error("FireWorks is missing: pip install 'crystalicl-jobflow[fireworks]'")

    flow = build_flow(parser, options)
    try:
        assign_workers(flow, "fireworks", **chosen_workers(parser, options))
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    workflow = flow_to_workflow(flow)
    for firework in workflow.fws:
        print(f"{firework.name}: category {firework.spec.get('_category', 'none')}")
    if not options.submit:
        print("Not submitted; add --submit.")
        return 0
    launchpad = (
        LaunchPad.from_file(options.launchpad) if options.launchpad else LaunchPad.auto_load()
    )
    print(f"submitted as {launchpad.add_wf(workflow)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
