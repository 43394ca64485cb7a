"""Crystals to learn from come from CSV files, pools and CIF files alike."""

from __future__ import annotations

import csv
import gzip

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalicl_jobflow.retrieval import fill_pool, open_pool
from crystalicl_jobflow.stores.opening import open_store
from crystalicl_jobflow.training import (
    HYBRID_MIXTURE,
    InstructionSet,
    Mixture,
    ablate,
    read_pool,
    read_training_data,
    training_crystal,
)

SALTS = ("Li", "Na", "K", "Rb", "Cs", "Ag")


def salt(cation: str, edge: float) -> Structure:
    lattice = Lattice.from_parameters(edge, edge, edge, 60, 60, 60)
    return Structure(lattice, [cation, "Cl"], [[0, 0, 0], [0.5] * 3])


@pytest.fixture
def salts(tmp_path):
    path = tmp_path / "salts.csv"
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["material_id", "band_gap", "cif"])
        for place, cation in enumerate(SALTS):
            writer.writerow([f"mp-{place}", place / 2, salt(cation, 3.6 + place / 5).to(fmt="cif")])
    return path


@pytest.fixture
def pool(salts, tmp_path):
    """Return a pool of the salts on disk, with fingerprints."""
    path = tmp_path / "pool.json"
    fill_pool(salts, path, processes=1)
    return path


def test_a_pool_gives_the_same_crystals_as_its_csv(salts, pool) -> None:
    from_csv = read_training_data([salts])
    from_pool = read_training_data([pool])
    assert from_pool.num_fingerprints == len(SALTS)
    assert from_csv.num_fingerprints == 0
    assert not from_pool.skipped
    for first, second in zip(from_csv.crystals, from_pool.crystals, strict=True):
        assert first.demonstration.text == second.demonstration.text
        assert first.demonstration.properties == second.demonstration.properties
        assert first.crystal.sites == second.crystal.sites
        assert first.demonstration.demonstration_id == (
            f"salts:{second.demonstration.demonstration_id}"
        )


def test_a_store_in_memory_and_a_limit(salts) -> None:
    store = open_store("memory:")
    fill_pool(salts, store, fingerprints=False, processes=1)
    crystals, skipped = read_pool(store, limit=2)
    assert [item.demonstration.demonstration_id for item in crystals] == ["mp-0", "mp-1"]
    assert not skipped


def test_a_pool_without_structures_gives_what_its_texts_say(pool) -> None:
    store = open_store(pool)
    documents = list(store.query())
    bare = open_store("memory:")
    for document in documents:
        document.pop("structure")
        document.pop("_id", None)
    bare.update(documents)
    crystals, skipped = read_pool(bare)
    assert not skipped
    whole, _ = read_pool(store)
    assert [item.demonstration.text for item in crystals] == [
        item.demonstration.text for item in whole
    ]
    assert all(site.wyckoff_letter for item in crystals for site in item.crystal.sites)


def test_a_document_that_cannot_be_read_is_reported(pool) -> None:
    store = open_store("memory:")
    documents = list(open_store(pool).query())
    for document in documents:
        document.pop("_id", None)
    documents[0]["structure"] = None
    documents[0]["text"] = "no crystal"
    store.update(documents)
    crystals, skipped = read_pool(store)
    assert len(crystals) == len(SALTS) - 1
    (row,) = skipped
    assert row.reason


def test_fingerprints_of_a_pool_serve_the_strategies_by_structure(pool) -> None:
    crystals = read_training_data([pool]).crystals
    for name, kind in (("only-F", "few-shot F"), ("only-CF", "few-shot CF")):
        made = InstructionSet(crystals, mixture=ablate(HYBRID_MIXTURE, name))
        made.require_fingerprints()
        assert not made.fallbacks
        kinds = {item.kind for item in made.full()}
        assert kinds == {"zero-shot", kind, "property"}


