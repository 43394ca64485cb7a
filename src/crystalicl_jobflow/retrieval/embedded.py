"""The embedded pool: the prototypes inside pymatgen, built once into the user's cache."""

from __future__ import annotations

from maggma.core import Store

from crystalicl_jobflow.retrieval.pool import Progress, compute_fingerprints, fill_pool
from crystalicl_jobflow.settings import cache_folder
from crystalicl_jobflow.stores import open_store

PROTOTYPES = "prototypes"
"""Name of the embedded pool: the AFLOW prototypes inside pymatgen."""


def open_embedded_pool(*, fingerprints: bool = False, progress: Progress | None = None) -> Store:
    """Open the pool of prototypes in the cache folder, building what is missing.

    Parameters
    ----------
    fingerprints
        Whether the strategies F and CF are going to be used; computing the fingerprints
        takes longer than all the rest.
    progress
        Called as the work goes on.

    Returns
    -------
    Store
        A connected store of demonstrations.
    """
    store = open_store(str(cache_folder() / f"{PROTOTYPES}.json"))
    if not store.count():
        fill_pool(PROTOTYPES, store, fingerprints=False, progress=progress)
    # one crystal or another has none; where most lack it, nobody has computed them
    if fingerprints and store.count({"fingerprint": None}) > store.count() // 2:
        compute_fingerprints(store, progress=progress)
    return store
