"""The reference that a run's crystals are compared with, as distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystalicl_jobflow.evaluation.summary import find_space_group
from crystalicl_jobflow.schemas import PROPERTIES

MAX_CRYSTALS = 10_000
"""Most reference crystals read; of larger references so many are drawn, always the same."""


@dataclass
class Reference:
    """Values of the reference crystals.

    Parameters
    ----------
    name
        The reference in words.
    values
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
    values: dict[str, list[float]] = field(default_factory=dict)
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
        See :func:`crystalicl_jobflow.retrieval.sources.open_source`.
    progress
        Called with (read, of).

    Raises
    ------
    ValueError
        If there is no such source, or no crystal in it can be read; one line.
    """
    from crystalicl_jobflow.retrieval.records import read_crystal
    from crystalicl_jobflow.retrieval.sources import open_source

    source = open_source(spec)
    records: list[Any] = list(source.records())
    reference = Reference(name=source.name, num_total=len(records))
    if len(records) > MAX_CRYSTALS:
        drawn = np.random.default_rng(0).choice(len(records), MAX_CRYSTALS, replace=False)
        records = [records[place] for place in sorted(drawn)]
    for done, record in enumerate(records, start=1):
        if progress is not None:
            progress(done, len(records))
        if record.crystal is None:
            reference.num_failed += 1
            continue
        try:
            structure = read_crystal(record.crystal)
            density = float(structure.density)
        except (ValueError, ZeroDivisionError):
            reference.num_failed += 1
            continue
        reference.num_crystals += 1
        group = find_space_group(structure)[0]
        facts = {
            "density": density,
            "num_elements": float(len(structure.composition.element_composition)),
            "space_group": None if group is None else float(group),
            **{name: value for name, value in record.properties.items() if name in PROPERTIES},
        }
        for name, value in facts.items():
            if value is not None:
                reference.values.setdefault(name, []).append(value)
    if not reference.num_crystals:
        raise ValueError(f"reference {spec} holds no crystal that can be read")
    return reference
