"""Send a generation to FireWorks: the model's job to workers of category 'gpu'.

    python flows/submit_fireworks.py --formula CaTiO3 --category gpu --submit

Without --submit the workflow is built and described only. Start a worker for each
category: `rlaunch -w gpu_worker.yaml rapidfire` with `category: gpu` in the file. The job
store is the one of jobflow.yaml (JOBFLOW_CONFIG_FILE).
"""

from __future__ import annotations

import sys

from _options import flow_maker, generation_parser, read_conditions


def main() -> int:
    """Build the workflow, route its jobs, add it to the launch pad if asked to."""
    parser = generation_parser(__doc__.splitlines()[0])
    parser.add_argument("--category", default="gpu", help="category of the model's jobs")
    parser.add_argument("--launchpad", default=None, help="my_launchpad.yaml")
    parser.add_argument("--submit", action="store_true", help="really submit")
    options = parser.parse_args()
    try:
        from fireworks import LaunchPad
        from jobflow.managers.fireworks import flow_to_workflow
    except ImportError:
        parser.error("FireWorks is missing: pip install 'crystalicl-jobflow[fireworks]'")

    flow = flow_maker(parser, options).make(read_conditions(parser, options))
    # Dynamic: the shards of a divided generation, named 'generate 1/4', go there, too.
    flow.update_config(
        {"manager_config": {"_category": options.category}}, name_filter="generate", dynamic=True
    )
    workflow = flow_to_workflow(flow)
    for firework in workflow.fws:
        print(f"{firework.name}: category {firework.spec.get('_category', 'any')}")
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
