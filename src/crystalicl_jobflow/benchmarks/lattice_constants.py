"""Lattice constants of cubic crystals in finished runs, beside those of the true crystals.

A match says nothing of the volume: the matcher scales both crystals to one volume first.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystalicl_jobflow.benchmarks.run_folder import METRICS, STRUCTURES
from crystalicl_jobflow.crystal.space_groups import crystal_system

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.records import Record

_SEED = "seed_"


@dataclass(frozen=True)
class CubicPair:
    """A generated cubic crystal and the true one that it matches.

    Parameters
    ----------
    family
        Anonymised formula and space group, e.g. "AB3-221".
    generated, true
        Lattice constant a of the conventional cell, Å.
    """

    family: str
    generated: float
    true: float


def read_cubic_pairs(folder: str | Path, dataset: str | Path) -> list[CubicPair]:
    """Return the first samples of a finished run that match a cubic crystal of the data set.

    Parameters
    ----------
    folder
        Of a run of ``crystalicl benchmark prediction`` or ``conditional``.
    dataset
        The crystals that it asked for.

    Raises
    ------
    ValueError
        If the folder holds no finished run, or one of another data set; one line.
    """
    from crystalicl_jobflow.utils.hashing import file_hash

    place = Path(folder)
    for name in (METRICS, STRUCTURES):
        if not (place / name).is_file():
            raise ValueError(f"{place} holds no finished run: {name} is missing")
    metrics = json.loads((place / METRICS).read_text(encoding="utf-8"))
    content = file_hash(dataset)
    if metrics.get("dataset_sha256") != content:
        raise ValueError(f"{place} is a run of {metrics.get('dataset')}, not of {dataset}")
    pairs = []
    with (place / STRUCTURES).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            group = int(row["space_group"] or 0)
            if row["match"] != "True" or row["sample_index"] != "0" or not _is_cubic(group):
                continue
            name = metrics["material_ids"][int(row["request_index"])]
            try:
                true = _true_cell(str(dataset), content, name)
            except KeyError:
                raise ValueError(f"{place} asked for {name}, which {dataset} lacks") from None
            if true is not None:
                made = float(row["volume"]) / int(row["nsites"]) * true.atoms
                family = f"{row['formula_anonymous']}-{true.space_group}"
                pairs.append(CubicPair(family, made ** (1 / 3), true.edge))
    return pairs


def _is_cubic(number: int) -> bool:
    return number > 0 and crystal_system(number) == "cubic"


@dataclass(frozen=True)
class _TrueCell:
    """Conventional cell of a cubic crystal: space group, atoms, edge in Å."""

    space_group: int
    atoms: int
    edge: float


@lru_cache(maxsize=50_000)
def _true_cell(dataset: str, content: str, name: str) -> _TrueCell | None:
    """Return the cell of a crystal of a file; None where it is not cubic."""
    from crystalicl_jobflow.crystal.symmetry import structure_dataset
    from crystalicl_jobflow.datasets.records import read_crystal

    crystal = _records(dataset, content)[name].crystal
    if crystal is None:
        raise KeyError(name)
    truth = read_crystal(crystal)
    found = structure_dataset(truth)
    if found is None or not _is_cubic(found.number):
        return None
    atoms = len(found.std_positions)
    return _TrueCell(found.number, atoms, (truth.volume / len(truth) * atoms) ** (1 / 3))


@lru_cache(maxsize=1)
def _records(dataset: str, content: str) -> dict[str, Record]:  # noqa: ARG001 (part of the key)
    from crystalicl_jobflow.datasets.sources import open_source

    return {record.record_id: record for record in open_source(dataset).records()}


def lattice_errors(pairs: Sequence[CubicPair]) -> dict[str, float | int | None]:
    """Return how far generated lattice constants lie from the true ones.

    Returns
    -------
    dict
        ``crystals``; ``mae`` in Å; ``mean``, signed, in Å; ``relative``, the mean of
        absolute errors as shares; ``r2`` over all; ``r2_within``, the share of the variance
        *within* families (about each family's mean true value) that is explained: a table of
        mean values would have 0. None where there is nothing to divide by.
    """
    made = np.array([pair.generated for pair in pairs])
    true = np.array([pair.true for pair in pairs])
    errors = made - true
    families: dict[str, list[float]] = {}
    for pair in pairs:
        families.setdefault(pair.family, []).append(pair.true)
    means = np.array([np.mean(families[pair.family]) for pair in pairs])
    squared = float(np.sum(errors**2))

    def explained(about: Any) -> float | None:
        whole = float(np.sum((true - about) ** 2))
        return 1 - squared / whole if whole > 0 else None

    return {
        "crystals": len(pairs),
        "mae": float(np.mean(np.abs(errors))) if pairs else None,
        "mean": float(np.mean(errors)) if pairs else None,
        "relative": float(np.mean(np.abs(errors) / true)) if pairs else None,
        "r2": explained(true.mean()) if pairs else None,
        "r2_within": explained(means) if pairs else None,
    }


def runs_by_row(folders: Iterable[str | Path]) -> dict[str, list[Path]]:
    """Return run folders by the row of a table that they belong to: ``ROW/seed_SEED``."""
    found: dict[str, list[Path]] = {}
    for folder in map(Path, folders):
        row = folder.resolve().parent if folder.name.startswith(_SEED) else folder
        found.setdefault(row.name, []).append(folder)
    return found


def lattice_document(
    rows: Mapping[str, Sequence[CubicPair]], *, families: int = 5
) -> dict[str, Any]:
    """Return the errors of some rows as a table with its numbers.

    Parameters
    ----------
    rows
        Name → pairs.
    families
        Largest families, over all rows, that have lines of their own.
    """
    counts = Counter(pair.family for pairs in rows.values() for pair in pairs)
    largest = [name for name, _ in counts.most_common(families)]
    measured: dict[str, dict[str, Any]] = {}
    lines = []
    for name, pairs in rows.items():
        parts = {"all": list(pairs)}
        parts |= {family: [p for p in pairs if p.family == family] for family in largest}
        measured[name] = {part: lattice_errors(members) for part, members in parts.items()}
        for part, errors in measured[name].items():
            words = "cubic" if part == "all" else part
            lines.append(
                [
                    name if part == "all" else "",
                    words,
                    str(errors["crystals"]),
                    *_cells(errors, part == "all"),
                ]
            )
    heads = [
        "", "crystals", "number", "mean absolute error, Å", "signed mean, Å",
        "mean relative error, %", "R²", "R² within families",
    ]  # fmt: skip
    return {"kind": "table", "heads": heads, "rows": lines, "measured": measured}


def _cells(errors: Mapping[str, Any], together: bool) -> list[str]:
    def cell(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    relative = errors["relative"]
    return [
        cell(errors["mae"], 3),
        cell(errors["mean"], 3),
        cell(None if relative is None else 100 * relative, 2),
        cell(errors["r2"], 3),
        cell(errors["r2_within"], 3) if together else "",
    ]
