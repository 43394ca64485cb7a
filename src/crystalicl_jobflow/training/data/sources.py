"""Training crystals from any source: CSV files, pool stores, folders of CIF files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from crystalicl_jobflow.crystal.given import is_crystal
from crystalicl_jobflow.crystal.structure_documents import structure_from_dict
from crystalicl_jobflow.datasets.sources import names_files
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.stores import StoreSpec, open_store
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training.data.crystals import (
    SkippedRow,
    TrainingCrystal,
    read_training_crystals,
)
from crystalicl_jobflow.utils.parallel import DIED, parallel_map

_FIELDS = tuple(Demonstration.model_fields)


@dataclass(frozen=True)
class TrainingData:
    """Crystals of one or several sources.

    Parameters
    ----------
    crystals
        In the order of the sources and their rows; ids are unique.
    skipped
        Rows and documents that could not be read, with reasons.
    """

    crystals: list[TrainingCrystal]
    skipped: list[SkippedRow]

    @property
    def num_fingerprints(self) -> int:
        """Number of crystals with a CrystalNN fingerprint."""
        return sum(item.demonstration.fingerprint is not None for item in self.crystals)


class ReadingOptions(TypedDict, total=False):
    """How crystals are read, for :func:`read_training_data`; what is left out has its default."""

    cache: str | Path | None
    workers: int
    limit: int | None
    max_orbits: int | None


def read_training_data(
    data: Sequence[Any],
    *,
    cache: str | Path | None = None,
    workers: int = 1,
    limit: int | None = None,
    max_orbits: int | None = None,
) -> TrainingData:
    """Read crystals from CSV files, pools, and the sources of pools.

    Parameters
    ----------
    data
        CSV files with a column ``cif``, gzipped or not; stores that hold a pool
        (`crystalicl_jobflow.stores.open_store`), whose fingerprints come with it;
        'prototypes'; CIF files, POSCARs and folders of them; structures and ASE atoms.
    cache
        As in `read_training_crystals`, for the CSV files.
    workers
        Processes that analyse.
    limit
        Maximum number of crystals of each source; None for all.
    max_orbits
        Crystals with more Wyckoff orbits are left out; None for no limit.

    Raises
    ------
    ValueError
        If a source cannot be opened, none holds a crystal, or an id occurs twice; one line.
    """
    crystals: list[TrainingCrystal] = []
    skipped: list[SkippedRow] = []
    given = [item for item in data if is_crystal(item)]
    sources = [item for item in data if not is_crystal(item)]
    for spec in [*([given] if given else []), *sources]:
        if isinstance(spec, str | Path) and str(spec).lower().endswith((".csv", ".csv.gz")):
            found, lost = read_training_crystals([spec], cache=cache, workers=workers, limit=limit)
        else:
            pool, unread = _open(spec)
            skipped += unread
            try:
                found, lost = read_pool(pool, workers=workers, limit=limit)
            except ValueError:
                if not unread:
                    raise
                found, lost = [], []
        crystals += found
        skipped += lost
    read = len(crystals)
    if max_orbits is not None:
        crystals = [crystal for crystal in crystals if crystal.num_orbits <= max_orbits]
    if not crystals:
        raise ValueError(_nothing_left(data, skipped, max_orbits if read else None))
    seen: set[str] = set()
    for crystal in crystals:
        name = crystal.demonstration.demonstration_id
        if name in seen:
            raise ValueError(f"crystal {name} comes twice; name each source once")
        seen.add(name)
    return TrainingData(crystals, skipped)


def _nothing_left(
    data: Sequence[Any], skipped: Sequence[SkippedRow], max_orbits: int | None
) -> str:
    """Say why sources have no crystal to learn from."""
    names = ", ".join(dict.fromkeys(map(_source_name, data)))
    words = f"{names}: no crystal is left to learn from"
    if max_orbits is not None:
        return f"{words}: all have more than {max_orbits} Wyckoff orbits"
    if not skipped:
        return f"{words}: there is none"
    return f"{words}: {len(skipped)} could not be read; {skipped[0]}"


def _source_name(spec: Any) -> str:
    if isinstance(spec, str | Path):
        return str(spec)
    return "the crystals given" if is_crystal(spec) or isinstance(spec, list) else "the store"


def _open(spec: Any) -> tuple[StoreSpec, list[SkippedRow]]:
    """Return the named pool, or one in memory of the named crystals and what it lacks."""
    from crystalicl_jobflow.retrieval.opening import PROTOTYPES, open_embedded_pool

    if isinstance(spec, str | Path) and str(spec) == PROTOTYPES:
        return open_embedded_pool(), []
    at_hand = isinstance(spec, list | tuple)
    if not at_hand and not (isinstance(spec, str | Path) and names_files(spec)):
        return spec, []
    from crystalicl_jobflow.retrieval.pool import fill_pool

    store = open_store("memory:")
    report = fill_pool(spec, store, fingerprints=False, processes=1)
    source = "given" if at_hand else str(spec)
    return store, [SkippedRow(source, name, reason) for name, reason in report.failed]


def read_pool(
    pool: StoreSpec, *, workers: int = 1, limit: int | None = None
) -> tuple[list[TrainingCrystal], list[SkippedRow]]:
    """Read the crystals of a pool, in the order of their ids.

    Parameters
    ----------
    pool
        A store of demonstrations, see `crystalicl_jobflow.stores.open_store`.
    workers
        Processes that analyse.
    limit
        Maximum number of crystals.

    Returns
    -------
    crystals, skipped
        Demonstrations keep their ids, properties and fingerprints.

    Raises
    ------
    ValueError
        If the store does not exist, cannot be opened or holds no demonstration; one line.
    """
    store = open_store(pool, must_exist=True)
    fields = [*_FIELDS, store.key]
    documents: Sequence[dict[str, Any]] = sorted(
        store.query({"text": {"$exists": True}}, properties=fields),
        key=lambda document: str(document.get("demonstration_id")),
    )[:limit]
    if not documents:
        raise ValueError(f"the pool {pool} holds no demonstration")
    results = list(
        parallel_map(
            _from_document, documents, processes=workers, batch_size=64, on_death=lambda _: DIED
        )
    )
    crystals = [item for item in results if isinstance(item, TrainingCrystal)]
    reasons = ((row, item) for row, item in enumerate(results) if isinstance(item, str))
    return crystals, [SkippedRow(str(pool), row, reason) for row, reason in reasons]


def _from_document(document: Mapping[str, Any]) -> TrainingCrystal | str:

    try:
        fields = {name: document[name] for name in _FIELDS if name in document}
        structure = fields.pop("structure", None)
        demonstration = Demonstration.model_validate(fields)
        crystal = (
            SGS.decode(demonstration.text) if structure is None else structure_from_dict(structure)
        )
        return TrainingCrystal(demonstration, SGS.analyze(crystal, demonstration.symprec))
    except Exception as error:  # a document that cannot be read is reported, the others are kept
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
