"""The pool of demonstrations that a command retrieves from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystalicl_jobflow.cli._common import cache_folder, note, stages

if TYPE_CHECKING:
    from crystalicl_jobflow.retrieval import DemonstrationIndex

DEFAULT_POOL = "prototypes"
"""The source of the pool that is used where the user names none."""


def open_pool(spec: str | None) -> DemonstrationIndex:
    """Open the pool that the user names, or the prototypes, built once into the cache.

    Parameters
    ----------
    spec
        A store that holds a pool; a source of crystals (a CSV or a folder of CIFs), which
        is read into memory; or None for the prototypes that ship with pymatgen.

    Raises
    ------
    ValueError
        If it is neither, or holds no demonstration.
    """
    from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool
    from crystalicl_jobflow.stores import open_store

    if spec is None or spec == DEFAULT_POOL:
        path = cache_folder() / f"{DEFAULT_POOL}.json"
        store = open_store(str(path))
        if not store.count():
            note(f"Building the pool of prototypes, once, into {path}")
            with stages() as report:
                fill_pool(DEFAULT_POOL, store, progress=report)
        return DemonstrationIndex.from_store(store)
    if _is_source(spec):
        store = open_store("memory:")
        with stages() as report:
            fill_pool(spec, store, fingerprints=False, progress=report)
        return DemonstrationIndex.from_store(store)
    return DemonstrationIndex.from_store(open_store(spec, must_exist=True))


def _is_source(spec: str) -> bool:
    """Whether this names crystals to be read rather than a store that holds a pool."""
    path = Path(spec)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return True
    return path.is_dir() and any(path.glob("*.cif"))
