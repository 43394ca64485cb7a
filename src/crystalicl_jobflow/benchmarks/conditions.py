"""What a benchmark asks: conditions of the crystals of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crystalicl_jobflow.schemas import PROPERTIES, Condition, Demonstration, find_property
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.text.sgs import SGS, read_wyckoff
from crystalicl_jobflow.utils.progress import StageProgress

CONDITION_FIELDS = (
    "formula",
    "anonymous_formula",
    "chemsys",
    "elements",
    "space_group",
    "num_sites",
    "wyckoff",
)
"""What a benchmark may ask of a crystal, beside its properties."""


def condition_names(names: str | Sequence[str]) -> list[str]:
    """Read the names of what is asked for, e.g. ``"formula,space_group"``.

    Raises
    ------
    ValueError
        If one is neither a field of a condition nor a known property; one line.
    """
    items = names.split(",") if isinstance(names, str) else list(names)
    read = []
    for item in (name.strip() for name in items):
        spec = find_property(item)
        if item not in CONDITION_FIELDS and spec is None:
            known = ", ".join((*CONDITION_FIELDS, *PROPERTIES))
            raise ValueError(f"a condition cannot ask for {item!r}; it can for {known}")
        read.append(item if spec is None else spec.name)
    return list(dict.fromkeys(read))


def condition_of(crystal: Demonstration, names: Sequence[str]) -> Condition:
    """Return the condition that asks for a known crystal.

    Parameters
    ----------
    crystal
        The known crystal.
    names
        What is asked for, see :func:`condition_names`.

    Raises
    ------
    ValueError
        If the crystal has no value for a property that is asked for, or no Wyckoff letters.
    """
    fields: dict[str, Any] = {}
    properties: dict[str, float] = {}
    for name in names:
        if name == "wyckoff":
            fields |= _letters_of(crystal)
        elif name in CONDITION_FIELDS:
            fields.setdefault(name, getattr(crystal, name))
        elif name in crystal.properties:
            properties[name] = crystal.properties[name]
        else:
            raise ValueError(f"{crystal.demonstration_id} has no {name}")
    return Condition.build(**fields, properties=properties)


def _letters_of(crystal: Demonstration) -> dict[str, Any]:
    """Return a known crystal's Wyckoff letters with the group whose letters they are."""
    if crystal.structure is None:
        found = read_wyckoff(crystal.text)
    else:
        analysed = SGS.analyze(crystal.structure, crystal.symprec)
        found = analysed.space_group_number, analysed.wyckoff or {}
    if found is None:
        raise ValueError(f"{crystal.demonstration_id} has no Wyckoff letters")
    return {"space_group": found[0], "wyckoff": found[1]}


def draw_crystals(
    dataset: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> tuple[list[Demonstration], list[tuple[str, str]]]:
    """Draw crystals from a data set.

    Parameters
    ----------
    dataset
        Any source of crystals.
    limit
        Crystals wanted; None for all. Rows that cannot be read are passed over.
    seed
        Seed of the order.
    progress
        Called with (what, done, total).

    Returns
    -------
    tuple
        The crystals with their structures, in a drawn order; ids and reasons of the
        drawn rows that cannot be read.
    """
    from crystalicl_jobflow.datasets.sources import open_source
    from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
    from crystalicl_jobflow.validation.summary import crystal_summary

    source = open_source(dataset)
    records = list(source.records())
    order = np.random.default_rng(seed).permutation(len(records))
    wanted = len(records) if limit is None else min(limit, len(records))
    crystals: list[Demonstration] = []
    failed: list[tuple[str, str]] = []
    for place in order:
        if len(crystals) == wanted:
            break
        record = records[place]
        document = make_demonstration(record, source=source.name, symprec=SETTINGS.SYMPREC)
        if isinstance(document, str):
            failed.append((record.record_id, document))
            continue
        crystal = Demonstration.model_validate(document)
        # the group is asked for as it will be judged, by the same program and tolerance
        if crystal.structure is not None:
            group = crystal_summary(crystal.structure, symprec=SETTINGS.SYMPREC).space_group
            crystal = crystal.model_copy(update={"space_group": group or crystal.space_group})
        crystals.append(crystal)
        if progress is not None:
            progress("Read", len(crystals), wanted)
    return crystals, failed
