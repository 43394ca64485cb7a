"""The jobs behind a RelaxMaker: one that relaxes, and one that reads what others relaxed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from jobflow import Flow, JobConfig, Maker, OnMissing, Response, job
from monty.json import MSONable, jsanitize
from pymatgen.core import Structure

from crystalicl_jobflow.energies.energy_model import EnergyFailure
from crystalicl_jobflow.jobs._inputs import as_crystals, as_relaxations, log_progress
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.jobs._relax_process import RelaxProcess, failed_relaxation, relax_structure
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, RelaxDoc
from crystalicl_jobflow.settings import resume_folder
from crystalicl_jobflow.utils.journal import Journal
from crystalicl_jobflow.utils.torch_runtime import torch_threads
from crystalicl_jobflow.utils.versions import installed_versions

logger = logging.getLogger(__name__)

_PACKAGES = ("crystalicl-jobflow", "atomate2", "ase", "chgnet", "matgl", "mace-torch", "torch")
"""Packages whose versions decide what a force field finds."""

_RETRIED = {EnergyFailure.MODEL_FAILED.value, EnergyFailure.TIMED_OUT.value}
"""Failures that another launch of the job may not meet."""


@dataclass(frozen=True)
class HullSettings(MSONable):
    """How relaxed candidates are compared with known crystals.

    Parameters
    ----------
    energy_model, references, relax_known
        See :class:`~crystalicl_jobflow.jobs.RelaxMaker`.
    """

    energy_model: str | None = None
    references: str | None = None
    relax_known: bool = False


@crystal_job(output_schema=RelaxDoc, data=DATA)
def relax_together(
    relax_maker: Maker,
    candidate_ids: list[str],
    structures: list[Structure],
    num_threads: int | None = None,
    max_seconds: float | None = None,
) -> RelaxDoc:
    """Relax one crystal after the other in this job; one that fails is recorded as failed.

    Every relaxation is written down where ``CRYSTALICL_RESUME_DIR`` says as soon as it is
    done: the next launch of a job that was killed relaxes the others only.

    Parameters
    ----------
    relax_maker
        A Maker whose ``make`` is one job, such as ``ForceFieldRelaxMaker``.
    candidate_ids, structures
        The candidates and their crystals.
    num_threads
        Torch threads; None leaves torch's own choice.
    max_seconds
        Wall time of one relaxation, s; None for no limit.

    Returns
    -------
    RelaxDoc
        One relaxation per crystal, in order.
    """
    report = log_progress(logger, "relax")
    journal = _journal(relax_maker, candidate_ids, structures)
    found = {} if journal is None else _finished(journal)
    if found:
        logger.info(
            "relax: continues a launch that was killed: %d of %d crystals are relaxed",
            len(found),
            len(structures),
        )
    num_resumed = len(found)
    with ExitStack() as stack:
        relax: Callable[[str, Structure], CandidateRelaxation]
        if max_seconds is None:
            stack.enter_context(torch_threads(num_threads))
            relax = partial(relax_structure, relax_maker)
        else:
            process = RelaxProcess(relax_maker, max_seconds=max_seconds, num_threads=num_threads)
            relax = stack.enter_context(process).relax
        for place, (name, structure) in enumerate(zip(candidate_ids, structures, strict=True)):
            if place not in found:
                found[place] = relax(name, structure)
                # what failed is tried again by the next launch
                if journal is not None and found[place].failure_reason not in _RETRIED:
                    # force fields leave numbers of numpy, which JSON does not know
                    done = jsanitize(found[place].model_dump(), strict=True, enum_values=True)
                    journal.write({"place": place, "relaxation": done})
            report(place + 1, len(structures))
    if journal is not None:
        journal.remove()
    return RelaxDoc.from_relaxations(
        [found[place] for place in range(len(structures))], num_resumed=num_resumed
    )


@crystal_job(
    output_schema=RelaxDoc,
    data=DATA,
    config=JobConfig(on_missing_references=OnMissing.NONE),
)
def gather_relaxations(
    outputs: list[Any],
    sources: list[dict[str, Any]],
    volumes: dict[str, float],
    refused: list[CandidateRelaxation],
    level: str,
    known: Any = None,
    hull: HullSettings | None = None,
) -> RelaxDoc:
    """Read relaxations, and put them against the convex hull.

    Parameters
    ----------
    outputs
        Outputs of the jobs; None for one that failed.
    sources
        For each of them the candidates' ``ids``, the job's ``uuid``, the name of its ``maker``,
        and the outputs of ``earlier`` jobs where it is a static calculation after them.
    volumes
        Candidate → volume per atom before, in Å³.
    refused
        Relaxations that were not tried, with the reason.
    level
        forcefield or dft, for relaxations without a result.
    known
        Crystals of the hull, or the name of their source.
    hull
        How they are compared with the candidates.

    Returns
    -------
    RelaxDoc
        One relaxation per candidate.
    """
    from crystalicl_jobflow.energies.relaxation_outputs import read_relaxation_chain
    from crystalicl_jobflow.energies.relaxations import hull_energies, judge_relaxation

    refused = as_relaxations(refused) or []
    found: list[CandidateRelaxation] = []
    for output, source in zip(outputs, sources, strict=True):
        if isinstance(output, RelaxDoc):
            found += [
                item.model_copy(update={"source_uuid": source["uuid"]})
                for item in output.relaxations
            ]
            continue
        ids = source["ids"]
        results = output if isinstance(output, list) else [output] * len(ids)
        if len(results) != len(ids):
            results = [None] * len(ids)
        for name, result in zip(ids, results, strict=True):
            try:
                read = read_relaxation_chain(
                    name,
                    [*(source.get("earlier") or ()), result],
                    failed_level=level,
                    source_uuid=source["uuid"],
                    maker=source.get("maker") or "",
                )
                found.append(judge_relaxation(read, volumes.get(name)))
            except Exception as error:  # one strange document must not cost all others
                found.append(
                    failed_relaxation(name, error, level=level, source_uuid=source["uuid"])
                )
    settings = hull or HullSettings()
    found, words = hull_energies(
        found,
        known=known if known is None or isinstance(known, str) else as_crystals(known),
        model=settings.energy_model,
        references=settings.references,
        relax_known=settings.relax_known,
        progress=log_progress(logger, "energies of the hull"),
    )
    tried = {item.candidate_id: item for item in found}
    tried |= {item.candidate_id: item for item in refused}
    order = [*volumes, *(item.candidate_id for item in refused)]
    return RelaxDoc.from_relaxations(
        [tried[name] for name in dict.fromkeys(order) if name in tried],
        hull=words,
        num_resumed=sum(item.num_resumed for item in outputs if isinstance(item, RelaxDoc)),
    )


def _journal(
    relax_maker: Maker, candidate_ids: list[str], structures: list[Structure]
) -> Journal | None:
    """Return where the relaxations of a job are written down."""
    folder = resume_folder()
    if folder is None:
        return None
    return Journal(
        folder,
        {
            "relax_maker": jsanitize(relax_maker, strict=True, enum_values=True),
            "candidate_ids": candidate_ids,
            "structures": [structure.as_dict() for structure in structures],
            "versions": installed_versions(_PACKAGES),
        },
    )


def _finished(journal: Journal) -> dict[int, CandidateRelaxation]:
    found = {}
    for entry in journal.read():
        try:
            relaxation = CandidateRelaxation.model_validate(entry["relaxation"])
            found[int(entry["place"])] = relaxation
        except (KeyError, TypeError, ValueError):
            continue  # cut off by a kill
    return found


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
        failed is None there, and the others continue.
    """
    jobs = []
    for number, structure in enumerate(structures, start=1):
        made = relax_maker.make(structure)
        made.append_name(f" {number}/{len(structures)}")
        jobs.append(made)
    if not jobs:
        return Response(output=[])
    return Response(replace=Flow(jobs, output=[item.output for item in jobs], name="relax each"))
