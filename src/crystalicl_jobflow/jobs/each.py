"""The job that hands crystals to any Maker, one each."""

from __future__ import annotations

from jobflow import Flow, JobConfig, Maker, Response, job
from pymatgen.core import Structure


# Without pass_manager_config=False every job would land on this job's worker.
@job(name="relax each", config=JobConfig(pass_manager_config=False))
def relax_each(structures: list[Structure], relax_maker: Maker) -> Response[list[object]]:
    """Give every crystal a job (or Flow) of its own.

    For relaxations of candidates :class:`~crystalicl_jobflow.jobs.RelaxMaker` is better: it
    reads their results.

    Parameters
    ----------
    structures
        Crystals, or a reference to them.
    relax_maker
        Any Maker whose ``make`` takes a structure, e.g. atomate2's ``DoubleRelaxMaker`` or
        ``BandStructureMaker``. Its own name and the crystal's place name the jobs, for a name
        filter to send them to their worker.

    Returns
    -------
    Response
        Replaces the job by the others; its output is the list of theirs, in order. What
        reads it should set ``on_missing_references`` to ``OnMissing.NONE``: then a job that
        failed is None there, and the others go on.
    """
    jobs = []
    for number, structure in enumerate(structures, start=1):
        made = relax_maker.make(structure)
        made.append_name(f" {number}/{len(structures)}")
        jobs.append(made)
    if not jobs:
        return Response(output=[])
    return Response(replace=Flow(jobs, output=[item.output for item in jobs], name="relax each"))
