"""The pool of demonstrations that a command retrieves from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystalicl_jobflow.cli._common import cache_folder, note, stages

if TYPE_CHECKING:
    from crystalicl_jobflow.retrieval import DemonstrationIndex

DEFAULT_POOL = "prototypes"
"""The source of the pool that is used where the user names none."""


def open_pool(spec: str | None, *, strategy: str = "C") -> DemonstrationIndex:
    """Open the pool that the user names, or the prototypes, built once into the cache.

    Parameters
    ----------
    spec
        A store that holds a pool; a source of crystals (a CSV or a folder of CIFs), which
        is read into memory; or None for the prototypes that ship with pymatgen.
    strategy
        How demonstrations will be chosen: by structure needs fingerprints, which are
        computed now where the pool is ours to fill and has none.

    Raises
    ------
    ValueError
        If it is neither, or holds no demonstration.
    """
    from crystalicl_jobflow.retrieval import DemonstrationIndex, compute_fingerprints, fill_pool
    from crystalicl_jobflow.stores import open_store

    fingerprints = "F" in strategy
    if spec is None or spec == DEFAULT_POOL:
        store = open_store(str(cache_folder() / f"{DEFAULT_POOL}.json"))
        if not store.count():
            note("Building the pool of prototypes, once")
            with stages() as report:
                fill_pool(DEFAULT_POOL, store, fingerprints=False, progress=report)
        index = DemonstrationIndex.from_store(store)
        if fingerprints and not index.num_fingerprints:
            note(f"Strategy {strategy} compares structures: computing fingerprints, once")
            with stages() as report:
                compute_fingerprints(store, progress=report)
            index = DemonstrationIndex.from_store(store)
    elif _is_source(spec):
        store = open_store("memory:")
        with stages() as report:
            fill_pool(spec, store, fingerprints=fingerprints, progress=report)
        index = DemonstrationIndex.from_store(store)
    else:
        index = DemonstrationIndex.from_store(open_store(spec, must_exist=True))
    if not len(index):
        raise ValueError(f"the pool {spec} holds no demonstration")
    return index


def _is_source(spec: str) -> bool:
    """Whether this names crystals to be read rather than a store that holds a pool."""
    path = Path(spec)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return True
    return path.is_dir() and any(path.glob("*.cif"))
