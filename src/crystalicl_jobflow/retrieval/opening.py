"""The pool that a user names, whatever form it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from maggma.core import Store

from crystalicl_jobflow.datasets.sources import names_files
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.pool import compute_fingerprints, fill_pool
from crystalicl_jobflow.settings import made_cache_folder
from crystalicl_jobflow.stores import StoreSpec, open_store
from crystalicl_jobflow.utils.progress import StageProgress

PROTOTYPES = "prototypes"
"""Name of the embedded pool: the AFLOW prototypes inside pymatgen."""


def open_pool(
    spec: StoreSpec | Sequence[Any] | DemonstrationIndex | None = None,
    strategy: str = "C",
    *,
    progress: StageProgress | None = None,
) -> DemonstrationIndex:
    """Open a pool of demonstrations to choose from.

    Parameters
    ----------
    spec
        A store that holds a pool; a source of crystals (a CSV, a folder of CIFs and POSCARs, a
        list of structures or ASE atoms), which is read into memory; an opened pool, taken as it
        is; or None for the prototypes that ship with pymatgen, built once into the cache.
    strategy
        How demonstrations will be chosen: by structure needs fingerprints, which are
        computed now where the pool is ours to fill and has none.
    progress
        Called with (what, done, total) while a pool is filled.

    Raises
    ------
    ValueError
        If it is neither, or holds no demonstration; one line.
    """
    if isinstance(spec, DemonstrationIndex):
        return spec
    fingerprints = "F" in strategy
    if spec is None or spec == PROTOTYPES:
        store = open_embedded_pool(fingerprints=fingerprints, progress=progress)
    elif isinstance(spec, list | tuple) or (isinstance(spec, str | Path) and names_files(spec)):
        store = open_store("memory:")
        fill_pool(spec, store, fingerprints=fingerprints, progress=progress)
    else:
        store = open_store(cast("StoreSpec", spec), must_exist=True)
    index = DemonstrationIndex.from_store(store)
    if not len(index):
        what = spec if isinstance(spec, str | Path) else index.label
        raise ValueError(f"the pool {what} holds no demonstration")
    return index


def open_embedded_pool(
    *, fingerprints: bool = False, progress: StageProgress | None = None
) -> Store:
    """Open the pool of prototypes in the cache folder, building what is missing.

    Parameters
    ----------
    fingerprints
        Whether the strategies F and CF are going to be used; computing the fingerprints
        takes longer than all the rest.
    progress
        Called as crystals are done.

    Returns
    -------
    Store
        A connected store of demonstrations.
    """
    store = open_store(str(made_cache_folder() / f"{PROTOTYPES}.json"))
    if not store.count():
        fill_pool(PROTOTYPES, store, fingerprints=False, progress=progress)
    # one crystal or another has none; where most lack it, nobody has computed them
    if fingerprints and store.count({"fingerprint": None}) > store.count() // 2:
        compute_fingerprints(store, progress=progress)
    return store
