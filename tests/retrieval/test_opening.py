"""The pool that a user names: crystals to be read, or a store that holds them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from maggma.core import Store
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.retrieval import fill_pool, open_pool
from crystalicl_jobflow.stores import open_store, write_documents

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "crystals.csv"
    pd.DataFrame({"material_id": ["mp-1"], "cif": [ROCK_SALT.to(fmt="cif")]}).to_csv(path)
    return path


def formulas(spec: str, strategy: str = "C") -> list[str]:
    index = open_pool(spec, strategy)
    return [index.demonstration(row).formula for row in range(len(index))]


def test_crystals_are_read_from_a_table_or_a_folder(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    ROCK_SALT.to(filename=str(folder / "salt.cif"))
    assert formulas(str(table)) == formulas(str(folder)) == ["NaCl"]


def test_a_store_is_taken_as_it_is(table: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "pool.json")
    fill_pool(str(table), open_store(path), fingerprints=False)
    assert formulas(path) == ["NaCl"]


def test_choosing_by_structure_needs_fingerprints(table: Path) -> None:
    assert open_pool(str(table), "C").num_fingerprints == 0
    assert open_pool(str(table), "CF").num_fingerprints == 1


def test_what_holds_no_demonstration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        open_pool(str(tmp_path / "none.json"))
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    with pytest.raises(ValueError, match=r"the pool .*empty\.json holds no demonstration"):
        open_pool(str(empty))


@pytest.fixture
def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder that cannot be made, whoever runs the tests."""
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / "file" / "cache"
    monkeypatch.setenv("CRYSTALICL_CACHE_DIR", str(folder))
    return folder


def test_without_a_cache_folder_the_prototypes_are_refused_with_the_setting(
    unwritable: Path,
) -> None:
    with pytest.raises(ValueError, match=f"{unwritable} cannot .* CRYSTALICL_CACHE_DIR"):
        open_pool()


def test_without_a_cache_folder_the_index_of_a_database_is_in_memory(
    unwritable: Path, tmp_path: Path, prototypes: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path / "pool.sqlite"))
    write_documents(store, [{k: v for k, v in d.items() if k != "_id"} for d in prototypes.query()])
    assert len(open_pool(str(tmp_path / "pool.sqlite"))) == 288
    assert "CRYSTALICL_CACHE_DIR names another folder" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pool.json", b""),
        ("pool.json", b'[{"demonstration_id": "a", "te'),
        ("pool.json", b"[1]"),
        ("pool.json", b"\xff\xfe"),
        ("pool.json.gz", b"\x1f\x8b\x00 cut off"),
        ("pool.sqlite", b"this is no database, and longer than a header of one" * 3),
    ],
    ids=["empty", "half", "numbers", "binary", "gzip", "sqlite"],
)
def test_a_broken_pool_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)) as caught:
        open_pool(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == content
