"""The pool of demonstrations that a command retrieves from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystalicl_jobflow.cli._common import stages

if TYPE_CHECKING:
    from crystalicl_jobflow.retrieval import DemonstrationIndex


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
    from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool
    from crystalicl_jobflow.retrieval.embedded import PROTOTYPES, open_embedded_pool
    from crystalicl_jobflow.stores import open_store

    fingerprints = "F" in strategy
    if spec is None or spec == PROTOTYPES:
        with stages() as report:
            store = open_embedded_pool(fingerprints=fingerprints, progress=report)
    elif _is_source(spec):
        store = open_store("memory:")
        with stages() as report:
            fill_pool(spec, store, fingerprints=fingerprints, progress=report)
    else:
        store = open_store(spec, must_exist=True)
    index = DemonstrationIndex.from_store(store)
    if not len(index):
        raise ValueError(f"the pool {spec} holds no demonstration")
    return index


def _is_source(spec: str) -> bool:
    """Whether this names crystals to be read rather than a store that holds a pool."""
    path = Path(spec)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return True
    return path.is_dir() and any(path.glob("*.cif"))
