"""What a job has calculated, as its output shows: a structure optimisation, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.structure_documents import structure_from_dict

OPTIMIZATION = "Structure Optimization"
STATIC = "Static"
DEFORMATION = "Deformation"
MOLECULAR_DYNAMICS = "Molecular Dynamics"
UNRECOGNIZED = "Unrecognized"

TASK_TYPES = (
    "Constrained Structure Optimization", "DFPT Dielectric", "DFPT", DEFORMATION, "Dielectric",
    MOLECULAR_DYNAMICS, "NMR Electric Field Gradient", "NMR Nuclear Shielding", "NSCF Line",
    "NSCF Uniform", "Optic", "SCF Line", STATIC, OPTIMIZATION, UNRECOGNIZED,
)  # fmt: skip
"""Types of calculations as emmet names them (``emmet.core.vasp.calc_types.TaskType``), with the
one that atomate2 adds for CP2K; a longer name before what it ends with."""

CODES = {"aims": "FHI-aims", "abinit": "ABINIT", "cp2k": "CP2K", "jdftx": "JDFTx", "vasp": "VASP"}
"""Module of atomate2 → program."""

GGA_RUNS = {"PBE": "GGA", "PBE+U": "GGA+U", "GGA": "GGA", "GGA+U": "GGA+U"}
"""Kinds of VASP runs that MP2020 corrects → their names there."""

MP2020 = "MP2020"
"""The Materials Project's corrections of 2020, Wang et al., Sci. Rep. 11, 15496 (2021)."""

_POTENTIAL_FIELDS = ("forcefield_name", "ase_calculator_name")
_VASP_FIELDS = ("task_type", "calc_type", "run_type")


@dataclass(frozen=True)
class CalculationKind:
    """What an output says about the calculation behind it.

    Parameters
    ----------
    task_type
        One of :data:`TASK_TYPES`; for other documents of atomate2 their class
        (``ElasticDocument``); '' where nothing is known.
    level
        forcefield or dft; '' where there is no such calculation.
    functional
        Functional or potential, e.g. ``GGA+U`` or ``MLFF.CHGNet``.
    method
        Program and functional, or potential and version: energies of two methods are never
        compared.
    """

    task_type: str = ""
    level: str = ""
    functional: str = ""
    method: str = ""

    @property
    def is_optimization(self) -> bool:
        """Whether positions and cell were relaxed."""
        return self.task_type == OPTIMIZATION

    @property
    def comparable(self) -> str:
        """The method, with names of one and the same functional made equal."""
        return comparable_method(self.method)


def comparable_method(method: str) -> str:
    """Return a method's name such that equal names mean comparable energies.

    VASP's PBE is called GGA where it comes from the POTCARs, and PBE where the INCAR says so.
    """
    program, _, functional = method.partition(" ")
    if program != "VASP":
        return method
    return f"VASP {GGA_RUNS.get(functional, functional)}"


def calculation_kind(result: Any) -> CalculationKind:
    """Return what kind of calculation a job's output is of.

    Parameters
    ----------
    result
        The output: a document of atomate2 or emmet, in memory or as a job store holds it, or
        anything else.

    Returns
    -------
    CalculationKind
        From emmet's ``task_type`` or ``calc_type`` for VASP, from the steps and the freedom of
        the cell for force fields, and from the class of the document for everything else.
    """
    module, name = class_of(result)
    if any(get_field(result, field) for field in _POTENTIAL_FIELDS):
        potential = next(
            str(get_field(result, field)) for field in _POTENTIAL_FIELDS if get_field(result, field)
        )
        version = get_field(result, "forcefield_version")
        method = potential if version in (None, "", "Unknown") else f"{potential} {version}"
        return CalculationKind(_potential_type(result), "forcefield", potential, method)
    code = _code(module, name, result)
    if code is not None:
        functional = _text(get_field(result, "run_type")).replace("_U", "+U")
        found = _task_type(result)
        if not functional:
            calc_type = _text(get_field(result, "calc_type"))
            functional = calc_type.removesuffix(found).strip() if found else ""
        return CalculationKind(found, "dft", functional, f"{code} {functional}".strip())
    return CalculationKind(name if module.startswith(("atomate2.", "emmet.")) else "")


def corrected_energy(
    result: Any, structure: Structure | None, energy: float | None, kind: CalculationKind
) -> float | None:
    """Return the energy per atom with MP2020's corrections, eV/atom.

    Parameters
    ----------
    result
        The output; its ``entry`` has the parameters of the run.
    structure
        Its crystal.
    energy
        Its energy, eV/atom.
    kind
        What it is of. None is returned for functionals that MP2020 does not know.
    """
    run = GGA_RUNS.get(kind.functional) if kind.method.startswith("VASP ") else None
    if structure is None or energy is None or run is None or not structure.is_ordered:
        return None
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    given = dict(get_field(get_field(result, "entry"), "parameters") or {})
    parameters = {"software": "VASP", "hubbards": {}, **given, "run_type": run}
    parameters["hubbards"] = parameters["hubbards"] or {}
    made = ComputedStructureEntry(structure, float(energy) * len(structure), parameters=parameters)
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    try:
        processed = scheme.process_entry(made, clean=True, inplace=False)
    except Exception:  # a relaxation must not be lost for want of a correction
        return None
    return None if processed is None else float(processed.energy_per_atom)


