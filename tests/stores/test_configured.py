"""Configurations name listed stores with listed arguments; a serialised store comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maggma.core import Store
from maggma.stores import (
    GridFSStore,
    JSONStore,
    MemoryStore,
    MongoStore,
    MontyStore,
)
from maggma.stores.ssh_tunnel import SSHTunnel

from crystalicl_jobflow.stores import load_job_store, open_store
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from crystalicl_jobflow.stores.store_classes import check_plain


@pytest.mark.parametrize(
    "store",
    [
        MemoryStore("some", key="k", last_updated_field="when"),
        JSONStore("/tmp/none/a.json", key="k", read_only=True),
        MontyStore("some", database_path="/tmp", key="k", storage="flatfile"),
        SQLiteStore("/tmp/none/a.sqlite", "some", key="k", indexes=[["a", "b"]]),
        MongoStore("d", "some", host="h", port=1, key="k", default_sort={"a": -1},
                   mongoclient_kwargs={"tls": True}),
        MongoStore("d", "some", ssh_tunnel=SSHTunnel("gate:22", "h:27017", 1234)),
        GridFSStore("d", "some", host="h", compression=True, key="k"),
    ],
    ids=lambda store: type(store).__name__,
)  # fmt: skip
def test_a_serialised_store_comes_back(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    path.write_text(json.dumps(store.as_dict(), default=lambda item: item.as_dict()))
    for spec in (store.as_dict(), path.rename(tmp_path / "store.yaml")):
        found = open_store(spec, connect=False)
        assert isinstance(found, type(store))
        again, before = found.as_dict(), store.as_dict()
        for part in (again, before):
            part.pop("@module")
            part.pop("@version")
            tunnel = part.get("ssh_tunnel")
            part["ssh_tunnel"] = tunnel.as_dict() if isinstance(tunnel, SSHTunnel) else tunnel
        assert again == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "FileStore", "path": "/etc"}, "'FileStore' is not a maggma store that can be"),
        ({"type": "JointStore"}, "take one of MemoryStore, MontyStore, JSONStore, SQLiteStore"),
        ({"@module": "trap", "@class": "MemoryStore"}, r"'trap.MemoryStore' is not a maggma store"),
        ({"@module": "maggma.stores_evil", "@class": "MemoryStore"}, "is not a maggma store"),
        ({"type": "MemoryStore", "validator": "x"}, "validator is refused"),
        ({"type": "MemoryStore", "colour": 1}, "MemoryStore cannot be built: it takes no 'colour'"),
        ({"type": "MemoryStore", "key": object()}, "a object is no value of a configuration"),
        ({"type": "MemoryStore", 1: 2}, "1 is no name of a setting"),
        ({"type": "MemoryStore", "last_updated_type": "moon"}, "one of datetime, isoformat"),
        ({"type": "MongoStore", "database": "d", "ssh_tunnel": "gate"}, "ssh_tunnel is a mapping"),
        ({"type": "MongoStore", "database": "d", "ssh_tunnel": {"x": 1}}, "ssh_tunnel takes no"),
        ({"type": "MongoStore", "database": "d",
          "ssh_tunnel": {"@module": "os", "@class": "system"}}, "ssh_tunnel is not a system"),
        ({"type": "MongoStore", "database": "d",
          "ssh_tunnel": {"tunnel_server_address": "gate", "remote_server_address": "h"}},
         "ssh_tunnel cannot be built"),
        ({"type": "S3Store", "bucket": "b", "index": {"@module": "os", "@class": "system"}},
         "index: 'os.system' is not a maggma store"),
        ({"type": "MemoryStore", "key": {"$oid": "x"}}, r"'\$oid' is refused"),
        ({"docs_store": {"type": "NoStore"}}, "'NoStore' is not a maggma store"),
        ({"type": "JSONStore"}, "a JSONStore needs 'paths'"),
        ({"type": "JSONStore", "paths": []}, "a JSONStore needs 'paths'"),
        ({"type": "JSONStore", "paths": [3]}, "3 is no name of a file"),
        ({"type": "JSONStore", "paths": {"a": 1}}, "{'a': 1} is no name of a file"),
        ({"docs_store": {"type": "JSONStore"}}, "a JSONStore needs 'paths'"),
        ({"docs_store": {"type": "JSONStore", "paths": [None]}}, "None is no name of a file"),
        ({"type": "SQLiteStore"}, "None is no name of a file"),
        ({"type": "SQLiteStore", "path": " "}, "' ' is no name of a file"),
        ({"type": "MontyStore", "database_path": 3}, "3 is no name of a file or folder"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(spec: dict[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        open_store(spec, connect=False)
    assert "\n" not in str(error.value)
    if "docs_store" not in spec:
        with pytest.raises(ValueError, match=message):
            load_job_store({"docs_store": spec})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "a job store has no 'colour'"),
        ({"additional_stores": 3}, "'additional_stores' is not a mapping"),
        ({"@class": "Popen"}, "holds a Popen, not a JobStore"),
        ({"load": {"data": {"@module": "a", "@class": "b"}}}, "names fields by their keys"),
    ],
)
def test_a_job_store_has_what_jobflow_reads(change: dict[str, Any], message: str) -> None:
    spec = {"docs_store": {"type": "MemoryStore"}, "save": {"data": ["a", "b"]}, "load": True}
    assert load_job_store(spec).save == {"data": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        load_job_store({**spec, **change})


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DB_HOST", "far.example")
    path = tmp_path / "store.yaml"
    path.write_text("type: MongoStore\ndatabase: d\nhost: ${DB_HOST}\n")
    store = open_store(path, connect=False)
    assert isinstance(store, MongoStore)
    assert store.host == "far.example"
    # what comes from there is a value, never a configuration
    monkeypatch.setenv("DB_HOST", "{'@module': 'os', '@callable': 'system'}")
    assert open_store(path, connect=False).host == "{'@module': 'os', '@callable': 'system'}"


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"type": "SQLiteStore"}, "path"),
        ({"type": "JSONStore"}, "paths"),
        ({"type": "MontyStore"}, "database_path"),
    ],
    ids=lambda part: part if isinstance(part, str) else None,
)
def test_what_a_configuration_names_must_exist_where_that_is_asked(
    spec: dict[str, Any], place: str, tmp_path: Path
) -> None:
    spec = {**spec, place: str(tmp_path / "deep" / "down")}
    with pytest.raises(ValueError, match="down does not exist"):
        open_store(spec, must_exist=True)
    with pytest.raises(ValueError, match="down does not exist"):
        load_job_store({"docs_store": spec}, read_only=True)
    assert not list(tmp_path.iterdir())
    open_store(spec).close()  # makes it
    assert open_store(spec, must_exist=True).count() == 0


def test_a_configuration_has_an_end() -> None:
    # the mapping, its list and what is in the list are ten thousand values
    check_plain({"indexes": [0] * 9_998}, "it")
    with pytest.raises(ValueError, match="it is too large"):
        check_plain({"indexes": [0] * 9_999}, "it")
    check_plain(nested(16), "it")
    with pytest.raises(ValueError, match="too deeply nested"):
        check_plain(nested(17), "it")


def nested(depth: int) -> Any:
    """Return lists in lists, the innermost value below so many of them."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_a_large_file_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "store.yaml"
    path.write_text("type: MemoryStore\n" + "#" * 1_000_001)
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        open_store(path)
