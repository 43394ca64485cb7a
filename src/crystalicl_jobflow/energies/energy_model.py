"""What an energy model is, and what it answers: a value, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.thresholds import MIN_DISTANCE, MIN_VOLUME_PER_ATOM
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.versions import installed_versions
from crystalicl_jobflow.validation.distances import min_distance

MAX_FORCE = 0.1
"""Default force, in eV/Å, below which a crystal is relaxed: that of CHGNet and of matcalc."""

MAX_STEPS = 500
"""Default number of steps after which a relaxation is given up: that of CHGNet and of matcalc."""

MAX_VOLUME_RATIO = 3.0
"""A relaxation whose volume leaves [1/3, 3] times the first one's has fallen apart."""


class EnergyFailure(StrEnum):
    """Why a crystal has no energy, or none that counts."""

    NO_STRUCTURE = "no_structure"
    DISORDERED = "disordered"
    UNSUPPORTED_ELEMENT = "unsupported_element"
    ATOMS_OVERLAP = "atoms_overlap"
    ISOLATED_ATOM = "isolated_atom"
    MODEL_FAILED = "model_failed"
    NOT_CONVERGED = "not_converged"
    FELL_APART = "fell_apart"
    TIMED_OUT = "timed_out"
    NO_REFERENCE = "no_reference"
    NOT_A_RELAXATION = "not_a_relaxation"
    UNEXPECTED_OUTPUT = "unexpected_output"


@dataclass(frozen=True)
class Energy:
    """The energy of one crystal as it is.

    Parameters
    ----------
    energy_per_atom
        eV/atom, on the model's own scale; None where there is none.
    failure, message
        Why there is none: a code and a sentence.
    """

    energy_per_atom: float | None
    failure: EnergyFailure | None = None
    message: str | None = None


@dataclass(frozen=True)
class Relaxation:
    """One crystal relaxed, positions and cell.

    Parameters
    ----------
    structure
        The last structure, relaxed or not; None where no step was made.
    energy_per_atom
        Its energy in eV/atom, on the model's own scale.
    converged
        Whether forces and stress fell below the limit.
    steps
        Steps made.
    max_force
        Largest force on an atom at the end, eV/Å.
    failure, message
        Why the relaxation does not count: a code and a sentence.
    """

    structure: Structure | None
    energy_per_atom: float | None
    converged: bool
    steps: int = 0
    max_force: float | None = None
    failure: EnergyFailure | None = None
    message: str | None = None


@runtime_checkable
class EnergyModel(Protocol):
    """A potential that knows the energies of crystals.

    ``name`` and ``version`` identify it in every result; energies of two models, or of two
    versions of one, are not comparable.
    """

    @property
    def name(self) -> str:
        """Name by which the model is loaded, e.g. ``chgnet``."""
        ...

    @property
    def version(self) -> str:
        """Version of its weights, e.g. ``0.3.0``."""
        ...

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energy of each crystal as it is, eV/atom, in order; never raises for one.

        Parameters
        ----------
        structures
            Crystals; None stays a failure in its place.
        progress
            Called with (done, of).
        """
        ...

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = MAX_FORCE,
        max_steps: int = MAX_STEPS,
        progress: Progress | None = None,
    ) -> list[Relaxation]:
        """Relax each crystal, positions and cell, in order; never raises for one.

        Parameters
        ----------
        structures
            Crystals; None stays a failure in its place.
        fmax
            Force limit in eV/Å.
        max_steps
            Steps after which to give up on one.
        progress
            Called with (done, of).
        """
        ...


def checked_energy(energy: float) -> Energy:
    """Return what a model answered, eV/atom, as a failure where that is not a finite number."""
    if not np.isfinite(energy):
        return Energy(None, EnergyFailure.MODEL_FAILED, "The energy is not a number.")
    return Energy(energy)


def raised(error: Exception) -> Energy:
    """Return the failure of a model that raised an error for a crystal."""
    return Energy(None, EnergyFailure.MODEL_FAILED, sentence(error))


def sentence(error: Exception) -> str:
    """Return an error's kind and what it says, in one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def model_versions(models: Iterable[object]) -> dict[str, str]:
    """Return the versions of the packages that models of energies or properties rest on.

    Parameters
    ----------
    models
        Models; one names its packages in an attribute ``packages``, or rests on none.
    """
    names = [name for model in models for name in getattr(model, "packages", ())]
    return installed_versions(dict.fromkeys(names))


def refusal(structure: Structure | None, *, max_atomic_number: int = 118) -> Energy | None:
    """Return why a crystal should not be given to a potential, or None.

    Potentials answer anything; far from what they were trained on, the answer means nothing,
    and their neighbour lists of a collapsed cell fill the memory.

    Parameters
    ----------
    structure
        A crystal, or None where a text was none.
    max_atomic_number
        Heaviest element that the model knows.
    """
    if structure is None or len(structure) == 0:
        return Energy(None, EnergyFailure.NO_STRUCTURE, "There is no crystal.")
    if not structure.is_ordered:
        return Energy(None, EnergyFailure.DISORDERED, "A disordered crystal has no one energy.")
    heavy = [el.symbol for el in structure.elements if max_atomic_number < el.Z]
    if heavy:
        return Energy(
            None,
            EnergyFailure.UNSUPPORTED_ELEMENT,
            f"The model does not know {', '.join(sorted(heavy))}.",
        )
    volume = structure.volume / len(structure)
    if not np.isfinite(volume) or volume < MIN_VOLUME_PER_ATOM:
        return Energy(
            None,
            EnergyFailure.ATOMS_OVERLAP,
            f"{volume:.3g} Å³ per atom; at least {MIN_VOLUME_PER_ATOM:g} Å³ are needed.",
        )
    shortest = min_distance(structure)
    if shortest < MIN_DISTANCE:
        return Energy(
            None,
            EnergyFailure.ATOMS_OVERLAP,
            f"Two atoms are {shortest:.2f} Å apart; at least {MIN_DISTANCE:g} Å are needed.",
        )
    return None
