"""Where candidates lie: from what a user names to a store, or to the candidates themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeGuard

from maggma.core import Store

from crystalicl_jobflow.candidates.builder import store_candidates
from crystalicl_jobflow.candidates.files import CANDIDATES, read_candidates
from crystalicl_jobflow.candidates.indexes import CANDIDATE_INDEXES, CANDIDATE_KEY, ensure_indexes
from crystalicl_jobflow.candidates.query import query_candidates
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.stores import StoreSpec, open_store
from crystalicl_jobflow.stores.embedded import MONTY_MARK
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

COLLECTION = "candidates"
"""Name of the collection that holds the candidates."""

CANDIDATES_STORE = "candidates.sqlite"
"""Store of candidates in the folder of a run."""

JOB_STORE_FILE = "store.yaml"
"""Configuration of the job store in the folder of a local run."""

RUN_FILES = (CANDIDATES, CANDIDATES_STORE, "candidates.json", "candidates.json.gz", "candidates.db")
"""What holds the candidates in the folder of a run."""


def open_candidate_store(
    spec: StoreSpec, *, must_exist: bool = False, read_only: bool = False
) -> Store:
    """Open a store of candidates, in any form :func:`~crystalicl_jobflow.stores.open_store` takes.

    Parameters
    ----------
    spec
        Path, URI, configuration or store. ``FILE.sqlite`` is what to take without a server:
        it has indexes.
    must_exist
        Refuse a file or folder that does not exist instead of creating it.
    read_only
        Open for reading only: nothing is written, and what does not exist is refused.

    Raises
    ------
    ValueError
        If the spec is not understood; one line.
    """
    store = open_store(
        spec, COLLECTION, key=CANDIDATE_KEY, must_exist=must_exist, read_only=read_only
    )
    if isinstance(store, SQLiteStore) and not store.read_only:
        store.indexes = [list(fields) for fields in CANDIDATE_INDEXES]
        ensure_indexes(store)
    return store


def open_candidates(source: StoreSpec) -> Store:
    """Open candidates to be searched, whatever holds them; nothing is written.

    Parameters
    ----------
    source
        A store in any form :func:`~crystalicl_jobflow.stores.open_store` takes; a file of JSON
        lines; or the folder of a run that holds one of :data:`RUN_FILES`.

    Returns
    -------
    Store
        A connected store, opened for reading only. A file of JSON lines is read into memory.

    Raises
    ------
    ValueError
        If there is nothing of the kind; one line.
    """
    found = find_candidates(source)
    if not _is_json_lines(found):
        return open_candidate_store(found, read_only=True)
    store = open_candidate_store("memory:")
    written = datetime.fromtimestamp(found.stat().st_mtime, UTC)
    store_candidates(read_candidates(found), store, updated=written)
    return store


def load_candidates(source: StoreSpec) -> list[Candidate]:
    """Read all candidates, as the validation made them; nothing is written.

    Parameters
    ----------
    source
        As for :func:`open_candidates`.

    Returns
    -------
    list of Candidate
        A file's in its order, each as often as it is there; a store's one per id.

    Raises
    ------
    ValueError
        If there is nothing of the kind; one line.
    """
    found = find_candidates(source)
    if _is_json_lines(found):
        # not through a store: it would keep one of two equal draws, and lose the order
        return read_candidates(found)
    return query_candidates(open_candidate_store(found, read_only=True))


def find_candidates(source: StoreSpec) -> StoreSpec:
    """Return what holds the candidates that a user names, a folder of a run above all.

    Parameters
    ----------
    source
        As for :func:`open_candidates`.

    Returns
    -------
    str, Path or other spec
        The path of a file or of a store's folder; what is no path as it is given.

    Raises
    ------
    ValueError
        If a path does not exist, or a folder holds no candidates, or holds them twice; one line.
    """
    if not isinstance(source, str | Path) or "://" in str(source) or str(source).endswith(":"):
        return source
    path = Path(source).expanduser()
    if not path.exists():
        raise ValueError(f"{source} does not exist")
    if not path.is_dir() or (path / MONTY_MARK).is_file():
        return path
    found = [path / name for name in RUN_FILES if (path / name).exists()]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(item.name for item in found)
        raise ValueError(f"{source} holds {names}: name one of them")
    if (path / JOB_STORE_FILE).is_file():
        raise ValueError(
            f"{source} holds outputs of jobs, but no candidates yet: crystalicl collect"
            f" {path / JOB_STORE_FILE} --store {path / CANDIDATES_STORE}"
        )
    raise ValueError(f"{source} holds no candidates: none of {', '.join(RUN_FILES)} is in it")


def _is_json_lines(source: StoreSpec) -> TypeGuard[Path]:
    return isinstance(source, Path) and source.name.endswith(".jsonl")
