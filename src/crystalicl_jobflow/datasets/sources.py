"""Where demonstrations come from: prototypes, CSV and CIF files, stores, Materials Project."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from maggma.core import Store

from crystalicl_jobflow.datasets.csv_rows import CsvFile, CsvRow
from crystalicl_jobflow.datasets.files import (
    crystal_file_kind,
    crystal_name,
    read_file,
    read_text_file,
)
from crystalicl_jobflow.datasets.given import GivenSource
from crystalicl_jobflow.datasets.materials_project import MaterialsProjectSource, parse_criteria
from crystalicl_jobflow.datasets.records import Record, known_properties, naive_utc
from crystalicl_jobflow.schemas import PROPERTIES
from crystalicl_jobflow.stores import open_store, store_label

_ID_COLUMNS = ("material_id", "id", "demonstration_id", "task_id")
_STRUCTURE_FIELDS = ("structure", "output.structure")
_FORMS = (
    "'prototypes', a .csv or .csv.gz file with a 'cif' column, a .cif file or a folder of them"
    " (POSCAR and ASE's formats too), 'mp:' or 'mp:chemsys=Ca-O-Ti', or a maggma store"
)


@runtime_checkable
class Source(Protocol):
    """Anything that yields records and says where they come from."""

    name: str

    def records(self) -> Iterator[Record]:
        """Yield the records; one that cannot be read carries its error."""
        ...

    def total(self) -> int | None:
        """Return how many there are, or None where counting would cost a pass."""
        ...


def open_source(spec: str | Path | Mapping[str, Any] | Store | Source | Sequence[Any]) -> Source:
    """Open the source that a user names.

    Parameters
    ----------
    spec
        ``prototypes``: the AFLOW prototypes within pymatgen; a ``.csv`` or ``.csv.gz``
        with a ``cif`` column; a ``.cif`` or another file with one crystal (see
        :func:`crystalicl_jobflow.datasets.files.read_file`), or a folder of them; ``mp:``
        with search criteria (``mp:chemsys=Ca-O-Ti&is_stable=true``) for the Materials Project; any
        maggma store (see :func:`crystalicl_jobflow.stores.open_store`) whose documents
        hold a ``structure``; a list of structures or ASE atoms; or a source, taken as it is.

    Raises
    ------
    ValueError
        If it is none of these or does not exist; one line.
    """
    if isinstance(spec, Store):
        return StoreSource(spec)
    if isinstance(spec, Mapping):
        return StoreSource(_source_store(spec))
    if not isinstance(spec, str | Path):
        if isinstance(spec, Source):
            return spec
        if isinstance(spec, list | tuple):
            return GivenSource(spec)
        raise ValueError(f"a source cannot be opened from {type(spec).__name__}; give {_FORMS}")
    text = str(spec).strip()
    if text == "prototypes":
        return PrototypeSource()
    if text == "mp" or text.startswith("mp:"):
        return MaterialsProjectSource(parse_criteria(text.removeprefix("mp").removeprefix(":")))
    return _file_source(text) or StoreSource(_named_store(text))


def names_files(spec: str | Path) -> bool:
    """Return whether this names crystals in files (a CSV, a folder or one file), not a store."""
    text = str(spec)
    if "://" in text:
        return False
    path = Path(text).expanduser()
    if path.is_dir():
        return not (path / ".monty.storage").exists()
    # JSON files are stores, even where a structure could be in one
    return _is_csv(path) or crystal_file_kind(path) not in (None, "json")


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _file_source(text: str) -> Source | None:
    """Return the files that a text names; None where it names a store."""
    if not names_files(text):
        return None
    path = Path(text).expanduser()
    if not path.exists():
        raise ValueError(f"source {text} does not exist")
    return CsvSource(path) if _is_csv(path) and path.is_file() else CrystalFolderSource(path)


def _named_store(text: str) -> Store:
    try:
        return _source_store(text)
    except ValueError as error:
        if "not understood" in str(error):
            raise ValueError(f"source {text!r} is not understood; give {_FORMS}") from None
        raise


def _source_store(spec: str | Mapping[str, Any]) -> Store:
    """Open a database's crystals; where it has none under that name, those of the pool in it."""
    try:
        store = open_store(spec, "structures", key="material_id", must_exist=True)
    except ValueError:
        pool = _pool_in(spec)
        if pool is None:
            raise
        return pool
    if store.query_one({}, [store.key]) is not None:
        return store
    pool = _pool_in(spec)
    return store if pool is None else pool


def _pool_in(spec: str | Mapping[str, Any]) -> Store | None:
    """Open the pool of demonstrations in a database; None where it has none."""
    try:
        pool = open_store(spec, must_exist=True)
    except ValueError:
        return None
    return None if pool.query_one({}, [pool.key]) is None else pool


class PrototypeSource:
    """The AFLOW prototypes that ship within pymatgen: real crystals on every machine."""

    name = "prototypes"

    def total(self) -> int:
        """Return the number of prototypes."""
        return len(self._library())

    def records(self) -> Iterator[Record]:
        """Yield the prototypes; the AFLOW label is the id, numbered where it repeats."""
        seen: Counter[str] = Counter()
        for entry in self._library():
            label = f"aflow-{entry['tags']['aflow']}"
            seen[label] += 1
            number = seen[label]
            crystal = entry["snl"]
            if not isinstance(crystal, Mapping):
                crystal = crystal.structure
            yield Record(label if number == 1 else f"{label}-{number}", crystal)

    @staticmethod
    def _library() -> list[dict[str, Any]]:
        # the file itself: through pymatgen's module every prototype's literature reference
        # is parsed with it, which takes ten times as long as everything else here
        package = find_spec("pymatgen.analysis")
        for folder in (package.submodule_search_locations or ()) if package else ():
            path = Path(folder) / "prototypes" / "aflow_prototypes.json.gz"
            if path.is_file():
                return cast("list[dict[str, Any]]", json.loads(gzip.decompress(path.read_bytes())))
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

        return cast("list[dict[str, Any]]", AFLOW_PROTOTYPE_LIBRARY)