def is_converged(result: Any) -> bool | None:
    """Return whether the forces, and what else the optimiser asks for, are below the limit.

    A force field's ``is_force_converged`` leaves out the cell, and its ``state`` has been
    "successful" where forces were left; so both must be. None: the output does not say.
    """
    signs = [get_field(result, "is_force_converged"), get_field(result, "converged")]
    if get_field(result, "state") is not None:
        state = str(get_field(result, "state")).rsplit(".", 1)[-1].lower()
        signs.append(state in ("successful", "success"))
    known = [bool(item) for item in signs if item is not None]
    return all(known) if known else None


def output_structure(result: Any) -> Structure | None:
    """Return the last structure in an output; None where it has none."""
    for holder in (get_field(result, "output"), result):
        for name in ("structure", "mol_or_struct"):
            value = get_field(holder, name)
            if isinstance(value, Mapping) and "lattice" in value:
                return structure_from_dict(value)
            if isinstance(value, Structure):
                return value
    return None


def output_energy(result: Any, structure: Structure | None = None) -> float | None:
    """Return the energy in an output, eV/atom; from that of the cell where there is a structure.

    Raises
    ------
    ValueError, TypeError
        If what stands there is no number.
    """
    for holder in (get_field(result, "output"), result):
        energy = get_field(holder, "energy_per_atom")
        if energy is not None:
            return float(energy)
        energy = get_field(holder, "energy")
        if energy is not None and structure is not None and len(structure):
            return float(energy) / len(structure)
    return None


def result_folder(result: Any) -> str | None:
    """Return the folder of the calculation; None where the output does not say."""
    folder = get_field(result, "dir_name")
    return None if folder is None else str(folder)


def get_field(document: Any, name: str) -> Any:
    """Return a field of a document or a mapping; None where there is none."""
    if isinstance(document, Mapping):
        return document.get(name)
    return getattr(document, name, None)


def class_of(result: Any) -> tuple[str, str]:
    """Return module and name of a document's class, in memory or in JSON form.

    Of a user's subclass those of the class of atomate2 or emmet below it.
    """
    if isinstance(result, Mapping):
        found = str(result.get("@module", "")), str(result.get("@class", ""))
        return found if found[1] else ("", "a mapping")
    for kind in type(result).__mro__:
        if kind.__module__.startswith(("atomate2.", "emmet.")):
            return kind.__module__, kind.__name__
    return type(result).__module__, type(result).__name__


def _code(module: str, name: str, result: Any) -> str | None:
    """Return the program of quantum chemistry behind a document; None for other documents."""
    if module.startswith("atomate2."):
        code = CODES.get(module.split(".")[1])
        return code if any(get_field(result, field) for field in _VASP_FIELDS) else None
    if module.startswith("emmet.core.task") or name in ("TaskDoc", "TaskDocument"):
        return CODES["vasp"]
    # a user's own class, read from a store: it is known by its fields
    known = [field for field in _VASP_FIELDS if get_field(result, field)]
    return CODES["vasp"] if known and get_field(result, "output") is not None else None


def _task_type(result: Any) -> str:
    """Return emmet's type of a calculation, from ``task_type``, else from ``calc_type``."""
    for field in ("task_type", "calc_type"):
        said = _text(get_field(result, field))
        for known in TASK_TYPES:
            if said == known or said.endswith(f" {known}"):
                return DEFORMATION if known == OPTIMIZATION and _is_strained(result) else known
    return ""


def _is_strained(result: Any) -> bool:
    """Return whether the cell was strained before, as for equations of state."""
    return "DeformStructureTransformation" in str(get_field(result, "transformations") or "")


def _potential_type(result: Any) -> str:
    """Return the type of what a potential has calculated.

    As atomate2's documents show it: a static calculation is a relaxation of one step, molecular
    dynamics have no settings of an optimiser.
    """
    output, given = get_field(result, "output"), get_field(result, "input")
    if given is None:
        steps = get_field(output, "n_steps")
        return UNRECOGNIZED if steps is None else OPTIMIZATION if steps > 1 else STATIC
    steps = get_field(given, "steps")
    if steps is None or steps <= 1:
        return STATIC
    if get_field(given, "relax_kwargs") is None and get_field(given, "optimizer_kwargs") is None:
        return MOLECULAR_DYNAMICS
    if get_field(given, "relax_cell") is False:
        # at constant volume, as ISIF = 4, emmet knows no name for it
        return UNRECOGNIZED if get_field(given, "relax_shape") else DEFORMATION
    return OPTIMIZATION


def _text(value: Any) -> str:
    """Return an enum's value, or its name in a string, without the name of the enum."""
    found = getattr(value, "value", value)
    if found is None:
        return ""
    text = str(found)
    return text.rsplit(".", 1)[-1] if text.split(".", 1)[0].endswith("Type") else text
