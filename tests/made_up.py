"""Made-up candidate documents in any number, for tests and benchmarks of stores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pymatgen.core import Composition, Lattice, Structure

from crystalicl_jobflow.candidates.contributions import Part
from crystalicl_jobflow.candidates.merging import merge
from crystalicl_jobflow.crystal.metadata import structure_metadata, symmetry_of_group

_KINDS = (
    ("CaTiO3", 221, "Pm-3m", 3.9), ("NaCl", 225, "Fm-3m", 5.6), ("TiO2", 136, "P4_2/mnm", 4.6),
    ("CaO", 225, "Fm-3m", 4.8), ("MgAl2O4", 227, "Fd-3m", 8.1), ("LiCoO2", 166, "R-3m", 4.9),
    ("KCl", 225, "Fm-3m", 6.3), ("BaTiO3", 99, "P4mm", 4.0), ("ZnS", 216, "F-43m", 5.4),
    ("Fe2O3", 167, "R-3c", 5.4), ("SiO2", 154, "P3_221", 4.9), ("GaN", 186, "P6_3mc", 3.2),
)  # fmt: skip
_REASONS = ("atoms_overlap", "condition_not_met")


def synthetic_documents(count: int, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield documents that look like candidates' and are none.

    Parameters
    ----------
    count
        How many.
    seed
        The same seed gives the same documents.

    Yields
    ------
    dict
        A document as the store holds it: about a fifth without crystal, a third without
        energy, values of all kinds in the indexed fields. One document per kind of crystal
        comes from :func:`~crystalicl_jobflow.candidates.merging.merge`; the others are copies
        with numbers of their own.
    """
    draw = np.random.default_rng(seed)
    kinds = [_kind(*kind) for kind in _KINDS]
    empty = _no_crystal()
    start = datetime(2026, 1, 1)
    for number in range(count):
        name = hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()[:24]
        moment = start + timedelta(seconds=number)
        crystal = draw.random() > 0.2
        document = dict(kinds[draw.integers(len(kinds))] if crystal else empty)
        document |= {
            "candidate_id": name,
            "run_ids": [f"run-{number % 20}", hashlib.md5(name.encode()).hexdigest()],
            "created_at": moment,
            "last_updated": moment,
            "revision": 1,
        }
        if crystal:
            _add_numbers(document, draw)
        yield document


def _add_numbers(document: dict[str, Any], draw: np.random.Generator) -> None:
    document["density"] = float(draw.normal(4.0, 1.0))
    document["valid"] = bool(draw.random() > 0.2)
    document["joint_success"] = bool(draw.random() > 0.5)
    document["is_unique"] = bool(draw.random() > 0.3)
    document["is_novel"] = bool(draw.random() > 0.4)
    if not document["valid"]:
        document["failure_reason"] = _REASONS[int(draw.integers(len(_REASONS)))]
    if draw.random() > 0.33:
        above = float(abs(draw.normal(0.0, 0.15)) - 0.02)
        document["energy_above_hull"] = above
        document["formation_energy_per_atom"] = float(draw.normal(-1.5, 0.5))
        document["band_gap"] = float(abs(draw.normal(0.0, 2.0)))
        document["is_stable"] = above <= 0
        document["is_metastable"] = above <= 0.1
        document["is_relaxed"] = True


def _kind(formula: str, number: int, symbol: str, length: float) -> dict[str, Any]:
    composition = Composition(formula)
    species = [str(element) for element, n in composition.items() for _ in range(int(n))]
    places = np.linspace(0.0, 0.9, len(species))
    structure = Structure(Lattice.cubic(length), species, [[x, x, x] for x in places])
    metadata = structure_metadata(structure, symmetry_of_group(number, symbol))
    metadata["nsites_primitive"] = len(species)
    cell = ("nsites", "nsites_primitive", "composition", "volume", "density_atomic", "symmetry")
    return merge(
        None,
        [
            Part(
                "kind",
                stage="validated",
                text={
                    **metadata,
                    "condition": {"formula": composition.reduced_formula},
                    "text": f"{symbol}\n{length} {length} {length}\n90 90 90",
                    "parsed": True,
                    "generated": {
                        "structure": structure.as_dict(),
                        **{name: metadata[name] for name in cell},
                        "density": 4.0,
                    },
                    "provenance": {"prompt": "Below is a description of a bulk material. " * 20},
                },
            )
        ],
    )


def _no_crystal() -> dict[str, Any]:
    text = {
        "text": "I am sorry.",
        "failure_reason": "empty",
        "failure_message": "The text is empty.",
        "provenance": {"prompt": "Below is a description of a bulk material."},
    }
    return merge(None, [Part("kind", stage="validated", text=text)])
