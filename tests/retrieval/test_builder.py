"""DemonstrationBuilder: structures in a store become demonstrations, incrementally."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore
from monty.json import MontyDecoder
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.retrieval.builder import DemonstrationBuilder
from crystalicl_jobflow.stores.opening import open_store

START = datetime(2025, 1, 1)


def salt(length: float) -> dict[str, Any]:
    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return structure.as_dict()


def entry(name: str, structure: Any, updated: datetime = START, **fields: Any) -> dict[str, Any]:
    return {"material_id": name, "structure": structure, "last_updated": updated, **fields}


@pytest.fixture
def source() -> MemoryStore:
    store = MemoryStore("structures", key="material_id")
    store.connect()
    store.update([entry(f"mp-{i}", salt(5.5 + i / 10), band_gap=float(i)) for i in range(4)])
    store.update(entry("mp-bad", {"lattice": "none"}))
    return store


@pytest.fixture(params=["memory", "json", "monty"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    spec = {"memory": "memory:", "json": tmp_path / "p.json", "monty": tmp_path / "p.db"}
    return open_store(spec[request.param])


def build(source: Store, target: Store, **options: Any) -> DemonstrationBuilder:
    builder = DemonstrationBuilder(source, target, **options)
    builder.run()
    return builder


def test_structures_become_demonstrations_and_failures_say_why(
    source: MemoryStore, target: Store
) -> None:
    builder = build(source, target)
    assert (builder.report.added, len(builder.report.failed)) == (4, 1)
    failed = target.query_one({"demonstration_id": "mp-bad"})
    assert failed is not None
    assert failed["state"] == "failed"
    assert failed["error"]
    index = DemonstrationIndex.from_store(target)
    assert [index.demonstration(i).demonstration_id for i in range(len(index))] == [
        "mp-0",
        "mp-1",
        "mp-2",
        "mp-3",
    ]
    assert index.demonstration(2).properties == {"band_gap": 2.0}
    assert index.demonstration(2).space_group == 225


def test_only_what_is_new_or_newer_is_built(source: MemoryStore, target: Store) -> None:
    build(source, target)
    again = build(source, target)
    assert (again.total, again.report.unchanged) == (0, 5)
    source.update(entry("mp-1", salt(9.0), START + timedelta(days=1), band_gap=7.0))
    source.update(entry("mp-4", salt(6.1)))
    third = build(source, target)
    assert (third.report.added, third.report.updated) == (1, 1)
    changed = target.query_one({"demonstration_id": "mp-1"})
    assert changed is not None
    assert "9.0 9.0 9.0" in changed["text"]
    assert changed["properties"] == {"band_gap": 7.0}
    assert target.count({}) == 6


def test_a_source_changed_before_its_fingerprint_came_is_still_newer(source: MemoryStore) -> None:
    from crystalicl_jobflow.retrieval import compute_fingerprints

    target = open_store("memory:")
    build(source, target)
    source.update(entry("mp-1", salt(9.0), START + timedelta(days=1)))
    # touches the demonstration later than the source was changed
    compute_fingerprints(target, processes=1)
    assert build(source, target).report.updated == 1


def test_failures_are_tried_again_on_request(source: MemoryStore, target: Store) -> None:
    build(source, target)
    assert build(source, target).total == 0
    builder = build(source, target, retry_failed=True)
    assert (builder.total, len(builder.report.failed)) == (1, 1)
    # repaired, though its time did not change
    source.update(entry("mp-bad", salt(5.0)))
    assert build(source, target, retry_failed=True).report.updated == 1
    mended = target.query_one({"demonstration_id": "mp-bad"})
    assert mended is not None
    assert "state" not in mended


def test_orphans_are_removed_on_request(source: MemoryStore, target: Store) -> None:
    build(source, target)
    source.remove_docs({"material_id": "mp-2"})
    assert build(source, target).report.removed == 0
    assert build(source, target, delete_orphans=True).report.removed == 1
    assert target.query_one({"demonstration_id": "mp-2"}) is None
    assert target.count({}) == 4


def test_a_query_limits_the_source(source: MemoryStore, target: Store) -> None:
    assert build(source, target, query={"band_gap": {"$gte": 2}}).report.added == 2


def test_fingerprints_come_at_the_end_on_request(source: MemoryStore) -> None:
    target = open_store("memory:")
    builder = build(source, target, fingerprints=True, processes=1)
    assert builder.report.fingerprinted == 4
    assert DemonstrationIndex.from_store(target).num_fingerprints == 4


def test_a_run_leaves_logging_as_it_was(source: MemoryStore) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    build(source, open_store("memory:"))
    assert (root.level, list(root.handlers)) == before


def test_it_travels_as_a_document(tmp_path: Path) -> None:
    source = JSONStore(str(tmp_path / "s.json"), key="material_id", read_only=False)
    target = JSONStore(str(tmp_path / "t.json"), key="demonstration_id", read_only=False)
    builder = DemonstrationBuilder(source, target, {"a": 1}, symprec=0.05, chunk_size=7)
    again = MontyDecoder().process_decoded(builder.as_dict())
    assert isinstance(again, DemonstrationBuilder)
    assert (again.query, again.symprec, again.chunk_size) == ({"a": 1}, 0.05, 7)
    assert again.target.paths == target.paths


@pytest.mark.mongodb
def test_on_a_mongodb_server(mongodb_uri: str, source: MemoryStore) -> None:
    host = "/".join(mongodb_uri.split("/")[:3]).split("?")[0]
    structures = open_store(f"{host}/crystalicl_test/build_structures", key="material_id")
    target = open_store(f"{host}/crystalicl_test/build_pool")
    for store in (structures, target):
        store._collection.drop()
    try:
        structures.update([{k: v for k, v in d.items() if k != "_id"} for d in source.query()])
        assert build(structures, target).report.added == 4
        assert build(structures, target).total == 0
        assert len(DemonstrationIndex.from_store(target)) == 4
    finally:
        for store in (structures, target):
            store._collection.drop()
