"""Relaxations made by other programs: how they are judged, and put against a hull."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from crystalicl_jobflow.energies.calculation_kinds import CODES, MP2020, comparable_method
from crystalicl_jobflow.energies.energy_model import (
    MAX_VOLUME_RATIO,
    EnergyFailure,
    EnergyModel,
)
from crystalicl_jobflow.energies.hull import (
    FORMATION_ENERGY,
    NO_KNOWN_CRYSTALS,
    ConvexHull,
    HullEntry,
    reference_hull,
)
from crystalicl_jobflow.energies.references import (
    ElementalReferences,
    load_references,
    pbe_references,
)
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, relaxation_precedence
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData

MODELS = {"CHGNet": "chgnet"}
"""Force field as atomate2 names it → energy model of the same weights."""


def judge_relaxation(
    relaxation: CandidateRelaxation, volume_per_atom: float | None = None
) -> CandidateRelaxation:
    """Refuse a relaxation without a finite energy, or whose crystal has fallen apart.

    Parameters
    ----------
    relaxation
        As a program left it.
    volume_per_atom
        Of the crystal before, in Å³; None where it is not known.
    """
    energy, end = relaxation.energy_per_atom, relaxation.structure
    failure: tuple[EnergyFailure, str] | None = None
    if relaxation.failure_reason is not None:
        return relaxation
    if end is None or energy is None or not math.isfinite(energy):
        failure = EnergyFailure.MODEL_FAILED, "The relaxation gave no crystal with an energy."
    elif volume_per_atom is not None:
        ratio = end.volume / len(end) / volume_per_atom
        if not 1 / MAX_VOLUME_RATIO <= ratio <= MAX_VOLUME_RATIO:
            failure = (
                EnergyFailure.FELL_APART,
                f"The volume became {ratio:.2g} times what it was.",
            )
    if failure is None:
        return relaxation
    return relaxation.model_copy(
        update={"failure_reason": failure[0].value, "failure_message": failure[1]}
    )


def hull_energies(
    relaxations: Sequence[CandidateRelaxation],
    *,
    known: CrystalData | str | None = None,
    model: str | None = None,
    references: str | None = None,
    relax_known: bool = False,
    progress: Progress | None = None,
) -> tuple[list[CandidateRelaxation], str]:
    """Give relaxations of one method their formation energies and energies above the hull.

    Parameters
    ----------
    relaxations
        Relaxations; those without an energy stay as they are.
    known
        The crystals of the hull: with their structures for a force field, whose model gives
        them energies; with ``formation_energy_per_atom`` for DFT, on the Materials Project's
        scale. Or the name of a source, see :func:`reference_hull`. None: no hull.
    model
        Energy model of the force field's weights; None: see :data:`MODELS`.
    references
        Elemental references, see :func:`load_references`; None for the default ones of the
        model. For DFT the path of a file, with which the energies are taken as they are; None
        for the Materials Project's PBE energies, with its corrections.
    relax_known
        Whether the force field relaxes the known crystals as well; DFT's have energies.
    progress
        Called with (done, of) while the model works.

    Returns
    -------
    relaxations, words
        New documents, in order; what the energies are against, or why there are none.
        Nothing is raised where there is no hull, so that the relaxations are kept.
    """
    usable = [item for item in relaxations if item.structure is not None]
    if not usable:
        return list(relaxations), "nothing to compare"
    dft = usable[0].level == "dft"
    try:
        engine, elements = _scale(usable[0], dft, model, references)
    except (ValueError, ImportError) as error:
        reason = f"no hull: {error}"
        kept = [
            item if item.structure is None else item.model_copy(update={"no_hull_reason": reason})
            for item in relaxations
        ]
        return kept, f"none: {error}"
    words = f"formation energies: {elements.label}"
    hull: ConvexHull | None = None
    no_hull = NO_KNOWN_CRYSTALS
    if known is not None:
        systems = list({_symbols(item.structure) for item in usable if item.structure is not None})
        try:
            hull = _hull(known, engine, elements, systems, relax_known, progress)
            words += f"; hull: {len(hull)} entries, {hull.scale}"
            if hull.relaxed:
                words += ", relaxed"
        except (ValueError, ImportError, OSError) as error:
            no_hull = f"no hull: {error}"
            words += f"; {no_hull}"
    corrected = dft and references is None
    method = None if corrected else _scale_method(usable[0], dft, elements)
    found = []
    for item in relaxations:
        on_scale = item.level == usable[0].level and (
            method is None or comparable_method(item.method) == method
        )
        if item.structure is None or on_scale:
            found.append(_with_energies(item, elements, hull, corrected=corrected, no_hull=no_hull))
        else:
            reason = f"{item.method} is not on the scale of {elements.label}"
            found.append(item.model_copy(update={"no_hull_reason": reason}))
    if corrected:
        found = [
            item
            if item.formation_energy_per_atom is None
            else item.model_copy(update={"corrections": MP2020})
            for item in found
        ]
    lacking = [
        item
        for item in found
        if item.energy_per_atom is not None and item.formation_energy_per_atom is None
    ]
    if lacking:
        methods = ", ".join(sorted({item.method for item in lacking}))
        words += f"; {len(lacking)} without, by {methods}: not on that scale"
    if hull is not None:
        for reason, count in Counter(
            item.no_hull_reason for item in found if item.no_hull_reason is not None
        ).items():
            words += f"; {count} not judged: {reason}"
    return found, words


def _with_energies(
    item: CandidateRelaxation,
    elements: ElementalReferences,
    hull: ConvexHull | None,
    *,
    corrected: bool,
    no_hull: str,
) -> CandidateRelaxation:
    """Return a relaxation with its energies, or with the reason why it has none above the hull.

    Parameters
    ----------
    item
        The relaxation.
    elements
        Elemental references of the scale.
    hull
        Known crystals on that scale; None for none.
    corrected
        Whether the energies with the Materials Project's corrections are taken.
    no_hull
        Why there is no hull, where there is none.
    """
    if item.structure is None:
        return item
    composition = item.structure.composition.element_composition
    unjudged = no_hull if hull is None else hull.why_not_judged(_symbols(item.structure))
    energy = item.corrected_energy_per_atom if corrected else item.energy_per_atom
    if energy is None or not math.isfinite(energy):
        if item.energy_per_atom is not None and hull is not None:
            scale = f"energies of {item.method} are not on the scale of {elements.label}"
            unjudged = unjudged or scale
        return item.model_copy(update={"no_hull_reason": unjudged})
    missing = elements.missing(composition)
    if missing:
        unjudged = unjudged or f"no elemental reference for {', '.join(missing)}"
        return item.model_copy(update={"no_hull_reason": unjudged})
    formation = elements.formation_energy(composition, energy)
    above = None if hull is None else hull.energy_above_hull(composition, formation)
    return item.model_copy(
        update={
            "formation_energy_per_atom": formation,
            "energy_above_hull": above,
            "no_hull_reason": unjudged,
        }
    )


def _scale(
    item: CandidateRelaxation, dft: bool, model: str | None, references: str | None
) -> tuple[EnergyModel | None, ElementalReferences]:
    if dft:
        found = ElementalReferences.load(references) if references else pbe_references()
        return None, found
    force_field = item.method.split(" ")[0].removeprefix("MLFF.")
    from crystalicl_jobflow.energies.loading import is_energy_model, load_energy_model

    # relaxed with a potential of ours, it is called as we call it
    own = force_field if is_energy_model(force_field) else None
    name = model or MODELS.get(force_field) or own
    if name is None:
        raise ValueError(f"no energy model is known for {force_field or 'the force field'}")

    engine = load_energy_model(name)
    return engine, load_references(engine, references)


def _scale_method(item: CandidateRelaxation, dft: bool, elements: ElementalReferences) -> str:
    """Return the method whose energies the references are for: no other's are compared.

    Of references that name a program of quantum chemistry and a functional, those; else the
    method of the first relaxation.
    """
    named = f"{elements.model} {elements.model_version}".strip()
    known = dft and elements.model in CODES.values() and elements.model_version
    return comparable_method(named if known else item.method)


def _hull(
    known: CrystalData | str,
    engine: EnergyModel | None,
    elements: ElementalReferences,
    systems: list[frozenset[str]],
    relax: bool,
    progress: Progress | None,
) -> ConvexHull:
    if isinstance(known, str):
        return reference_hull(
            known,
            model=engine,
            references=elements if engine is not None else None,
            chemical_systems=systems,
            relax=relax,
            progress=progress,
        )
    places = [
        place
        for place, structure in enumerate(known.structures)
        if any(_symbols(structure) <= system for system in systems)
    ]
    if engine is not None:
        return ConvexHull.from_structures(
            [known.structures[place] for place in places],
            model=engine,
            references=elements,
            ids=[known.ids[place] for place in places],
            relax=relax,
            progress=progress,
        )
    if not any(FORMATION_ENERGY in values for values in known.properties):
        raise ValueError(f"{known.name or 'the known crystals'} have no {FORMATION_ENERGY}")
    return ConvexHull(
        (
            HullEntry(
                known.ids[place],
                known.structures[place].composition.element_composition,
                known.properties[place][FORMATION_ENERGY],
            )
            for place in places
            if FORMATION_ENERGY in known.properties[place]
        ),
        scale=f"{FORMATION_ENERGY} of the data",
    )


def _symbols(structure: Structure) -> frozenset[str]:
    return frozenset(el.symbol for el in structure.composition.element_composition.elements)


def best_relaxations(
    relaxations: Sequence[CandidateRelaxation],
) -> dict[str, CandidateRelaxation]:
    """Return by candidate the one of its relaxations that counts.

    See :func:`~crystalicl_jobflow.schemas.stored_candidate.relaxation_precedence`; between
    equals the later in the list.
    """
    best: dict[str, CandidateRelaxation] = {}
    for item in relaxations:
        earlier = best.get(item.candidate_id)
        if earlier is None or _precedence(item) >= _precedence(earlier):
            best[item.candidate_id] = item
    return best


def _precedence(item: CandidateRelaxation) -> tuple[bool, int, bool, bool]:
    return relaxation_precedence(
        has_structure=item.structure is not None,
        level=item.level,
        converged=item.converged,
        judged=item.formation_energy_per_atom is not None,
    )