def test_as_many_are_shown_as_asked_for_where_compounds_repeat(salts, tmp_path) -> None:
    # every compound is there twice, under other ids; its twin may not be shown
    twin = tmp_path / "twins.csv"
    twin.write_text(salts.read_text())
    crystals = read_training_data([salts, twin]).crystals
    mixture = Mixture(
        kinds={"few-shot": 1.0}, conditions={"group": 1.0}, strategies={"C": 1.0}, shots={3: 1.0}
    )
    by_id = {item.demonstration.demonstration_id: item.demonstration for item in crystals}
    for item in InstructionSet(crystals, mixture=mixture).epoch(0):
        assert len(item.demonstration_ids) == 3
        formulas = {by_id[name].formula for name in item.demonstration_ids}
        assert by_id[item.crystal_id].formula not in formulas


def test_cif_files_and_folders_are_sources(tmp_path) -> None:
    for cation in ("Na", "K"):
        salt(cation, 4.0).to(filename=str(tmp_path / f"{cation}.cif"))
    assert len(read_training_data([tmp_path]).crystals) == 2
    (one,) = read_training_data([tmp_path / "Na.cif"]).crystals
    assert one.demonstration.formula == "NaCl"


def test_folders_hold_any_format_that_pools_read(tmp_path) -> None:
    folder = tmp_path / "crystals"
    folder.mkdir()
    with gzip.open(folder / "Na.cif.gz", "wt") as file:
        file.write(salt("Na", 4.0).to(fmt="cif"))
    salt("K", 4.4).to(filename=str(folder / "POSCAR_K"))
    AseAtomsAdaptor.get_atoms(salt("Rb", 4.6)).write(folder / "Rb.xyz", format="extxyz")
    (folder / "broken.cif").write_text("data_nothing")
    data = read_training_data([folder])
    formulas = {item.demonstration.formula for item in data.crystals}
    assert formulas == {"NaCl", "KCl", "RbCl"}
    (lost,) = data.skipped
    assert str(lost).startswith(f"{folder} broken: ")
    pool = open_pool(str(folder))
    assert {pool.demonstration(row).formula for row in range(len(pool))} == formulas


def test_structures_and_atoms_are_taken_as_they_are() -> None:
    salt, oxide = (
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), pair, [[0] * 3, [0.5] * 3])
        for a, pair in ((5.64, ["Na", "Cl"]), (4.21, ["Mg", "O"]))
    )
    data = read_training_data([salt, AseAtomsAdaptor.get_atoms(oxide)])
    assert [item.demonstration.formula for item in data.crystals] == ["NaCl", "MgO"]
    assert [item.crystal.space_group_number for item in data.crystals] == [225, 225]
    assert not data.skipped
    made = training_crystal(oxide.to_ase_atoms(), name="a", source="mine", properties={})
    assert made.demonstration.formula == "MgO"
    molecule = oxide.to_ase_atoms()
    molecule.pbc = False
    with pytest.raises(ValueError, match="the crystals given: no crystal is left to learn from"):
        read_training_data([molecule])


def test_where_nothing_can_be_read_the_first_reason_is_told(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("material_id,cif\nmp-1,\nmp-2,hello\n")
    with pytest.raises(ValueError, match=r"rows\.csv: no crystal .*2 could not .*row 0: .*empty"):
        read_training_data([tmp_path / "rows.csv"])
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "broken.cif").write_text("data_nothing")
    with pytest.raises(ValueError, match=r"cifs: no crystal .*1 could not be read; .* broken: "):
        read_training_data([tmp_path / "cifs"])


def test_mistakes_are_one_line(salts, tmp_path) -> None:
    with pytest.raises(ValueError, match="comes twice; name each source once"):
        read_training_data([salts, salts])
    with pytest.raises(ValueError, match=r"none\.json"):
        read_training_data([tmp_path / "none.json"])
    with pytest.raises(ValueError, match="no crystal is left to learn from"):
        read_training_data([salts], max_orbits=1)
    crystals = read_training_data([salts]).crystals
    with pytest.raises(ValueError, match="crystal salts:mp-0 comes twice"):
        InstructionSet([*crystals, crystals[0]])
