"""The reference that a run's crystals are compared with, as distributions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.comparison.novelty import match_reference
from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.symmetry import standard_cell
from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.schemas import PROPERTIES
from crystalicl_jobflow.utils.redaction import redact

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
    crystals
        Id and crystal of those with one of the formulas that were asked for; None where they
        were not kept.
    """

    name: str
    columns: dict[str, list[float]] = field(default_factory=dict)
    num_crystals: int = 0
    num_failed: int = 0
    num_total: int = 0
    crystals: list[tuple[str, Structure]] | None = None

    @property
    def whole(self) -> bool:
        """Whether every record was read, not some that were drawn."""
        return self.num_crystals + self.num_failed >= self.num_total


def read_reference(
    spec: str | Path,
    *,
    formulas: Collection[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Reference:
    """Read the distributions of a CSV with CIFs, a store, or any other source of crystals.

    Parameters
    ----------
    spec
        See :func:`crystalicl_jobflow.datasets.sources.open_source`.
    formulas
        Reduced formulas whose crystals are kept for :func:`with_novelty`; None keeps none.
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
    if formulas is not None:
        reference.crystals = []
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
        if reference.crystals is not None and crystal_composition(structure).reduced_formula in (
            formulas or ()
        ):
            reference.crystals.append((record.record_id, structure))
        facts |= {name: value for name, value in record.properties.items() if name in PROPERTIES}
        for name, value in facts.items():
            reference.columns.setdefault(name, []).append(value)
    if not reference.num_crystals:
        raise ValueError(nothing_read(f"reference {spec}", failed))
    return reference


def with_novelty(run: Run, reference: Reference) -> Run:
    """Return the run with its valid crystals compared with those of the reference.

    As they are where the run itself looked for known crystals, and where the reference was not
    read whole: what is new against a part of it may be known to the rest.

    Parameters
    ----------
    run
        The run.
    reference
        Read with the formulas of the run's crystals.
    """
    if reference.crystals is None or not reference.whole or "novel_against" in run.tolerances:
        return run
    structures = [item.structure if item.valid else None for item in run.candidates]
    known = match_reference(structures, [crystal for _, crystal in reference.crystals])
    columns = []
    for row, structure, found in zip(run.columns, structures, known, strict=True):
        more: dict[str, Any] = {} if structure is None else {"novel": found is None}
        if found is not None:
            more["known_as"] = reference.crystals[found][0]
        columns.append({**row, **more})
    against = f"{reference.name}, {reference.num_crystals} crystals"
    return replace(run, columns=columns, tolerances={**run.tolerances, "novel_against": against})


def reference_name(run: Run) -> str | None:
    """Return the known crystals that the run itself was compared with, or None."""
    for known in (run.tolerances.get("novel_against"), run.tolerances.get("distributions_against")):
        if known is not None:
            return redact(str(known))
    for name in ("known", "reference"):
        spec = run.document.get(name)
        if isinstance(spec, str) and spec:
            return redact(spec) if "://" in spec else Path(spec).name
    return None


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
