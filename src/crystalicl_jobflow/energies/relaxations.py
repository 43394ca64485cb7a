"""Relaxations made by other programs: how they are read, judged, and put against a hull."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
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

GGA_RUNS = {"PBE": "GGA", "PBE+U": "GGA+U", "GGA": "GGA", "GGA+U": "GGA+U"}
"""Kinds of VASP runs that MP2020 corrects → their names there."""


def read_relaxation(
    candidate_id: str,
    result: Any,
    *,
    failed_level: str = "forcefield",
    source_uuid: str | None = None,
) -> CandidateRelaxation:
    """Return the relaxation in a document of atomate2, of a force field or of VASP.

    Parameters
    ----------
    candidate_id
        The candidate that was relaxed.
    result
        ``ForceFieldTaskDocument`` or ``TaskDoc``, as documents or in JSON form; None for a
        job that failed.
    failed_level
        forcefield or dft: its level, where there is no document.
    source_uuid
        The job.
    """
    if result is None:
        where = f"; see the error of job {source_uuid}" if source_uuid else ""
        return CandidateRelaxation(
            candidate_id=candidate_id,
            converged=False,
            level=failed_level,
            source_uuid=source_uuid,
            failure_reason="failed",
            failure_message=f"The relaxation has no result{where}.",
        )
    output = _get(result, "output")
    calculator = _get(result, "forcefield_name") or _get(result, "ase_calculator_name")
    converged = _converged(result)
    run_type = _get(result, "run_type")
    method = str(calculator or f"VASP {'' if run_type is None else run_type}".strip())
    if _get(result, "forcefield_version"):
        method = f"{method} {_get(result, 'forcefield_version')}"
    structure = _structure(_get(output, "structure")) or _structure(_get(result, "structure"))
    energy = _get(output, "energy_per_atom")
    folder = _get(result, "dir_name")
    return CandidateRelaxation(
        candidate_id=candidate_id,
        structure=structure,
        energy_per_atom=None if energy is None else float(energy),
        corrected_energy_per_atom=None
        if calculator
        else _corrected(result, structure, energy, str(run_type)),
        converged=converged,
        steps=_get(output, "n_steps"),
        level="forcefield" if calculator else "dft",
        method=method,
        source_uuid=source_uuid,
        dir_name=None if folder is None else str(folder),
        failure_reason="not_converged" if converged is False else None,
        failure_message="The relaxation did not converge." if converged is False else None,
    )


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
    found = [
        _with_energies(item, elements, hull, corrected=corrected, no_hull=no_hull)
        for item in relaxations
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
    name = model or MODELS.get(force_field)
    if name is None:
        raise ValueError(f"no energy model is known for {force_field or 'the force field'}")
    from crystalicl_jobflow.energies.loading import load_energy_model

    engine = load_energy_model(name)
    return engine, load_references(engine, references)


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


def _corrected(
    result: Any, structure: Structure | None, energy: float | None, run_type: str
) -> float | None:
    """Return the energy per atom with MP2020's corrections; None for other functionals."""
    kind = GGA_RUNS.get(run_type.rsplit(".", 1)[-1].replace("_U", "+U"))
    if structure is None or energy is None or kind is None or not structure.is_ordered:
        return None
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    entry = _get(result, "entry")
    given = dict(_get(entry, "parameters") or {})
    parameters = {"software": "VASP", "hubbards": {}, **given, "run_type": kind}
    parameters["hubbards"] = parameters["hubbards"] or {}
    made = ComputedStructureEntry(structure, float(energy) * len(structure), parameters=parameters)
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    try:
        processed = scheme.process_entry(made, clean=True, inplace=False)
    except Exception:  # a relaxation must not be lost for want of a correction
        return None
    return None if processed is None else float(processed.energy_per_atom)


def _converged(result: Any) -> bool | None:
    """Return whether the forces, and what else the optimiser asks for, are below the limit.

    A force field's ``is_force_converged`` leaves out the cell, and its ``state`` has been
    "successful" where forces were left; so both must be.
    """
    signs = [_get(result, "is_force_converged")]
    if _get(result, "state") is not None:
        state = str(_get(result, "state")).rsplit(".", 1)[-1].lower()
        signs.append(state in ("successful", "success"))
    known = [bool(item) for item in signs if item is not None]
    return all(known) if known else None


def _get(document: Any, name: str) -> Any:
    if isinstance(document, Mapping):
        return document.get(name)
    return getattr(document, name, None)


def _structure(value: Any) -> Structure | None:
    if isinstance(value, Mapping):
        return structure_from_dict(value)
    return value if isinstance(value, Structure) else None


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


def _precedence(item: CandidateRelaxation) -> tuple[bool, int, bool]:
    return relaxation_precedence(
        has_structure=item.structure is not None, level=item.level, converged=item.converged
    )
