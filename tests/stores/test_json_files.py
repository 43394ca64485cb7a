"""Two processes with one JSON store: nothing that either wrote is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import maggma.stores
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.stores import (
    connect_store,
    load_job_store,
    open_store,
    remove_documents,
    write_documents,
)


def document(name: str, value: int = 0) -> dict[str, object]:
    return {"demonstration_id": name, "value": value}


def stored(path: Path) -> dict[str, int]:
    documents = json.loads(path.read_text())
    assert len({item["demonstration_id"] for item in documents}) == len(documents)
    return {item["demonstration_id"]: item["value"] for item in documents}


def test_what_another_added_stays(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    first, second = open_store(path), open_store(path)
    write_documents(first, [document("a")])
    write_documents(second, [document("b")])
    write_documents(first, [document("c")])
    assert stored(path) == {"a": 0, "b": 0, "c": 0}
    # and is known to the one that wrote last
    assert sorted(first.distinct("demonstration_id")) == ["a", "b", "c"]


def test_what_another_changed_or_removed_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    write_documents(open_store(path), [document(name) for name in "abcd"])
    first, second = open_store(path), open_store(path)
    write_documents(second, [document("a", 1)], existing={"a"})
    remove_documents(second, ["b"])
    write_documents(first, [document("c", 2)], existing={"c"})
    assert stored(path) == {"a": 1, "c": 2, "d": 0}
    remove_documents(first, ["d"])
    assert stored(path) == {"a": 1, "c": 2}
    assert {item["demonstration_id"]: item["value"] for item in first.query()} == stored(path)


def test_of_two_changes_to_one_document_the_later_wins(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    write_documents(open_store(path), [document("a"), document("b")])
    first, second = open_store(path), open_store(path)
    write_documents(first, [document("a", 1)], existing={"a"})
    write_documents(second, [document("a", 2)], existing={"a"})
    assert stored(path) == {"a": 2, "b": 0}
    # one removes what the other has changed meanwhile: the change stays
    write_documents(first, [document("b", 3)], existing={"b"})
    remove_documents(second, ["b"])
    assert stored(path) == {"a": 2, "b": 3}


CHANGES = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["put", "remove"]), st.sampled_from("abc")),
    max_size=8,
)


@given(CHANGES)
def test_writers_in_turn_end_as_one_writer_would(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[bool, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("pool") / "pool.json"
    stores = [open_store(path), open_store(path)]
    expected: dict[str, int] = {}
    for number, (which, what, name) in enumerate(changes, start=1):
        store = stores[which]
        # a writer sees the file as it last read or wrote it
        write_documents(store, [])
        store.update_json_file()
        if what == "put":
            known = {name} & set(store.distinct("demonstration_id"))
            write_documents(store, [document(name, number)], existing=known)
            expected[name] = number
        else:
            remove_documents(store, [name])
            expected.pop(name, None)
        assert stored(path) == expected


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    code = (
        "import sys; from crystalicl_jobflow.stores import open_store, write_documents\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(15):\n"
        "    write_documents(store, [{'demonstration_id': f'{sys.argv[2]}{n}', 'value': n}])\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    assert stored(path) == {f"{name}{n}": n for name in "ab" for n in range(15)}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_became_something_else_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    store = open_store(path)
    path.write_text("{half of")
    with pytest.raises(ValueError, match=r"pool\.json is not a list of JSON documents"):
        write_documents(store, [document("a")])
    assert path.read_text() == "{half of"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a list of JSON documents"),
        ("3", "document 0 has no field"),
        ('[{"demonstration_id": ["a"]}]', "document 0: demonstration_id is no plain value"),
        ('[{"demonstration_id": "a", "last_updated": "soon"}]', "document 0: the time"),
        ('[{"demonstration_id": "a", "last_updated": {"a": 1}}]', "document 0: the time"),
    ],
)
def test_a_broken_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        open_store(path)
    assert str(path) in str(error.value)


def test_ids_and_times_as_mongodb_exports_them(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_text(
        '[{"_id": {"$oid": "65f1c0ffee65f1c0ffee65f1"}, "demonstration_id": "a",'
        ' "other": {"$oid": "b"},'
        ' "last_updated": {"$date": "2026-01-02T03:04:05Z"}}]'
    )
    (found,) = open_store(path).query()
    assert (found["last_updated"].year, found["other"]) == (2026, "b")


def test_a_job_stores_file_is_written_in_one_step_too(tmp_path: Path) -> None:
    spec = {"docs_store": {"type": "JSONStore", "paths": str(tmp_path / "jobs.json")}}
    first, second = load_job_store(spec), load_job_store(spec)
    first.connect()
    second.connect()
    first.update({"uuid": "a", "index": 1, "output": 1})
    second.update({"uuid": "b", "index": 1, "output": 2})
    assert len(json.loads((tmp_path / "jobs.json").read_text())) == 2


def test_a_store_of_maggmas_own_class_keeps_them_as_well(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_text("[]")
    stores = [
        maggma.stores.JSONStore(str(path), key="demonstration_id", read_only=False)
        for _ in range(2)
    ]
    for store, name in zip(stores, "ab", strict=True):
        connect_store(store)
        write_documents(store, [document(name)])
    assert stored(path) == {"a": 0, "b": 0}
