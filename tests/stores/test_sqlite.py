"""The store in one SQLite file answers as MongoDB's language has it, from its indexes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maggma.core import StoreError
from maggma.stores import MemoryStore

from crystalicl_jobflow.stores import open_store
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

INDEXES = [("size",), ("colour", "size"), ("tags", "size"), ("box.depth",), ("good",), ("when",)]

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)
OPTIONAL = {
    "size": st.one_of(st.none(), st.integers(-3, 3), st.floats(-3, 3)),
    "colour": st.sampled_from(["red", "green", "blue", ""]),
    "tags": st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
    "box": st.fixed_dictionaries({"depth": st.integers(0, 3)}),
    "good": st.booleans(),
    "when": TIMES,
    "plain": st.integers(0, 3),
}
DOCUMENTS = st.lists(st.fixed_dictionaries({}, optional=OPTIONAL), max_size=12)

NUMBERS = st.one_of(st.integers(-3, 3), st.floats(-3, 3))
TERMS = st.one_of(
    st.builds(lambda v: {"size": v}, st.one_of(st.none(), NUMBERS)),
    st.builds(lambda op, v: {"size": {op: v}}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
              NUMBERS),
    st.builds(lambda a, b: {"size": {"$gte": a, "$lt": b}}, NUMBERS, NUMBERS),
    st.builds(lambda op, v: {"colour": {op: v}}, st.sampled_from(["$in", "$nin"]),
              st.lists(st.sampled_from(["red", "blue", None]), max_size=2)),
    st.builds(lambda op, v: {"colour": {op: v}}, st.sampled_from(["$ne", "$gte", "$lt"]),
              st.sampled_from(["red", "green", ""])),
    st.builds(lambda op, v: {"tags": {op: v}}, st.sampled_from(["$all", "$in", "$nin"]),
              st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2)),
    st.builds(lambda v: {"tags": v}, st.sampled_from(["a", "b"])),
    st.builds(lambda v: {"box.depth": v}, st.integers(0, 3)),
    st.builds(lambda v: {"good": v}, st.one_of(st.booleans(), st.none())),
    st.builds(lambda v: {"good": {"$ne": v}}, st.one_of(st.booleans(), st.none())),
    st.builds(lambda v: {"when": {"$gte": v}}, TIMES),
    st.builds(lambda v: {"plain": v}, st.integers(0, 3)),
    st.builds(lambda v: {"size": {"$exists": v}}, st.booleans()),
)  # fmt: skip
CRITERIA = st.recursive(
    TERMS,
    lambda inner: st.builds(
        lambda how, terms: {how: terms},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


def filled(documents: list[dict]) -> tuple[SQLiteStore, MemoryStore]:
    named = [{"name": str(i), **document} for i, document in enumerate(documents)]
    ours = SQLiteStore(":memory:", key="name", indexes=INDEXES)
    theirs = MemoryStore(key="name")
    ours.connect()
    theirs.connect()
    ours.update(named)
    for document in named:
        theirs._collection.insert_one(dict(document))
    return ours, theirs


@given(DOCUMENTS, CRITERIA)
def test_it_finds_what_mongodb_finds(documents, criteria):
    ours, theirs = filled(documents)
    expected = [document["name"] for document in theirs.query(criteria)]
    assert [document["name"] for document in ours.query(criteria)] == expected
    assert ours.count(criteria) == len(expected)


@pytest.mark.parametrize(
    ("operator", "names"),
    [("$gt", ["2"]), ("$gte", ["1", "2"]), ("$lt", ["0"]), ("$lte", ["0", "1"])],
)
@pytest.mark.parametrize("field", ["size", "plain"], ids=["indexed", "not indexed"])
def test_a_bound_itself_is_met_or_not_as_in_mongodb(operator, names, field):
    ours, theirs = filled([{field: 0.5}, {field: 1.5}, {field: 2.5}])
    for store in (ours, theirs):
        assert [found["name"] for found in store.query({field: {operator: 1.5}})] == names
        assert store.count({field: {operator: 1.5}}) == len(names)


@given(DOCUMENTS, TERMS, st.sampled_from([1, -1]), st.integers(0, 4), st.integers(0, 3))
def test_pages_are_those_of_the_whole_order(documents, criteria, way, limit, skip):
    ours, _ = filled(documents)
    for field in ("size", "plain"):  # one that is indexed and one that is not
        whole = [d.get(field) for d in ours.query(criteria, sort={field: way})]
        page = [d.get(field) for d in ours.query(criteria, sort={field: way}, skip=skip,
                                                 limit=limit)]  # fmt: skip
        assert page == whole[skip : skip + limit if limit else None]
        values = [value for value in whole if value is not None]
        assert values == sorted(values, reverse=way < 0)


def test_documents_outlive_the_process_and_keep_their_kinds(tmp_path: Path):
    document = {"name": "a", "when": datetime(2026, 1, 2, 3, 4, 5), "tags": ["x"], "n": 1, "f": 1.0}
    store = open_store(str(tmp_path / "deep" / "things.sqlite"), "things", key="name")
    store.update([document])
    store.close()
    again = open_store(str(tmp_path / "deep" / "things.sqlite"), "things", key="name")
    assert list(again.query()) == [document]


def test_a_closed_file_is_let_go_and_opens_again(tmp_path: Path):
    store = SQLiteStore(tmp_path / "things.sqlite", key="name")
    store.connect()
    store.update([{"name": "a"}])
    assert len(list(tmp_path.iterdir())) > 1  # files of the writer beside it
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["things.sqlite"]
    with pytest.raises(StoreError, match="connect"):
        store.count()
    store.connect()
    assert store.count() == 1


def test_closing_keeps_what_is_in_memory_only():
    store, _ = filled([{"size": 1}])
    store.close()
    store.connect()
    assert store.count() == 1


def test_updating_replaces_and_removing_removes():
    store, _ = filled([{"size": 1, "tags": ["a"]}, {"size": 2, "tags": ["a", "b"]}])
    store.update([{"name": "0", "size": 5, "tags": ["c"]}])
    assert store.query_one({"tags": "c"})["size"] == 5
    assert store.count({"tags": "a"}) == 1
    assert sorted(store.distinct("tags")) == ["a", "b", "c"]
    assert store.distinct("tags", {"size": {"$gt": 4}}) == ["c"]
    assert store.distinct("size", {"tags": "b"}) == [2]
    store.remove_docs({"size": {"$gt": 4}})
    assert [document["name"] for document in store.query()] == ["1"]
    assert store.count({"tags": "c"}) == 0


def test_an_index_made_later_is_filled():
    store, _ = filled([{"plain": number} for number in range(5)])
    assert store.ensure_index("plain") is True
    assert any("plain" in step for step in store.explain({"plain": 3}))
    assert store.query_one({"plain": 3})["name"] == "3"


def test_times_with_a_zone_are_times():
    store, _ = filled([{"when": datetime(2026, 1, 1, 12)}])
    assert store.count({"when": {"$lte": datetime(2026, 1, 1, 12, tzinfo=UTC)}}) == 1


def test_an_exception_undoes_the_transaction():
    store, _ = filled([{"size": 1}])

    def write_and_fail() -> None:
        with store.transaction():
            store.update([{"name": "1"}])
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert store.count() == 1


def test_projection_keeps_only_what_is_asked_for():
    store, _ = filled([{"size": 1, "box": {"depth": 2, "width": 3}}])
    assert store.query_one({}, ["box.depth"]) == {"box": {"depth": 2}}
    assert store.query_one({}, {"box": 0}) == {"name": "0", "size": 1}


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "no.sqlite"
    path.write_text("this is no database, and long enough to be looked at as one " * 20)
    with pytest.raises(ValueError, match=r"no\.sqlite cannot be opened") as error:
        open_store(str(path))
    assert "\n" not in str(error.value)


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path):
    path = tmp_path / "shared.sqlite"
    code = (
        "import sys; from crystalicl_jobflow.stores.sqlite.store import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1], key='name'); store.connect()\n"
        "for _ in range(25):\n"
        "    with store.transaction():\n"
        "        found = next(store.get_many(['n']), {'name': 'n', 'count': 0})\n"
        "        store.update([{**found, 'count': found['count'] + 1}])\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    with sqlite3.connect(path) as connection:
        assert connection.execute('SELECT COUNT(*) FROM "documents.documents"').fetchone() == (1,)
    store = SQLiteStore(path, key="name")
    store.connect()
    assert store.query_one({})["count"] == 50


def test_threads_share_a_store():
    store, _ = filled([])

    def write(start: int) -> None:
        for number in range(start, start + 20):
            store.update([{"name": str(number)}])

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 40


def test_documents_passed_over_without_a_limit_leave_all_others():
    store, _ = filled([{"size": size} for size in range(5)])
    found = [document["size"] for document in store.query({}, sort={"size": 1}, skip=2)]
    assert found == [2, 3, 4]


def test_groups_hold_their_documents():
    store, _ = filled([{"size": 1}, {"size": 2}, {"size": 1, "plain": 3}, {"plain": 4}])
    groups = {values["size"]: len(held) for values, held in store.groupby("size")}
    assert groups == {1: 2, 2: 1}


def test_values_of_several_kinds_sort_as_in_mongodb():
    values = [True, "a", datetime(2020, 1, 1, tzinfo=UTC), 3, None, "3"]
    store, _ = filled([{"inner": {"mixed": value}} for value in values])
    found = [d["inner"]["mixed"] for d in store.query({}, sort={"inner.mixed": 1})]
    assert found[:5] == [None, 3, "3", "a", True]
