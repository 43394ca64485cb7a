"""Every form in which a user may name a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from maggma.stores import JSONStore, MemoryStore, MongoStore, MontyStore

from crystalicl_jobflow.stores import (
    load_job_store,
    open_store,
    remove_documents,
    store_label,
    write_documents,
)

STORES = Path(__file__).resolve().parents[2] / "stores"


def documents(n: int) -> list[dict[str, object]]:
    return [{"demonstration_id": f"d{i}", "value": i} for i in range(n)]


def test_a_relative_json_path_becomes_absolute_and_its_parents_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("deep/down/pool.json")
    write_documents(store, documents(3))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write_documents(store, [{"demonstration_id": "d3"}])
    written = json.loads((tmp_path / "deep" / "down" / "pool.json").read_text())
    assert [document["demonstration_id"] for document in written] == ["d0", "d1", "d2", "d3"]


def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    for spec in (tmp_path / "pool.json", tmp_path / "zipped.json.gz", tmp_path / "pool.db"):
        write_documents(open_store(spec), documents(5))
        assert open_store(spec).count() == 5


def test_an_existing_folder_is_a_monty_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert isinstance(store, MontyStore)
    assert store.storage == "sqlite"


def test_a_connected_store_is_taken_as_it_is() -> None:
    store = MemoryStore(key="demonstration_id")
    store.connect()
    store.update({"demonstration_id": "kept"})
    assert open_store(store) is store
    assert store.count() == 1


def test_mongodb_uris_name_database_and_collection() -> None:
    store = open_store("mongodb://user:secret@host:1234/crystals/pool?ssl=true", connect=False)
    assert isinstance(store, MongoStore)
    assert (store.database, store.collection_name) == ("crystals", "pool")
    assert store.key == "demonstration_id"
    assert "secret" not in store_label(store)
    named = open_store("mongodb://host/crystals", "candidates", key="candidate_id", connect=False)
    assert (named.collection_name, named.key) == ("candidates", "candidate_id")


def test_a_serialised_store_opens(tmp_path: Path) -> None:
    original = JSONStore(str(tmp_path / "a.json"), key="demonstration_id", read_only=False)
    store = open_store(original.as_dict())
    assert isinstance(store, JSONStore)
    assert store.paths == original.paths


@pytest.mark.parametrize("name", ["memory", "json", "monty", "mongodb", "s3"])
def test_ready_made_configurations_open_as_pool_and_as_job_store(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pool = open_store(STORES / f"{name}.yaml", connect=False)
    assert pool.key == "demonstration_id"
    assert "demonstrations" in store_label(pool)
    if name == "s3":
        pytest.importorskip("boto3")
    jobs = load_job_store(STORES / f"{name}.yaml")
    assert "data" in jobs.additional_stores
    assert "demonstrations" not in store_label(jobs.docs_store)


@pytest.mark.parametrize("name", ["memory", "json", "monty"])
def test_ready_made_configurations_hold_a_jobs_output(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobflow import Job, run_locally

    monkeypatch.chdir(tmp_path)
    store = load_job_store(STORES / f"{name}.yaml")
    store.connect()
    job = Job(lambda: {"small": 1, "large": [0] * 100}, data="large")
    run_locally(job, store=store, create_folders=True, ensure_success=True, log=False)
    output = store.get_output(job.uuid, load=True)
    assert output == {"small": 1, "large": [0] * 100}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("redis://host/1", "not understood"),
        ("pool.txt", "not understood"),
        ("mongodb://host", "not of the form"),
        ("missing.yaml", "does not exist"),
        ({"type": "NoStore"}, "'NoStore' is not a maggma store"),
        ({"paths": "x"}, "neither 'type', 'docs_store' nor '@class'"),
        ({"type": "MongoStore", "nonsense": 1}, "MongoStore cannot be built"),
        (12, "cannot be opened from int"),
    ],
)
def test_anything_else_is_refused_in_one_line(spec: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        open_store(spec, connect=False)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pool.json", "pool.db", "folder/"])
def test_a_store_that_must_exist_is_not_created(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        open_store(f"{tmp_path}/{name}", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_a_json_file_that_is_no_pool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('[{"name": "x"}]')
    with pytest.raises(ValueError, match="document 0 has no field 'demonstration_id'"):
        open_store(path)
    path.write_text("{not json")
    with pytest.raises(ValueError, match="not a list of JSON documents"):
        open_store(path)


def test_documents_are_replaced_and_removed_in_bulk(any_store) -> None:  # type: ignore[no-untyped-def]
    write_documents(any_store, documents(20))
    known = {f"d{i}" for i in range(20)}
    changed = [{"demonstration_id": f"d{i}", "value": -1} for i in range(5, 25)]
    write_documents(any_store, changed, existing=known)
    assert any_store.count({}) == 25
    assert any_store.count({"value": -1}) == 20
    assert remove_documents(any_store, ["d0", "d24", "unknown"]) >= 2
    assert any_store.count({}) == 23
    assert any_store.query_one({"demonstration_id": "d24"}) is None


def test_saving_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    store = open_store(path)
    before = path.stat().st_ino
    write_documents(store, documents(2))
    # another file took its place: a reader has the old or the new one, never half of one
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_for_a_monty_store_is_made_with_its_parents(tmp_path: Path) -> None:
    store = open_store(f"{tmp_path / 'a' / 'b' / 'pool'}/")
    with store:
        store.update([{"demo_id": "x"}], key="demo_id")
    assert (tmp_path / "a" / "b" / "pool").is_dir()
