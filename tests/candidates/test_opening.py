"""What holds candidates is found from what a user names, and a search leaves it as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crystalicl_jobflow.candidates import (
    CandidateQuery,
    count_documents,
    find_documents,
    load_candidates,
    open_candidate_store,
    open_candidates,
)
from crystalicl_jobflow.stores import open_store, write_documents
from made_up import synthetic_documents

COUNT = 12


@pytest.fixture(scope="module")
def documents() -> list[dict]:
    return list(synthetic_documents(COUNT, seed=2))


def filled(path: Path, documents: list[dict]) -> Path:
    store = open_candidate_store(str(path))
    write_documents(store, documents)
    store.close()
    return path


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file and folder with its size and the time of its last change."""
    found = [folder, *folder.rglob("*")]
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in found
    }


@pytest.mark.parametrize("name", ["c.sqlite", "c.json", "c.json.gz", "c.db", "c.jsonl", "run"])
def test_a_search_leaves_files_and_their_times_as_they_are(
    tmp_path: Path, documents: list[dict], name: str
) -> None:
    source = tmp_path / name
    if name == "run":
        source.mkdir()
        filled(source / "candidates.sqlite", documents)
    elif name == "c.jsonl":
        stored = open_candidates(filled(tmp_path / "other.sqlite", documents))
        lines = [read_line(item) for item in find_documents(stored)]
        source.write_text("\n".join(lines))
    else:
        filled(source, documents)
    before = state(tmp_path)
    store = open_candidates(source)
    assert count_documents(store) == COUNT
    found = list(find_documents(store, CandidateQuery(valid=True), sort="energy_above_hull"))
    assert 0 < len(found) < COUNT
    assert len(load_candidates(source)) == COUNT
    store.close()
    assert state(tmp_path) == before


def read_line(document: dict) -> str:
    from crystalicl_jobflow.candidates import read_candidate

    return read_candidate(document).model_dump_json()


def test_what_a_writer_at_work_has_written_is_found(tmp_path: Path, documents: list[dict]) -> None:
    path = filled(tmp_path / "c.sqlite", documents[:4])
    reader = open_candidates(path)
    assert count_documents(reader) == 4
    writer = open_candidate_store(str(path))
    write_documents(writer, documents[4:8])
    assert count_documents(reader) == 8
    later = open_candidates(path)
    write_documents(writer, documents[8:])
    assert count_documents(later) == count_documents(reader) == COUNT
    with pytest.raises(ValueError, match="for reading only"):
        later.update(documents[:1])


KILLED = """
import os, signal, sys
from crystalicl_jobflow.candidates import open_candidate_store
from crystalicl_jobflow.stores import write_documents
from made_up import synthetic_documents
store = open_candidate_store(sys.argv[1])
write_documents(store, list(synthetic_documents(12, seed=2)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_found(tmp_path: Path, documents: list[dict]) -> None:
    path = tmp_path / "c.sqlite"
    folder = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, path], env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    kept = {name: (tmp_path / name).read_bytes() for name in ("c.sqlite", "c.sqlite-wal")}
    assert len(kept["c.sqlite-wal"]) > 0
    store = open_candidates(path)
    assert {item["candidate_id"] for item in find_documents(store)} == {
        item["candidate_id"] for item in documents
    }
    store.close()
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


def test_a_store_without_our_indexes_is_searched(tmp_path: Path, documents: list[dict]) -> None:
    bare = open_store(
        {"type": "SQLiteStore", "path": str(tmp_path / "old.sqlite")},
        "candidates",
        key="candidate_id",
    )
    write_documents(bare, documents)
    bare.close()
    found = open_candidates(tmp_path / "old.sqlite")
    expected = sum(bool(item["valid"]) for item in documents)
    assert count_documents(found, CandidateQuery(valid=True)) == expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.mkdir(), "holds no candidates"),
        (
            lambda path: (
                [path.mkdir()]
                + [(path / n).touch() for n in ("candidates.jsonl", "candidates.sqlite")]
            ),
            "holds candidates.jsonl and candidates.sqlite: name one of them",
        ),
        (
            lambda path: [path.mkdir(), (path / "store.yaml").touch()],
            "no candidates yet: crystalicl collect",
        ),
    ],
)
def test_a_folder_without_candidates_is_refused_and_left(tmp_path: Path, make, words: str) -> None:
    source = tmp_path / "run"
    make(source)
    before = state(tmp_path)
    for read in (open_candidates, load_candidates):
        with pytest.raises(ValueError, match=words):
            read(source)
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["pool.sqlite", "pool.db", "pool.json"])
def test_a_store_of_something_else_is_refused_and_left(tmp_path: Path, name: str) -> None:
    pool = open_store(str(tmp_path / name))
    write_documents(pool, [{"demonstration_id": "a"}])
    pool.close()
    before = state(tmp_path)
    with pytest.raises(ValueError, match=r"holds demonstrations|no field 'candidate_id'"):
        open_candidates(tmp_path / name)
    assert state(tmp_path) == before
