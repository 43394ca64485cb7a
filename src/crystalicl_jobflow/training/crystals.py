"""Crystals to learn from: read once, analysed once, kept beside their properties."""

from __future__ import annotations

import csv
import gzip
import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from crystalicl_jobflow.retrieval.parallel import parallel_map
from crystalicl_jobflow.schemas import PROPERTIES, Demonstration, find_property
from crystalicl_jobflow.text import SGS, SGSCrystal
from crystalicl_jobflow.text.symmetry import group_number

if TYPE_CHECKING:
    from pymatgen.core import Structure

ID_COLUMNS = ("material_id", "id")
"""Columns that may hold a row's name, the first that is there; where several rows have the
same, their numbers are added."""

EXACT_SYMPREC = 0.01
"""Å; the tighter tolerance at which crystals are told apart by their group."""


@dataclass(frozen=True)
class TrainingCrystal:
    """A crystal of a training set.

    Parameters
    ----------
    demonstration
        Formula, group, properties and SGS text, as the pool holds them.
    crystal
        What its texts say, for every variant of the text.
    exact_group
        Space group at `EXACT_SYMPREC`, where the structure was at hand.
    """

    demonstration: Demonstration
    crystal: SGSCrystal
    exact_group: int | None = None

    @property
    def num_orbits(self) -> int:
        """Number of Wyckoff orbits."""
        return len(self.crystal.sites)


@dataclass(frozen=True)
class SkippedRow:
    """A row that could not be read, and why."""

    source: str
    row: int
    reason: str


def training_crystal(
    structure: Structure, *, name: str, source: str, properties: dict[str, float]
) -> TrainingCrystal:
    """Analyse a structure.

    Parameters
    ----------
    structure
        The crystal, in any cell.
    name
        Its id; with the source unique.
    source
        Where it comes from.
    properties
        Values of registered properties, in their units.

    Raises
    ------
    TextError
        If the crystal cannot be written as text.
    """
    crystal = SGS.analyze(structure)
    exact = group_number(structure, EXACT_SYMPREC)
    composition = structure.composition
    cell_sites = sum(site.multiplicity or 0 for site in crystal.sites)
    centring = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
    return TrainingCrystal(
        Demonstration(
            demonstration_id=f"{source}:{name}",
            source=source,
            formula=composition.reduced_formula,
            anonymous_formula=composition.anonymized_formula,
            chemsys=composition.chemical_system,
            elements=tuple(sorted(element.symbol for element in composition.elements)),
            num_sites=cell_sites // centring[crystal.space_group_symbol[0]],
            space_group=crystal.space_group_number,
            properties=properties,
            text=SGS.format(crystal),
        ),
        crystal,
        exact,
    )


def read_training_crystals(
    paths: Iterable[str | Path],
    *,
    cache: str | Path | None = None,
    workers: int = 1,
    limit: int | None = None,
) -> tuple[list[TrainingCrystal], list[SkippedRow]]:
    """Read CSV files with a ``cif`` column.

    Parameters
    ----------
    paths
        CSV files, gzipped or not. Columns that a registered property names
        (`PropertySpec.name` or an alias) become properties.
    cache
        Folder that keeps the analysed crystals of each file; None for no cache. A cache
        older than its file is written anew.
    workers
        Processes that analyse.
    limit
        Rows of each file, at most; None for all.

    Returns
    -------
    crystals : list of TrainingCrystal
        In the order of the files and rows.
    skipped : list of SkippedRow
        Rows without a readable crystal.

    Raises
    ------
    ValueError
        If a file is missing, or has no column ``cif``.
    """
    crystals: list[TrainingCrystal] = []
    skipped: list[SkippedRow] = []
    for path in map(Path, paths):
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
        kept = None if cache is None else Path(cache) / f"{_stem(path)}.{limit or 'all'}.2.pickle"
        if kept is not None and kept.is_file() and kept.stat().st_mtime > path.stat().st_mtime:
            # a file that this very function wrote; nobody else's pickles are read
            found, lost = pickle.loads(kept.read_bytes())
        else:
            found, lost = _read_file(path, workers=workers, limit=limit)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(pickle.dumps((found, lost)))
        crystals += found
        skipped += lost
    return crystals, skipped


def without_formulas(
    crystals: Sequence[TrainingCrystal], formulas: Iterable[str]
) -> list[TrainingCrystal]:
    """Return the crystals whose reduced formula is none of these."""
    held_out = set(formulas)
    return [crystal for crystal in crystals if crystal.demonstration.formula not in held_out]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)  # a CIF text is longer than the default limit
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if "cif" not in (reader.fieldnames or ()):
            raise ValueError(f"{path} has no column 'cif'")
        yield from reader


def _read_file(
    path: Path, *, workers: int, limit: int | None
) -> tuple[list[TrainingCrystal], list[SkippedRow]]:
    source = _stem(path)
    names = Counter(_name(row) for row in islice(_rows(path), limit))
    tasks = (
        (index, row, source, _name(row) if names[_name(row)] == 1 else f"{_name(row)}-{index}")
        for index, row in enumerate(islice(_rows(path), limit))
    )
    results = list(parallel_map(_analyse, tasks, processes=workers, batch_size=64))
    crystals = [result for result in results if isinstance(result, TrainingCrystal)]
    return crystals, [result for result in results if isinstance(result, SkippedRow)]


def _name(row: Mapping[str, str]) -> str:
    """Return what a row calls itself; some data sets write the same into every row."""
    return next((row[column] for column in ID_COLUMNS if row.get(column)), "")


def _analyse(task: tuple[int, dict[str, str], str, str]) -> TrainingCrystal | SkippedRow:
    from pymatgen.core import Structure

    index, row, source, name = task
    name = name.removeprefix("-") or str(index)
    properties: dict[str, float] = {}
    try:
        for column, value in row.items():
            spec = find_property(column)
            if spec is not None and value:
                properties[PROPERTIES[spec.name].name] = float(value)
        return training_crystal(
            Structure.from_str(row["cif"], fmt="cif"),
            name=name,
            source=source,
            properties=properties,
        )
    except Exception as error:  # a row that cannot be read is reported, the rest goes in
        return SkippedRow(source, index, f"{type(error).__name__}: {error}")
