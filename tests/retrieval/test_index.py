"""The index: beside its store, rebuilt when the store is newer, small and quick to open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maggma.core import Store
from maggma.stores import JSONStore
from pymatgen.core import Element

from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool, retrieve
from crystalicl_jobflow.retrieval.columns import Blob, Codes, element_bits
from crystalicl_jobflow.retrieval.index import CrystalColumns
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.stores import remove_documents, write_documents
from crystalicl_jobflow.stores.opening import open_store


def plain(store: Store, n: int = 288) -> list[dict[str, object]]:
    found = [{k: v for k, v in document.items() if k != "_id"} for document in store.query()]
    return found[:n]


@pytest.mark.parametrize(
    ("name", "folder"), [("pool.json", "pool.index"), ("pool.db", "pool.db.demonstrations.index")]
)
def test_it_lies_beside_a_file_store_and_opens_without_it(
    name: str, folder: str, tmp_path: Path, prototypes: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(open_store(tmp_path / name), plain(prototypes))
    built = DemonstrationIndex.from_store(tmp_path / name)
    assert (tmp_path / folder / "meta.json").is_file()

    def refuse(*_: object) -> None:
        raise AssertionError("the store was read although the index is as new")

    monkeypatch.setattr("crystalicl_jobflow.retrieval.index.stored_documents", refuse)
    opened = DemonstrationIndex.from_store(tmp_path / name)
    assert len(opened) == 288
    for row in (0, 100, 287):
        assert opened.demonstration(row) == built.demonstration(row)
    # large columns are mapped from disk, not copied
    assert isinstance(opened.columns.text.data, np.memmap)


def test_it_holds_what_the_documents_say(prototypes: Store) -> None:
    index = DemonstrationIndex.from_store(prototypes)
    for document in plain(prototypes, 40):
        row = index.row(str(document["demonstration_id"]))
        assert row is not None
        found = index.demonstration(row).model_dump(
            exclude={"last_updated", "structure", "structure_hash", "elements"}
        )
        assert found == {name: document[name] for name in found}
    assert index.row("aflow-unknown") is None


def test_it_is_rebuilt_when_the_store_is_newer(any_store: Store, prototypes: Store) -> None:
    documents = plain(prototypes)
    write_documents(any_store, documents[:10])
    assert len(DemonstrationIndex.from_store(any_store)) == 10
    write_documents(any_store, documents[10:15])
    assert len(DemonstrationIndex.from_store(any_store)) == 15
    remove_documents(any_store, [str(documents[0]["demonstration_id"])])
    index = DemonstrationIndex.from_store(any_store)
    assert len(index) == 14
    assert index.row(str(documents[0]["demonstration_id"])) is None
    # and not when it is not
    assert DemonstrationIndex.from_store(any_store) is index


def test_what_another_process_wrote_is_seen(tmp_path: Path, prototypes: Store) -> None:
    documents = plain(prototypes)
    mine = open_store(tmp_path / "pool.json")
    write_documents(mine, documents[:5])
    assert len(DemonstrationIndex.from_store(mine)) == 5
    other = JSONStore(str(tmp_path / "pool.json"), key="demonstration_id", read_only=False)
    other.connect()
    other.update(documents[5:8])
    assert len(DemonstrationIndex.from_store(mine)) == 8


def test_two_memory_stores_do_not_share_an_index(prototypes: Store) -> None:
    first, second = open_store("memory:"), open_store("memory:")
    documents = plain(prototypes)
    write_documents(first, documents[:3])
    write_documents(second, documents[3:6])
    ids = [
        {index.demonstration(i).demonstration_id for i in range(3)}
        for index in map(DemonstrationIndex.from_store, (first, second))
    ]
    assert not ids[0] & ids[1]


@pytest.mark.mongodb
def test_a_databases_index_lies_in_the_cache(
    mongodb_uri: str, cache_folder: Path, prototypes: Store
) -> None:
    host = "/".join(mongodb_uri.split("/")[:3]).split("?")[0]
    store = open_store(f"{host}/crystalicl_test/cached")
    store._collection.drop()
    write_documents(store, plain(prototypes))
    assert len(DemonstrationIndex.from_store(store)) == 288
    assert len(list(cache_folder.glob("indexes/*/meta.json"))) == 1
    store._collection.drop()


def test_a_damaged_index_is_rebuilt(tmp_path: Path, prototypes: Store) -> None:
    path = tmp_path / "pool.json"
    write_documents(open_store(path), plain(prototypes, 10))
    DemonstrationIndex.from_store(path)
    (tmp_path / "pool.index" / "text.data.npy").write_bytes(b"broken")
    assert DemonstrationIndex.from_store(path).demonstration(0).text
    (tmp_path / "pool.index" / "meta.json").write_text("{")
    assert len(DemonstrationIndex.from_store(path)) == 10


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_in_a_folder_one_may_not_write_has_its_index_in_the_cache(
    tmp_path: Path, prototypes: Store, cache_folder: Path
) -> None:
    folder = tmp_path / "shared"
    write_documents(open_store(folder / "pool.json"), plain(prototypes, 10))
    folder.chmod(0o555)
    try:
        assert len(DemonstrationIndex.from_store(folder / "pool.json")) == 10
        assert len(list(cache_folder.glob("indexes/*/meta.json"))) == 1
    finally:
        folder.chmod(0o755)


def test_records_of_failures_are_passed_over(prototypes: Store) -> None:
    store = open_store("memory:")
    write_documents(store, plain(prototypes, 3))
    write_documents(store, [{"demonstration_id": "bad", "state": "failed", "error": "x"}])
    assert len(DemonstrationIndex.from_store(store)) == 3


def test_it_takes_less_than_a_gigabyte_per_million(prototypes: Store) -> None:
    rng = np.random.default_rng(0)
    documents = [
        {
            **document,
            "fingerprint": rng.random(61).tolist(),
            "properties": dict.fromkeys("abc", 1.0),
        }
        for document in plain(prototypes)
    ]
    index = DemonstrationIndex.from_documents(documents)
    assert index.squared_norms.shape == (288,)
    assert index.nbytes / len(index) < 1000


def test_columns_can_be_given_as_arrays() -> None:
    columns: dict[str, Any] = {
        "formula": Codes.pack(["NaCl", "KBr"]),
        "anonymous_formula": Codes.pack(["AB", "AB"]),
        "chemsys": Codes.pack(["Cl-Na", "Br-K"]),
        "elements": [element_bits(["Na", "Cl"]), element_bits(["K", "Br"])],
        "space_group": [225, 221],
        "num_sites": [2, 2],
    }
    texts = ["t1", "t2"]
    index = DemonstrationIndex.from_arrays(["a", "b"], texts, CrystalColumns(**columns))
    found = retrieve(index, Condition(space_group=221), shots=1).demonstrations[0]
    assert (found.demonstration_id, found.formula, found.text) == ("b", "KBr", "t2")
    with pytest.raises(ValueError, match="must be sorted and unique"):
        DemonstrationIndex.from_arrays(["b", "a"], texts, CrystalColumns(**columns))
    columns["space_group"] = [225]
    with pytest.raises(ValueError, match="column space_group has 1 rows, not 2"):
        DemonstrationIndex.from_arrays(["a", "b"], texts, CrystalColumns(**columns))


@given(st.lists(st.text()))
def test_blobs_give_back_every_text(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    blob = Blob.pack(texts)
    assert [blob[i] for i in range(len(blob))] == texts


@given(st.lists(st.text(max_size=3)), st.text(max_size=3))
def test_codes_find_every_value(values: list[str], wanted: str) -> None:
    codes = Codes.pack(values)
    assert [codes[i] for i in range(len(codes))] == values
    assert codes.equal(wanted).tolist() == [value == wanted for value in values]


@given(st.sets(st.integers(1, 118)))
def test_every_element_has_a_bit_of_its_own(numbers: set[int]) -> None:
    low, high = element_bits(Element.from_Z(z).symbol for z in numbers)
    assert low < 2**64
    assert {z for z in range(1, 129) if (low | high << 64) >> (z - 1) & 1} == numbers


def test_reopening_after_a_fill_sees_everything(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    fill_pool("prototypes", path, fingerprints=False, processes=1, limit=5)
    assert len(DemonstrationIndex.from_store(path)) == 5
    fill_pool("prototypes", path, fingerprints=False, processes=1, limit=8)
    assert len(DemonstrationIndex.from_store(path)) == 8
