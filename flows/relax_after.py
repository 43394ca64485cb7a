"""Generate crystals, then relax the valid ones with a force field or VASP (atomate2).

    python flows/relax_after.py --formula CaTiO3 --space-group 221 --run
    python flows/relax_after.py --formula CaTiO3 --relax vasp

A force field relaxes all crystals in one job, which loads it once. VASP gets one Flow of
jobs per crystal, made when the crystals are known. Without --run the Flow is built and
described only; with it, it runs in this process (VASP: where atomate2 finds it).
"""

from __future__ import annotations

import os
import sys

# Force fields on a few atoms are tens of times slower with several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore

from _options import flow_maker, generation_parser, read_conditions
from crystalicl_jobflow.jobs import relax_each


def main() -> int:
    """Build the Flow, run it if asked to."""
    parser = generation_parser(__doc__.splitlines()[0])
    parser.add_argument("--relax", choices=["forcefield", "vasp"], default="forcefield")
    parser.add_argument("--force-field", default="CHGNet", help="name as atomate2 knows it")
    parser.add_argument("--steps", type=int, default=500, help="relaxation steps, at most")
    parser.add_argument("--run", action="store_true", help="really run, in this process")
    options = parser.parse_args()
    try:
        from atomate2.forcefields.jobs import ForceFieldRelaxMaker
        from atomate2.vasp.flows.core import DoubleRelaxMaker
    except ImportError:
        parser.error("atomate2 is missing: pip install 'crystalicl-jobflow[forcefields]'")

    generation = flow_maker(parser, options).make(read_conditions(parser, options))
    validate = next(job for job in generation.jobs if job.name == "validate")
    structures = validate.output.valid_structures
    if options.relax == "forcefield":
        maker = ForceFieldRelaxMaker(force_field_name=options.force_field, steps=options.steps)
        relax = maker.make(structures)
    else:
        relax = relax_each(structures, DoubleRelaxMaker())
    flow = Flow([generation, relax], output=relax.output, name="generate and relax")
    for job in (*generation.jobs, relax):
        print(job.name)
    if not options.run:
        print("Not run; add --run.")
        return 0
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(flow, store=store, ensure_success=True, create_folders=True)
    relaxed = store.get_output(relax.uuid, load=True)
    for item in relaxed if isinstance(relaxed, list) else [relaxed]:
        energy = item["output"]["energy_per_atom"]
        converged = item.get("is_force_converged")
        print(f"{item['formula_pretty']}: {energy:.4f} eV/atom, forces converged: {converged}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
