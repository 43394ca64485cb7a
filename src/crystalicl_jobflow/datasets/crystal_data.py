"""Crystals with known property values, from any source that a pool can be filled from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure


@dataclass(frozen=True)
class CrystalData:
    """Crystals with values.

    Parameters
    ----------
    ids, structures, properties
        Of n crystals: name, structure, property name → value.
    failed
        Name and reason of the rows that could not be read or lack a value.
    name
        Of the source.
    remarks
        Id and remark of the crystals that were mended or are not whole.
    """

    ids: list[str]
    structures: list[Structure]
    properties: list[dict[str, float]]
    failed: list[tuple[str, str]] = field(default_factory=list)
    name: str = ""
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def read_data_set(
    source: str | Path | Sequence[Any],
    *,
    required: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    chemical_systems: Sequence[frozenset[str]] | None = None,
) -> CrystalData:
    """Read crystals with their values.

    Parameters
    ----------
    source
        A CSV with CIFs, a store, a list of structures or whatever
        :func:`crystalicl_jobflow.datasets.sources.open_source` takes.
    required
        Properties that a crystal must have a value of.
    limit
        Crystals, drawn with the seed; None for all, in their order.
    seed
        Seed of the draw.
    chemical_systems
        Only crystals whose elements lie within one of these sets.

    Raises
    ------
    ValueError
        If the source cannot be opened, or no crystal is left; one line.
    """
    from crystalicl_jobflow.datasets.records import read_with_remarks
    from crystalicl_jobflow.datasets.sources import open_source

    opened = open_source(source)
    records = list(opened.records())
    order = np.arange(len(records))
    if limit is not None:
        order = np.random.default_rng(seed).permutation(len(records))
    data = CrystalData([], [], [], [], opened.name)
    for place in order:
        if limit is not None and len(data) == limit:
            break
        record = records[place]
        lacking = [name for name in required if name not in record.properties]
        if record.crystal is None or record.error is not None or lacking:
            reason = record.error or (f"no {', '.join(lacking)}" if lacking else "no crystal")
            data.failed.append((record.record_id, reason))
            continue
        try:
            read = read_with_remarks(record.crystal)
        except ValueError as error:
            data.failed.append((record.record_id, str(error)))
            continue
        structure = read.structure
        if chemical_systems is not None:
            elements = {el.symbol for el in structure.composition.element_composition.elements}
            if not any(elements <= system for system in chemical_systems):
                continue
        data.ids.append(record.record_id)
        data.structures.append(structure)
        data.properties.append(dict(record.properties))
        lines = (*record.remarks, *read.remarks)
        data.remarks.extend((record.record_id, line) for line in lines)
    if not data.ids and chemical_systems is None:
        needed = f" with {', '.join(required)}" if required else ""
        raise ValueError(nothing_read(f"{data.name or source}", data.failed, needed=needed))
    return data


def nothing_read(source: str, failed: Sequence[tuple[str, str]], *, needed: str = "") -> str:
    """Return the message for a source of which no crystal can be read, with the first reason.

    Parameters
    ----------
    source
        Its name.
    failed
        Id and reason of the records that cannot be read.
    needed
        What else a crystal had to have, behind the word.
    """
    line = f"{source} holds no crystal{needed} that can be read"
    return f"{line}: {failed[0][0]}: {failed[0][1]}" if failed else line
