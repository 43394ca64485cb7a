"""What a Maker given as ``relax_maker`` would calculate: found out by building its jobs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from jobflow import Flow, Job, Maker
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies.calculation_kinds import (
    DEFORMATION,
    MOLECULAR_DYNAMICS,
    OPTIMIZATION,
    STATIC,
    UNRECOGNIZED,
)

_NAMES = {
    "Static": STATIC, "SinglePoint": STATIC, "NonSCF": "NSCF", "BandStructure": "NSCF",
    "MD": MOLECULAR_DYNAMICS, "Integrate": MOLECULAR_DYNAMICS, "Neb": "NEB",
    "Phonon": "phonons", "Elastic": "elastic constants", "Eos": "an equation of state",
}  # fmt: skip
"""Part of the name of a class of atomate2 → what it calculates, for programs other than VASP."""


def check_relax_maker(maker: Maker) -> None:
    """Refuse a Maker whose result cannot be a relaxed crystal.

    Its jobs are built for a crystal of silicon and not run. A user's own Maker is accepted,
    and so is one that cannot be built for silicon.

    Parameters
    ----------
    maker
        Any Maker whose ``make`` takes a structure.

    Raises
    ------
    TypeError
        If the Maker has no ``make``, or its output is not that of one of its jobs; one line.
    ValueError
        If it ends with a calculation that is no structure optimisation: static, equation of
        state, phonons, elastic constants, molecular dynamics, fixed cell; one line.
    """
    name = type(maker).__name__
    if not hasattr(maker, "make"):
        raise TypeError(f"{name} is no Maker: it has no make()")
    settings = repr(maker)
    if settings in _accepted:
        return
    _check(maker, name)
    _accepted.add(settings)


_accepted: set[str] = set()
"""Makers, with their settings, that were accepted: workers build them again and again."""


def _check(maker: Maker, name: str) -> None:
    if _of_potential(maker) == OPTIMIZATION:
        return
    made = _trial(maker)
    if made is None:
        return
    last = output_job(made, name)
    kind = job_kind(last)
    if kind in (None, OPTIMIZATION) or (kind == STATIC and earlier_jobs(made, last)):
        return
    raise ValueError(
        f"{name} cannot relax a crystal: its result is '{last.name}' ({kind}); relax_maker needs"
        " a structure optimisation of positions and cell"
    )


def job_kind(made: Job) -> str | None:
    """Return what a job of atomate2 calculates, as emmet names it; None where that is unknown."""
    maker = made.maker
    if maker is None:
        module = str(getattr(made.function, "__module__", ""))
        return "no calculation" if module.startswith("atomate2.") else None
    kind = _of_potential(maker) or _of_vasp(maker)
    if kind is not None:
        return kind
    for base in type(maker).__mro__:
        if base.__module__.startswith("atomate2."):
            return next((kind for part, kind in _NAMES.items() if part in base.__name__), None)
    return None


def output_job(made: Job | Flow, name: str) -> Job:
    """Return the job whose output is that of the whole.

    Parameters
    ----------
    made
        What a Maker has made.
    name
        The Maker's, for the message.

    Raises
    ------
    TypeError
        If there is no such job; one line.
    """
    if isinstance(made, Job):
        return made
    uuid = getattr(made.output, "uuid", None)
    found = next((item for item in _jobs(made) if item.uuid == uuid), None)
    if found is None:
        raise TypeError(f"{name} is no relaxation: its output is not that of one of its jobs")
    return found


def earlier_jobs(made: Job | Flow, last: Job) -> list[Job]:
    """Return the jobs before a static calculation, of which one may be its relaxation."""
    if isinstance(made, Job) or job_kind(last) != STATIC:
        return []
    return [item for item in _jobs(made) if item is not last and job_kind(item) == OPTIMIZATION]


def _jobs(made: Job | Flow) -> Iterator[Job]:
    """Yield the jobs of a Flow, each after those that it needs."""
    if isinstance(made, Job):
        yield made
    else:
        for item, _ in made.iterflow():
            yield item


def _trial(maker: Maker) -> Job | Flow | None:
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = maker.make(silicon.get_primitive_structure())
    except Exception:  # a Maker that has no use for silicon may have one for others
        return None
    return made if isinstance(made, Job | Flow) else None


def _of_potential(maker: Any) -> str | None:
    """Return what a Maker of atomate2 for ASE or force fields calculates; None for others."""
    try:
        from atomate2.ase.jobs import AseMaker, AseRelaxMaker
    except ImportError:
        return None
    if not isinstance(maker, AseMaker):
        return None
    if not isinstance(maker, AseRelaxMaker):
        names = " ".join(base.__name__ for base in type(maker).__mro__)
        return MOLECULAR_DYNAMICS if "MDMaker" in names else STATIC
    if maker.steps <= 1:
        return STATIC
    if not maker.relax_cell:
        return UNRECOGNIZED if maker.relax_shape else DEFORMATION
    return OPTIMIZATION


def _of_vasp(maker: Any) -> str | None:
    """Return what a VASP Maker calculates, from the INCAR that it would write; None for others."""
    try:
        from atomate2.vasp.jobs.base import BaseVaspMaker
        from emmet.core.vasp.calc_types.utils import task_type
    except ImportError:
        return None
    if not isinstance(maker, BaseVaspMaker):
        return None
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inputs = maker.input_set_generator.get_input_set(
                silicon.get_primitive_structure(), potcar_spec=True
            )
        kpoints = {} if inputs.kpoints is None else inputs.kpoints.as_dict()
        return str(task_type({"incar": dict(inputs.incar), "kpoints": kpoints}).value)
    except Exception:  # a set that silicon does not suit
        return None
