"""Filling a pool: complete, incremental, interruptible, honest about what failed."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from maggma.core import Store
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.datasets import records as record_module
from crystalicl_jobflow.datasets.records import Record
from crystalicl_jobflow.retrieval import DemonstrationIndex, compute_fingerprints, fill_pool
from crystalicl_jobflow.retrieval import pool as pool_module
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.stores.opening import open_store
from crystalicl_jobflow.text import SGS

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.9), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
)


class ListSource:
    """A source of given records."""

    name = "list"

    def __init__(self, records: list[Record], fail_after: int | None = None) -> None:
        self.held = records
        self.fail_after = fail_after

    def total(self) -> int:
        return len(self.held)

    def records(self) -> Iterator[Record]:
        for index, record in enumerate(self.held):
            if index == self.fail_after:
                raise KeyboardInterrupt
            yield record


def salts(n: int) -> list[Record]:
    return [
        Record(f"salt-{i:04d}", ROCK_SALT.copy().scale_lattice(170 + i), {"band_gap": i / 10})
        for i in range(n)
    ]


def test_every_prototype_becomes_a_demonstration(prototypes: Store) -> None:
    found = [
        Demonstration(**{k: v for k, v in document.items() if k != "_id"})
        for document in prototypes.query()
    ]
    assert len(found) == 288
    for item in found[::12]:
        assert item.structure is not None
        primitive = SpacegroupAnalyzer(
            item.structure, symprec=0.1
        ).get_primitive_standard_structure()
        assert item.num_sites == len(primitive)
        assert item.text == SGS.encode(item.structure)
        assert item.formula == item.structure.composition.reduced_formula


def test_a_second_run_does_only_what_is_new(any_store: Store) -> None:
    first = fill_pool(ListSource(salts(20)), any_store, fingerprints=False, processes=1)
    assert (first.added, first.updated, first.unchanged, first.failed) == (20, 0, 0, [])
    records = salts(25)
    records[3] = Record("salt-0003", ROCK_SALT, {"band_gap": 8.5})
    second = fill_pool(ListSource(records), any_store, fingerprints=False, processes=1)
    assert (second.added, second.updated, second.unchanged) == (5, 1, 19)
    assert any_store.count({}) == 25
    changed = any_store.query_one({"demonstration_id": "salt-0003"})
    assert changed is not None
    assert changed["properties"] == {"band_gap": 8.5}


def test_what_an_earlier_version_wrote_is_written_anew(any_store: Store, monkeypatch) -> None:
    """Formulas of disordered crystals were fractional."""
    monkeypatch.setattr(record_module, "_TEXT_VERSION", "sgs-1")
    fill_pool(ListSource(salts(3)), any_store, fingerprints=False, processes=1)
    monkeypatch.undo()
    again = fill_pool(ListSource(salts(3)), any_store, fingerprints=False, processes=1)
    assert (again.added, again.updated, again.unchanged) == (0, 3, 0)


def test_a_filled_file_store_goes_on_after_reopening(tmp_path: Path) -> None:
    for name in ("pool.json", "pool.db"):
        fill_pool(ListSource(salts(5)), tmp_path / name, fingerprints=False, processes=1)
        again = fill_pool(ListSource(salts(7)), tmp_path / name, fingerprints=False, processes=1)
        assert (again.added, again.unchanged) == (2, 5)


def test_an_interrupted_run_keeps_what_it_did(any_store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill_pool(ListSource(salts(80), 60), any_store, fingerprints=False, processes=1)
    kept = any_store.count({})
    assert 0 < kept <= 60
    report = fill_pool(ListSource(salts(80)), any_store, fingerprints=False, processes=1)
    assert (report.added, report.unchanged) == (80 - kept, kept)


def test_an_interrupted_run_of_several_processes_keeps_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    with pytest.raises(KeyboardInterrupt):
        fill_pool(ListSource(salts(400), 300), path, fingerprints=False, processes=2)
    kept = open_store(path).count()
    assert 0 < kept <= 300
    report = fill_pool(ListSource(salts(400)), path, fingerprints=False, processes=2)
    assert (report.added, report.unchanged) == (400 - kept, kept)


def test_chunks_reach_the_store_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CHUNK_SIZE", 10)
    path = tmp_path / "pool.db"
    seen: list[int] = []

    def look(stage: str, done: int, total: int | None) -> None:
        seen.append(open_store(path).count())

    fill_pool(ListSource(salts(40)), path, fingerprints=False, processes=1, progress=look)
    assert seen[24] == 20
    assert seen[-1] == 40


def test_what_cannot_be_read_is_listed_and_the_rest_goes_in(tmp_path: Path) -> None:
    path = tmp_path / "crystals.csv.gz"
    good = PEROVSKITE.to(fmt="cif")
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "band_gap", "formation_energy"])
        writer.writerow(["mp-1", good, "1.5", "-2"])
        writer.writerow(["mp-2", "this is no CIF", "1", "1"])
        writer.writerow(["mp-3", "", "1", "1"])
        writer.writerow(["7", good, "nan", ""])
        writer.writerow(["7", good, "", ""])
        writer.writerow(["mp-4", good.replace("Ti", "Xx"), "1.5", "-2"])
    store = open_store("memory:")
    report = fill_pool(path, store, fingerprints=False, processes=1)
    assert report.added == 3
    reasons = dict(report.failed)
    assert set(reasons) == {"mp-2", "mp-3", "mp-4"}
    assert reasons["mp-3"] == "the cif column is empty"
    assert all(reason and "\n" not in reason for reason in reasons.values())
    found = {document["demonstration_id"]: document for document in store.query()}
    assert set(found) == {"mp-1", "crystals-7-3", "crystals-7-4"}
    assert found["mp-1"]["properties"] == {"band_gap": 1.5, "formation_energy_per_atom": -2.0}
    assert found["crystals-7-3"]["properties"] == {}
    assert found["mp-1"]["space_group"] == 221


def test_an_id_that_occurs_twice_is_listed() -> None:
    store = open_store("memory:")
    source = ListSource([*salts(2), Record("salt-0001", PEROVSKITE)])
    report = fill_pool(source, store, fingerprints=False, processes=1)
    assert report.failed == [("salt-0001", "the id occurs twice in the source")]
    kept = store.query_one({"demonstration_id": "salt-0001"})
    assert kept is not None
    assert kept["space_group"] == 225


def test_the_limit_ends_the_reading() -> None:
    store = open_store("memory:")
    assert fill_pool(ListSource(salts(9)), store, fingerprints=False, limit=4).added == 4


def test_several_processes_give_the_same_pool_as_one() -> None:
    pools = []
    for processes in (1, 2):
        store = open_store("memory:")
        fill_pool(ListSource(salts(60)), store, fingerprints=False, processes=processes)
        pools.append(
            {doc["demonstration_id"]: (doc["text"], doc["structure_hash"]) for doc in store.query()}
        )
    assert pools[0] == pools[1]


def test_fingerprints_can_be_put_off_and_done_later(any_store: Store) -> None:
    records = [Record("salt", ROCK_SALT), Record("perovskite", PEROVSKITE)]
    fill_pool(ListSource(records), any_store, fingerprints=False, processes=1)
    assert DemonstrationIndex.from_store(any_store).num_fingerprints == 0
    assert compute_fingerprints(any_store, limit=1, processes=1).fingerprinted == 1
    assert compute_fingerprints(any_store, processes=1).fingerprinted == 1
    assert compute_fingerprints(any_store, processes=1).fingerprinted == 0
    index = DemonstrationIndex.from_store(any_store)
    assert index.num_fingerprints == 2
    # and filling again leaves them alone
    assert fill_pool(ListSource(records), any_store, processes=1).unchanged == 2
    assert DemonstrationIndex.from_store(any_store).num_fingerprints == 2


def test_a_crystal_without_fingerprint_says_why_and_is_not_tried_again() -> None:
    store = open_store("memory:")
    # CrystalNN has no radius for californium
    californium = Structure(Lattice.cubic(3.4), ["Cf"], [[0, 0, 0]])
    report = fill_pool(
        ListSource([Record("cf", californium), Record("salt", ROCK_SALT)]), store, processes=1
    )
    assert (report.added, report.fingerprinted) == (2, 1)
    assert [name for name, _ in report.without_fingerprint] == ["cf"]
    document = store.query_one({"demonstration_id": "cf"})
    assert document is not None
    assert document["fingerprint"] is None
    assert document["fingerprint_error"] == report.without_fingerprint[0][1]
    assert compute_fingerprints(store, processes=1).without_fingerprint == []
    assert len(compute_fingerprints(store, processes=1, retry_failed=True).without_fingerprint) == 1


def test_a_slow_crystal_goes_without_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_structure: Structure) -> None:
        end = time.process_time() + 5
        while time.process_time() < end:
            pass

    monkeypatch.setattr(pool_module, "crystal_fingerprint", slow)
    store = open_store("memory:")
    fill_pool(ListSource([Record("salt", ROCK_SALT)]), store, fingerprints=False)
    report = compute_fingerprints(store, processes=1, timeout=0.02)
    assert report.fingerprinted == 0
    assert "took longer than 0.02 s" in report.without_fingerprint[0][1]


def test_documents_of_stores_have_naive_utc_times(any_store: Store) -> None:
    fill_pool(ListSource(salts(1)), any_store, fingerprints=False, processes=1)
    (document,) = any_store.query()
    assert isinstance(document["last_updated"], datetime)
    index = DemonstrationIndex.from_store(any_store)
    assert index.demonstration(0).last_updated.replace(tzinfo=None) == document["last_updated"]
