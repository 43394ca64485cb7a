"""Energies of many crystals in one call: relaxed or not, formation energy, hull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from crystalicl_jobflow.energies.energy_model import (
    MAX_FORCE,
    MAX_STEPS,
    EnergyFailure,
    EnergyModel,
    Relaxation,
)
from crystalicl_jobflow.energies.hull import ConvexHull
from crystalicl_jobflow.energies.references import ElementalReferences, load_references
from crystalicl_jobflow.utils.progress import Progress


@dataclass(frozen=True)
class EnergyAssessment:
    """All energies of one crystal.

    Parameters
    ----------
    structure
        The crystal that the energies belong to: the relaxed one where it was relaxed.
    energy_per_atom
        eV/atom on the model's scale.
    formation_energy_per_atom
        eV/atom against the elemental references.
    energy_above_hull
        eV/atom against the hull; negative below it. None without a hull or competing phases.
    no_hull_reason
        Why there is no verdict of the hull; None where there is one, or no hull was given.
    relaxed
        Whether it was to be relaxed.
    converged
        Whether it converged; None where it was not to be relaxed.
    steps
        Its steps.
    failure, message
        Why an energy is missing or does not count: a code and a sentence. An unconverged
        relaxation has both energies and a failure.
    """

    structure: Structure | None
    energy_per_atom: float | None
    formation_energy_per_atom: float | None
    energy_above_hull: float | None
    relaxed: bool
    converged: bool | None
    steps: int = 0
    failure: EnergyFailure | None = None
    message: str | None = None
    no_hull_reason: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the energies may decide on stability: nothing failed."""
        return self.failure is None


def assess_energies(
    structures: Sequence[Structure | None],
    *,
    model: EnergyModel,
    references: ElementalReferences | None = None,
    hull: ConvexHull | None = None,
    relax: bool = False,
    fmax: float = MAX_FORCE,
    max_steps: int = MAX_STEPS,
    progress: Progress | None = None,
) -> list[EnergyAssessment]:
    """Give each crystal its energies; a crystal that fails keeps its place, with the reason.

    Parameters
    ----------
    structures
        Crystals; None where a text was none.
    model
        The energy model.
    references
        Elemental references; the shipped default of the model otherwise.
    hull
        Known crystals, on the scale of the same model and references.
    relax
        Relax positions and cell first.
    fmax, max_steps
        Of the relaxation, eV/Å and steps.
    progress
        Called with (done, of).

    Returns
    -------
    list of EnergyAssessment
        One per crystal, in order.
    """
    references = references or load_references(model)
    states: list[Relaxation]
    if relax:
        states = model.relax(structures, fmax=fmax, max_steps=max_steps, progress=progress)
    else:
        states = [
            Relaxation(
                structure, item.energy_per_atom, False, failure=item.failure, message=item.message
            )
            for structure, item in zip(
                structures, model.energies(structures, progress=progress), strict=True
            )
        ]
    return [
        _assess(given, state, references, hull, relax)
        for given, state in zip(structures, states, strict=True)
    ]


def _assess(
    given: Structure | None,
    state: Relaxation,
    references: ElementalReferences,
    hull: ConvexHull | None,
    relax: bool,
) -> EnergyAssessment:
    formation = above = unjudged = None
    failure, message = state.failure, state.message
    plain = None if given is None else given.composition.element_composition
    if plain is not None and hull is not None:  # also of a failed one: it is no verdict, either
        unjudged = hull.why_not_judged(el.symbol for el in plain.elements)
    if plain is not None and state.energy_per_atom is not None:
        missing = references.missing(plain)
        if missing:
            failure = failure or EnergyFailure.NO_REFERENCE
            message = message or f"No elemental reference for {', '.join(missing)}."
        else:
            formation = references.formation_energy(plain, state.energy_per_atom)
            if hull is not None:
                above = hull.energy_above_hull(plain, formation)
    return EnergyAssessment(
        structure=state.structure,
        energy_per_atom=state.energy_per_atom,
        formation_energy_per_atom=formation,
        energy_above_hull=above,
        relaxed=relax,
        converged=state.converged if relax else None,
        steps=state.steps,
        failure=failure,
        message=message,
        no_hull_reason=unjudged,
    )