class CsvSource:
    """A CSV file, gzipped or not, with a ``cif`` column and property columns.

    Ids come from ``material_id`` (or ``id``); plain numbers get the file's name before
    them, so that several files fit into one pool, and an id of several rows gets their
    numbers behind it. Columns of known properties are taken
    under any of their names.

    Raises
    ------
    ValueError
        If there is no ``cif`` column.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name.removesuffix(".gz").removesuffix(".csv")
        try:
            self.file = CsvFile(self.path)
        except ValueError as error:
            raise ValueError(f"source {error}") from None
        self.columns = self.file.columns

    def total(self) -> int:
        """Return the number of rows."""
        return self._times.total()

    @cached_property
    def _times(self) -> Counter[str]:
        """How often each id occurs; the whole file is read for it once."""
        return Counter(map(self._own_id, self.file.rows()))

    def _own_id(self, row: CsvRow) -> str:
        column = next((name for name in _ID_COLUMNS if name in self.columns), None)
        return (row.fields.get(column) or "").strip() if column else ""

    def records(self) -> Iterator[Record]:
        """Yield a record per row; one for each broken row, too."""
        for index, row in enumerate(self.file.rows()):
            own = self._own_id(row)
            if not own or own.startswith("row-"):
                record_id = f"{self.name}-{own or f'row-{index}'}"
            elif self._times[own] > 1:
                record_id = f"{self.name}-{own}-{index}"
            else:
                record_id = own if own[0].isalpha() and "-" in own else f"{self.name}-{own}"
            cif = (row.fields.get("cif") or "").strip()
            error = row.error or (None if cif else "the cif column is empty")
            yield Record(record_id, cif or None, known_properties(row.fields), error)


class CrystalFolderSource:
    """A folder of files with a crystal each, searched through its subfolders, or one file.

    CIF, magnetic CIF, POSCAR and CONTCAR, and ASE's formats by their names' endings, gzipped
    or not; other files are passed over.

    Raises
    ------
    ValueError
        If the folder holds none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self.folder = self.path
            # JSON files in a folder of crystals are as a rule something else
            self.files = sorted(
                file
                for file in self.path.rglob("*")
                if crystal_file_kind(file) not in (None, "json") and file.is_file()
            )
        else:
            self.folder, self.files = self.path.parent, [self.path]
        self.name = crystal_name(self.path.resolve())
        if not self.files:
            raise ValueError(
                f"source {self.path} holds no .cif file, POSCAR or other file with a crystal"
            )

    def total(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def records(self) -> Iterator[Record]:
        """Yield a record per file; its path within the folder is the id.

        The ending that says the format is left out, unless two files then have the same id.
        """
        names = [self._name(file) for file in self.files]
        twice = {name for name, number in Counter(names).items() if number > 1}
        for file, name in zip(self.files, names, strict=True):
            record_id = file.relative_to(self.folder).as_posix() if name in twice else name
            try:
                if crystal_file_kind(file) == "cif":
                    yield Record(record_id, read_text_file(file))
                    continue
                read = read_file(file)
            except ValueError as error:
                yield Record(record_id, None, error=f"{file}: {error}")
                continue
            yield Record(record_id, read.structure, remarks=read.remarks)

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).with_name(crystal_name(file)).as_posix()


class StoreSource:
    """A maggma store whose documents hold a ``structure`` (or ``output.structure``).

    Properties are read from the document's fields under any of their names.

    Parameters
    ----------
    store
        Connected or not.
    criteria
        Query that limits the documents.
    """

    def __init__(self, store: Store, criteria: Mapping[str, Any] | None = None) -> None:
        from crystalicl_jobflow.stores import connect_store

        self.store = store
        self.criteria = dict(criteria or {})
        connect_store(store)
        self.name = store_label(store)

    def total(self) -> int:
        """Return the number of documents."""
        return int(self.store.count(self.criteria))

    def records(self) -> Iterator[Record]:
        """Yield a record per document; the store's key is the id."""
        names = {name for spec in PROPERTIES.values() for name in (spec.name, *spec.aliases)}
        fields = [
            self.store.key, self.store.last_updated_field, "material_id", "state",
            *_STRUCTURE_FIELDS, *(f"{prefix}{name}" for prefix in ("", "output.")
            for name in sorted(names)), "properties",
        ]  # fmt: skip
        for document in self.store.query(self.criteria, properties=list(dict.fromkeys(fields))):
            if document.get("state") == "failed":
                continue
            yield self.record(document)

    def record(self, document: Mapping[str, Any]) -> Record:
        """Return the record of one document."""
        output = document.get("output")
        output = output if isinstance(output, Mapping) else {}
        crystal = document.get("structure") or output.get("structure")
        nested = document.get("properties")
        fields = {**output, **(nested if isinstance(nested, Mapping) else {}), **document}
        record_id = document.get(self.store.key) or document.get("material_id")
        error = None if crystal else "the document holds no structure"
        if record_id is None:
            error = f"the document has no field {self.store.key!r}"
        return Record(
            str(record_id),
            crystal,
            known_properties(fields),
            error,
            self.updated(document),
        )

    def updated(self, document: Mapping[str, Any]) -> datetime | None:
        """Return when a document was last updated, in UTC without zone, or None."""
        value = document.get(self.store.last_updated_field)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        return naive_utc(value) if isinstance(value, datetime) else None
