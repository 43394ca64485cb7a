"""Relaxation with any calculator of ASE, which says whether it converged."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.energy_model import (
    MAX_FORCE,
    MAX_STEPS,
    MAX_VOLUME_RATIO,
    Energy,
    EnergyFailure,
    Relaxation,
    sentence,
)
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class _FellApartError(Exception):
    """The volume left the range in which a relaxation means anything."""


def relax_each(
    structures: Sequence[Structure | None],
    calculator: Callable[[], Calculator],
    *,
    refuse: Callable[[Structure | None], Energy | None],
    fmax: float = MAX_FORCE,
    max_steps: int = MAX_STEPS,
    progress: Progress | None = None,
) -> list[Relaxation]:
    """Relax crystals one after the other, see :func:`relax_one`.

    Parameters
    ----------
    structures
        Crystals; None stays a failure in its place.
    calculator
        Returns the calculator; called only for a crystal that is not refused.
    refuse
        Returns why a crystal should not be given to the model, or None; must refuse None.
    fmax
        Force limit in eV/Å.
    max_steps
        Steps after which to give up on one.
    progress
        Called with (done, of).
    """
    answers = []
    for number, structure in enumerate(structures, start=1):
        refused = refuse(structure)
        if refused is not None:
            answer = Relaxation(None, None, False, failure=refused.failure, message=refused.message)
        else:
            assert structure is not None
            answer = relax_one(structure, calculator(), fmax=fmax, max_steps=max_steps)
        answers.append(answer)
        if progress is not None:
            progress(number, len(structures))
    return answers


def relax_one(
    structure: Structure,
    calculator: Calculator,
    *,
    fmax: float = MAX_FORCE,
    max_steps: int = MAX_STEPS,
) -> Relaxation:
    """Relax positions and cell with FIRE and ASE's ``FrechetCellFilter``.

    The optimiser and the filter are those of CHGNet's ``StructOptimizer`` and of matcalc's
    ``RelaxCalc``; unlike the former this says whether it converged, and unlike the latter
    the stress counts as well as the forces.

    Parameters
    ----------
    structure
        An ordered crystal.
    calculator
        Calculator with energy, forces and stress.
    fmax
        Limit in eV/Å of every atom's force and of the cell's generalised force (ASE's
        ``FrechetCellFilter``: volume × stress / number of atoms).
    max_steps
        Steps after which to give up.

    Returns
    -------
    Relaxation
        Whatever happens; a failure has a code and a sentence.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms: Any = AseAtomsAdaptor.get_atoms(structure.copy().remove_oxidation_states())
    atoms.calc = calculator
    first = float(atoms.get_volume())
    optimizer: Any = None

    def watch() -> None:
        ratio = float(atoms.get_volume()) / first
        if not 1 / MAX_VOLUME_RATIO <= ratio <= MAX_VOLUME_RATIO:
            raise _FellApartError(f"The volume became {ratio:.3g} times the first one's.")

    try:
        # calculators and optimisers print; a command's output is for results
        with contextlib.redirect_stdout(io.StringIO()):
            cell = FrechetCellFilter(atoms)  # type: ignore[no-untyped-call] # ASE's
            optimizer = FIRE(cell, logfile=None)
            optimizer.attach(watch, interval=1)
            converged = bool(optimizer.run(fmax=fmax, steps=max_steps))
            energy = float(atoms.get_potential_energy()) / len(atoms)
            force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        if not np.isfinite(energy):
            raise ArithmeticError("the energy is not a number")
    except _FellApartError as error:
        steps = int(optimizer.nsteps)
        return Relaxation(
            None, None, False, steps, failure=EnergyFailure.FELL_APART, message=str(error)
        )
    except Exception as error:
        # an error of the calculator for one crystal must not stop the others
        steps = 0 if optimizer is None else int(optimizer.nsteps)
        return Relaxation(
            None,
            None,
            False,
            steps,
            failure=EnergyFailure.MODEL_FAILED,
            message=sentence(error),
        )
    relaxed: Any = AseAtomsAdaptor.get_structure(atoms)
    failure = message = None
    if not converged:
        failure = EnergyFailure.NOT_CONVERGED
        message = f"After {optimizer.nsteps} steps the largest force is {force:.3g} eV/Å."
    return Relaxation(
        Structure(relaxed.lattice, relaxed.species, relaxed.frac_coords),
        energy,
        converged,
        int(optimizer.nsteps),
        force,
        failure,
        message,
    )
