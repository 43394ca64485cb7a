"""Reference structures of the elements, from the Materials Project by way of matcalc."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.structure_documents import structure_from_dict


@dataclass(frozen=True)
class ElementalStructure:
    """One element's reference.

    Parameters
    ----------
    structure
        The structure of lowest DFT energy.
    dft_energy
        That energy, uncorrected PBE, eV/atom.
    source
        Which of matcalc's tables it is from: ``MP-PBE`` or ``MatPES-PBE``.
    """

    structure: Structure
    dft_energy: float
    source: str


def elemental_structures() -> dict[str, ElementalStructure]:
    """Return the PBE ground state of each element among the Materials Project's structures.

    They ship with matcalc (``elemental_refs/MP-PBE-Element-Refs.json.gz``; Materials Project,
    CC BY 4.0). Yb is not there, since the Materials Project has changed its pseudopotential;
    it is taken from ``MatPES-PBE``, with an energy on another scale.

    Returns
    -------
    dict
        Element symbol → reference; 89 elements, without Po, At, Rn, Fr and Ra.

    Raises
    ------
    ImportError
        If matcalc is missing, with what to install.
    """
    # not imported: that takes seconds, and only its files are needed
    spec = find_spec("matcalc")
    if spec is None or spec.origin is None:
        raise ImportError(
            'reference structures of the elements need matcalc: pip install "crystalicl-jobflow'
            '[matcalc]"'
        )
    found: dict[str, ElementalStructure] = {}
    for source in ("MP-PBE", "MatPES-PBE"):
        path = Path(spec.origin).with_name("elemental_refs") / f"{source}-Element-Refs.json.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            entries = json.load(file)
        for symbol, entry in entries.items():
            if symbol in found:
                continue
            structures, energies = entry["structure"], entry["energy_per_atom"]
            if not isinstance(structures, list):
                structures, energies = [structures], [energies]
            energy, place = min((float(value), place) for place, value in enumerate(energies))
            structure = structure_from_dict(structures[place])
            found[symbol] = ElementalStructure(structure, energy, source)
    return found
