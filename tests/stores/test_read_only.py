"""A store that is only read stays as it is, and says what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from maggma.core import Store

from crystalicl_jobflow.stores import open_store, remove_documents, write_documents

NAMES = ["pool.sqlite", "pool.json", "pool.json.gz", "pool.db"]


def documents(*names: str) -> list[dict[str, object]]:
    return [{"demonstration_id": name, "value": 1} for name in names]


def filled(path: Path, *names: str) -> Store:
    store = open_store(path)
    write_documents(store, documents(*names))
    return store


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Return the files below a folder with the times of their last change."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_reading_leaves_no_trace(name: str, tmp_path: Path) -> None:
    filled(tmp_path / name, "a", "b").close()
    before = contents(tmp_path)
    store = open_store(tmp_path / name, read_only=True)
    assert sorted(store.distinct("demonstration_id")) == ["a", "b"]
    if name == "pool.sqlite":
        for change in (store.update, store.remove_docs):
            with pytest.raises(ValueError, match="for reading only"):
                change({"demonstration_id": "c"})
    else:  # what is changed here is changed in this process only
        write_documents(store, documents("c"))
        remove_documents(store, ["a"])
        assert sorted(store.distinct("demonstration_id")) == ["b", "c"]
    store.close()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_named_and_not_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{name} does not exist"):
        open_store(tmp_path / name, read_only=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["pool.sqlite", "pool.db"])
def test_another_collection_is_missing_too(name: str, tmp_path: Path) -> None:
    filled(tmp_path / name, "a").close()
    with pytest.raises(ValueError, match=r"no collection 'others'; it holds demonstrations$"):
        open_store(tmp_path / name, "others", read_only=True)


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is no MontyDB database$"):
        open_store(tmp_path, read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["pool.json", "pool.json.gz", "pool.db"])
def test_a_copy_is_read_once_and_again_when_that_is_asked(name: str, tmp_path: Path) -> None:
    filled(tmp_path / name, "a").close()
    reader = open_store(tmp_path / name, read_only=True)
    filled(tmp_path / name, "b").close()
    reader.connect()
    assert reader.distinct("demonstration_id") == ["a"]
    reader.connect(force_reset=True)
    assert sorted(reader.distinct("demonstration_id")) == ["a", "b"]


def test_an_sqlite_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "pool.sqlite"
    filled(path, "a").close()
    reader = open_store(path, read_only=True)
    assert reader.count() == 1
    writer = filled(path, "b")
    assert reader.count() == 2
    writer.close()
    assert open_store(path, read_only=True).count() == 2
