"""Training crystals: read and analysed once, and kept with their properties."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.given import as_structure
from crystalicl_jobflow.crystal.symmetry import group_number
from crystalicl_jobflow.datasets.csv_rows import CsvFile, CsvRow
from crystalicl_jobflow.datasets.records import known_properties, read_crystal
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.text import SGS, SGSCrystal
from crystalicl_jobflow.utils.files import write_text
from crystalicl_jobflow.utils.hashing import file_hash, text_hash
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.parallel import DIED, parallel_map
from crystalicl_jobflow.utils.versions import installed_versions

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

ID_COLUMNS = ("material_id", "id")
"""Columns that may hold a row's name; the first one present is used. Row numbers are added to a
name that several rows share."""

EXACT_SYMPREC = 0.01
"""Tighter tolerance (Å) at which the groups of crystals are compared, beside that of the texts."""

CACHE_VERSION = 3
"""Raised when what is kept of a crystal changes."""

_PACKAGES = ("crystalicl-jobflow", "moyopy", "pymatgen", "spglib")
"""Packages whose versions affect the crystals read from a file."""


@dataclass(frozen=True)
class TrainingCrystal:
    """A crystal of a training set.

    Parameters
    ----------
    demonstration
        Formula, group, properties and SGS text, as the pool holds them.
    crystal
        The analysed crystal, from which its texts are written in any format.
    exact_group
        Space group at `EXACT_SYMPREC`; None where only a text is known.
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
    """A row of a file, or a crystal of a folder, that could not be read, and why."""

    source: str
    row: int | str
    reason: str

    def __str__(self) -> str:
        place = f"row {self.row}" if isinstance(self.row, int) else self.row
        return f"{self.source} {place}: {self.reason}"


def training_crystal(
    structure: Structure | Atoms, *, name: str, source: str, properties: dict[str, float]
) -> TrainingCrystal:
    """Analyse a structure.

    Parameters
    ----------
    structure
        The crystal, in any cell; a structure or ASE atoms.
    name
        Its id; with the source unique.
    source
        Source of the crystal.
    properties
        Values of registered properties, in their units.

    Raises
    ------
    TextError
        If the crystal cannot be written as text.
    """
    structure = as_structure(structure)
    crystal = SGS.analyze(structure)
    exact = group_number(structure, EXACT_SYMPREC)
    composition = crystal_composition(structure)
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
        Folder that keeps the analysed crystals of each file as JSON; None for no cache. Entries
        made from other contents of the file or by other versions, or modified since, are made
        again.
    workers
        Number of processes for the analysis.
    limit
        Maximum number of rows of each file; None for all.

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
        if cache is None:
            found, lost = _read_file(path, workers=workers, limit=limit)
        else:
            kept = Path(cache) / f"{_stem(path)}.{limit or 'all'}.json"
            mark = {
                "version": CACHE_VERSION,
                "source_sha256": file_hash(path),
                "limit": limit,
                "versions": installed_versions(_PACKAGES),
            }
            known = _read_cache(kept, mark)
            if known is None:
                known = _read_file(path, workers=workers, limit=limit)
                _write_cache(kept, mark, *known)
            found, lost = known
        crystals += found
        skipped += lost
    return crystals, skipped


def _read_cache(
    path: Path, mark: Mapping[str, Any]
) -> tuple[list[TrainingCrystal], list[SkippedRow]] | None:
    """Return the contents of a cache; None if it is missing, damaged, or from another source."""
    try:
        head, body = path.read_text(encoding="utf-8").split("\n", 1)
        if json.loads(head) != {**mark, "sha256": text_hash(body)}:
            return None
        kept = _Cached.model_validate_json(body)
    except (OSError, ValueError):
        return None
    return kept.crystals, kept.skipped


def _write_cache(
    path: Path,
    mark: Mapping[str, Any],
    crystals: list[TrainingCrystal],
    skipped: list[SkippedRow],
) -> None:
    body = _Cached(crystals=crystals, skipped=skipped).model_dump_json()
    write_text(path, json.dumps({**mark, "sha256": text_hash(body)}) + "\n" + body)


class _Cached(BaseModel):
    """Contents of a cache for one file."""

    crystals: list[TrainingCrystal]
    skipped: list[SkippedRow]


def without_formulas(
    crystals: Sequence[TrainingCrystal], formulas: Iterable[str]
) -> list[TrainingCrystal]:
    """Return the crystals whose reduced formula is none of these."""
    held_out = set(formulas)
    return [crystal for crystal in crystals if crystal.demonstration.formula not in held_out]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _read_file(
    path: Path, *, workers: int, limit: int | None
) -> tuple[list[TrainingCrystal], list[SkippedRow]]:
    source = _stem(path)
    file = CsvFile(path)
    times = Counter(_name(row) for row in islice(file.rows(), limit))
    tasks = (
        (index, row, source, "" if times[_name(row)] == 1 else f"-{index}")
        for index, row in enumerate(islice(file.rows(), limit))
    )
    results = list(
        parallel_map(_analyse, tasks, processes=workers, batch_size=64, on_death=_lost_row)
    )
    crystals = [result for result in results if isinstance(result, TrainingCrystal)]
    return crystals, [result for result in results if isinstance(result, SkippedRow)]


def _name(row: CsvRow) -> str:
    """Return a row's own name; some data sets write the same name into every row."""
    return next((row.fields[column] for column in ID_COLUMNS if row.fields.get(column)), "")


def _lost_row(task: tuple[int, CsvRow, str, str]) -> SkippedRow:
    index, _, source, _ = task
    return SkippedRow(source, index, DIED)


def _analyse(task: tuple[int, CsvRow, str, str]) -> TrainingCrystal | SkippedRow:
    index, read, source, number = task
    if read.error is not None:
        return SkippedRow(source, index, read.error)
    row = read.fields
    if not row["cif"].strip():
        return SkippedRow(source, index, "the cif column is empty")
    name = f"{_name(read)}{number}".removeprefix("-") or str(index)
    try:
        return training_crystal(
            read_crystal(row["cif"]),
            name=name,
            source=source,
            properties=known_properties(row),
        )
    except ValueError as error:
        return SkippedRow(source, index, one_line(error))
    except Exception as error:  # a row that cannot be read is reported, the others are kept
        return SkippedRow(source, index, f"{type(error).__name__}: {error}")
