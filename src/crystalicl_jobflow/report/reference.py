"""The reference that a run's crystals are compared with, as distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.symmetry import standard_cell
from crystalicl_jobflow.schemas import PROPERTIES

MAX_CRYSTALS = 10_000
"""Most reference crystals read; of larger references so many are drawn, always the same."""


GRAMS_PER_CM3 = 1.66053906660
"""1 u/Å³ in g/cm³; CODATA 2018."""


@dataclass
class Reference:
    """Values of the reference crystals.

    Parameters
    ----------
    name
        The reference in words.
    columns
        Column name → values: ``density`` (g/cm³), ``num_elements``, ``space_group``, and the
        properties that the reference holds, in their own units.
    num_crystals
        Crystals read.
    num_failed
        Records without a readable crystal.
    num_total
        Records in the reference.
    """

    name: str
    columns: dict[str, list[float]] = field(default_factory=dict)
    num_crystals: int = 0
    num_failed: int = 0
    num_total: int = 0


def read_reference(
    spec: str | Path, *, progress: Callable[[int, int | None], None] | None = None
) -> Reference:
    """Read the distributions of a CSV with CIFs, a store, or any other source of crystals.

    Parameters
    ----------
    spec
        See :func:`crystalicl_jobflow.datasets.sources.open_source`.
    progress
        Called with (read, of).

    Raises
    ------
    ValueError
        If there is no such source, or no crystal in it can be read; one line.
    """
    from crystalicl_jobflow.datasets.crystal_data import nothing_read
    from crystalicl_jobflow.datasets.records import read_crystal
    from crystalicl_jobflow.datasets.sources import open_source

    source = open_source(spec)
    records: list[Any] = list(source.records())
    reference = Reference(name=source.name, num_total=len(records))
    failed: list[tuple[str, str]] = []
    if len(records) > MAX_CRYSTALS:
        drawn = np.random.default_rng(0).choice(len(records), MAX_CRYSTALS, replace=False)
        records = [records[place] for place in sorted(drawn)]
    for done, record in enumerate(records, start=1):
        if progress is not None:
            progress(done, len(records))
        if record.crystal is None:
            reference.num_failed += 1
            failed.append((record.record_id, record.error or "no crystal"))
            continue
        try:
            structure = read_crystal(record.crystal)
            facts = _facts(structure)
        except (ValueError, ZeroDivisionError) as error:
            reference.num_failed += 1
            failed.append((record.record_id, str(error)))
            continue
        reference.num_crystals += 1
        facts |= {name: value for name, value in record.properties.items() if name in PROPERTIES}
        for name, value in facts.items():
            reference.columns.setdefault(name, []).append(value)
    if not reference.num_crystals:
        raise ValueError(nothing_read(f"reference {spec}", failed))
    return reference


def _facts(structure: Structure) -> dict[str, float]:
    """Return density (g/cm³), number of elements and space group of a crystal."""
    kinds: dict[object, int] = {}
    labels = np.array([kinds.setdefault(site.species, len(kinds)) for site in structure])
    # several times faster than spglib, which it asks where it is in doubt
    cell = standard_cell(structure.lattice.matrix, structure.frac_coords, labels)
    mass = float(structure.composition.weight)  # of the cell, in u
    return {
        "density": mass / structure.volume * GRAMS_PER_CM3,
        "num_elements": float(len(structure.composition.element_composition)),
        "space_group": float(cell.number),
    }
