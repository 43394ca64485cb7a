"""Sources: everything that crystals come from."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.datasets.materials_project import (
    MaterialsProjectSource,
    parse_criteria,
)
from crystalicl_jobflow.datasets.records import known_properties, read_crystal
from crystalicl_jobflow.datasets.sources import (
    CrystalFolderSource,
    CsvSource,
    PrototypeSource,
    StoreSource,
    open_source,
)
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.stores.opening import open_store

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_the_prototypes_have_unique_ids() -> None:
    source = PrototypeSource()
    ids = [record.record_id for record in source.records()]
    assert len(set(ids)) == len(ids) == source.total() == 288
    assert "aflow-AB_cF8_225_a_b" in ids


@pytest.mark.slow  # pymatgen's own way parses every literature reference
def test_the_prototypes_are_those_of_pymatgen() -> None:
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    records = list(PrototypeSource().records())
    for record, entry in list(zip(records, AFLOW_PROTOTYPE_LIBRARY, strict=True))[::40]:
        assert Structure.from_dict(dict(record.crystal)) == entry["snl"].structure  # type: ignore[arg-type]


def test_an_id_of_several_rows_gets_their_numbers(tmp_path: Path) -> None:
    cif = ROCK_SALT.to(fmt="cif").replace('"', '""')
    rows = "".join(f'{name},"{cif}"\n' for name in ("mp", "mp-1", "mp", ""))
    path = tmp_path / "several.csv"
    path.write_text(f"material_id,cif\n{rows}")
    ids = [record.record_id for record in CsvSource(path).records()]
    assert ids == ["several-mp-0", "mp-1", "several-mp-2", "several-row-3"]


def test_columns_of_mp_20_are_recognised(shared_data: Path) -> None:
    source = open_source(shared_data / "mp_20_test.csv.gz")
    assert isinstance(source, CsvSource)
    record = next(source.records())
    assert record.record_id == "mp-10009"
    assert record.properties == {
        "formation_energy_per_atom": -0.5750923537499997,
        "band_gap": 0.8979999999999997,
        "energy_above_hull": 0.0,
    }


@pytest.mark.parametrize(
    ("name", "record_id", "properties"),
    [
        ("perov_5_test", "perov_5_test-", {"formation_energy_per_atom", "band_gap"}),
        ("mpts_52_train", "mp-", {"formation_energy_per_atom", "energy_above_hull"}),
        ("carbon_24_test", "", set()),
    ],
)
def test_columns_of_the_other_data_sets_are_recognised(
    name: str, record_id: str, properties: set[str], shared_data: Path
) -> None:
    record = next(open_source(shared_data / f"{name}.csv.gz").records())
    assert record.record_id.startswith(record_id)
    assert set(record.properties) == properties


def test_a_csv_without_a_cif_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,structure\n1,x\n")
    with pytest.raises(ValueError, match="has no column 'cif'; it has id, structure"):
        open_source(tmp_path / "a.csv")


def test_a_damaged_gzip_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot be read"):
        open_source(tmp_path / "a.csv.gz")


def test_the_propertys_own_name_wins_over_an_alias() -> None:
    row = {"e_above_hull": "0.5", "energy_above_hull": "0.1", "band_gap": "x", "other": "3"}
    assert known_properties(row) == {"energy_above_hull": 0.1}
    assert known_properties({"energy_above_hull": "0.1", "e_above_hull": "0.5"}) == {
        "energy_above_hull": 0.1
    }
    assert known_properties({"e_above_hull": "0.5"}) == {"energy_above_hull": 0.5}
    assert known_properties({"band_gap": float("inf"), "formation_energy": True}) == {}


def test_folders_of_cifs_are_searched_through(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "salt.cif").write_text(ROCK_SALT.to(fmt="cif"))
    (tmp_path / "deep" / "salt.CIF").write_text(ROCK_SALT.to(fmt="cif"))
    (tmp_path / "deep" / "bad.cif").write_text("nothing")
    source = open_source(tmp_path)
    assert isinstance(source, CrystalFolderSource)
    store = open_store("memory:")
    report = fill_pool(source, store, fingerprints=False, processes=1)
    assert report.added == 2
    assert [name for name, _ in report.failed] == ["deep/bad"]
    assert sorted(store.distinct("demonstration_id")) == ["deep/salt", "salt"]
    single = fill_pool(tmp_path / "salt.cif", open_store("memory:"), fingerprints=False)
    assert single.added == 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \.cif file"):
        open_source(tmp_path)


def test_cifs_with_symmetry_or_shared_sites_are_read_as_well() -> None:
    symmetric = ROCK_SALT.to(fmt="cif", symprec=0.01)
    assert "F m -3 m" in symmetric or "Fm-3m" in symmetric
    assert read_crystal(symmetric).composition.reduced_formula == "NaCl"
    assert len(read_crystal(symmetric)) == 8
    alloy = Structure(Lattice.cubic(3.8), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    assert read_crystal(alloy.to(fmt="cif")).composition == alloy.composition
    ions = ROCK_SALT.copy()
    ions.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert read_crystal(ions.to(fmt="cif")).composition.element_composition == ROCK_SALT.composition


def test_the_quick_reader_agrees_with_pymatgen(shared_data: Path) -> None:
    from itertools import islice

    from pymatgen.io.cif import CifParser

    for record in islice(CsvSource(shared_data / "mp_20_test.csv.gz").records(), 40):
        assert isinstance(record.crystal, str)
        quick = read_crystal(record.crystal)
        slow = CifParser.from_str(record.crystal).parse_structures(primitive=False)[0]
        assert quick.lattice == slow.lattice
        assert [site.species for site in quick] == [site.species for site in slow]
        difference = quick.frac_coords - slow.frac_coords
        # pymatgen moves coordinates within 1e-4 of a simple fraction onto it
        assert np.abs(difference - np.rint(difference)).max() <= 1e-4


def test_another_store_is_a_source() -> None:
    store = MemoryStore(key="material_id")
    store.connect()
    updated = datetime(2025, 1, 2, 3, 4, 5)
    store.update(
        [
            {
                "material_id": "mp-22862",
                "structure": ROCK_SALT.as_dict(),
                "energy_above_hull": 0.0,
                "band_gap": 5.0,
                "last_updated": updated,
            },
            {"material_id": "mp-0", "band_gap": 1.0},
        ]
    )
    pool = open_store("memory:")
    report = fill_pool(store, pool, fingerprints=False, processes=1)
    assert report.failed == [("mp-0", "the document holds no structure")]
    (document,) = pool.query()
    assert document["demonstration_id"] == "mp-22862"
    assert document["properties"] == {"energy_above_hull": 0.0, "band_gap": 5.0}
    assert document["source_updated"] == updated


def test_outputs_of_relaxation_jobs_are_a_source() -> None:
    store = MemoryStore(key="uuid")
    store.connect()
    store.update({"uuid": "job-1", "output": {"structure": ROCK_SALT.as_dict(), "bandgap": 5.0}})
    (record,) = StoreSource(store).records()
    assert (record.record_id, record.properties, record.error) == ("job-1", {"band_gap": 5.0}, None)


def test_a_pool_is_a_source_for_another_pool(tmp_path: Path) -> None:
    fill_pool("prototypes", tmp_path / "a.json", fingerprints=False, processes=1, limit=4)
    source = open_store(tmp_path / "a.json")
    assert fill_pool(source, tmp_path / "b.json", fingerprints=False).added == 4


@pytest.mark.parametrize("place", ["pool.db", "pool.json", "pool.sqlite"])
def test_a_pool_named_by_its_file_is_a_data_set(tmp_path: Path, place: str) -> None:
    """What `pool build` wrote can be named wherever known crystals are asked for."""
    fill_pool("prototypes", tmp_path / place, fingerprints=False, processes=1, limit=5)
    known = read_data_set(tmp_path / place)
    assert len(known.ids) == 5
    assert sorted(known.ids) == sorted(
        record.record_id for record in islice(PrototypeSource().records(), 5)
    )


def recorded(material_id: str, structure: Structure | None, **fields: Any) -> dict[str, Any]:
    """Return a summary document with the fields of mp-api's SummaryDoc that are asked for."""
    return {
        "material_id": material_id,
        "structure": structure,
        "formation_energy_per_atom": -2.1,
        "energy_above_hull": 0.0,
        "band_gap": 5.0,
        "last_updated": datetime(2024, 5, 6, tzinfo=UTC),
        **fields,
    }


class FakeRester:
    """An MPRester that answers from a recording."""

    def __init__(self, answer: list[Any]) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}
        self.materials = self
        self.summary = self

    def search(self, **criteria: Any) -> list[Any]:
        self.asked = criteria
        if "nonsense" in criteria:
            raise TypeError("search() got an unexpected keyword argument 'nonsense'\nmore")
        return self.answer


class Answer:
    """A document as mp-api gives it: fields as attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize("form", [dict, Answer])
def test_materials_project_documents_become_demonstrations(form: Any) -> None:
    rester = FakeRester(
        [form(recorded("mp-22862", ROCK_SALT)), form(recorded("mp-0", None, band_gap=None))]
    )
    source = MaterialsProjectSource(parse_criteria("chemsys=Cl-Na"), rester)
    pool = open_store("memory:")
    report = fill_pool(source, pool, fingerprints=False, processes=1)
    assert rester.asked["chemsys"] == "Cl-Na"
    assert set(rester.asked["fields"]) >= {"material_id", "structure", "energy_above_hull"}
    assert report.failed == [("mp-0", "the material holds no structure")]
    (document,) = pool.query()
    assert document["demonstration_id"] == "mp-22862"
    assert document["properties"] == {
        "formation_energy_per_atom": -2.1,
        "energy_above_hull": 0.0,
        "band_gap": 5.0,
    }
    assert document["source_updated"] == datetime(2024, 5, 6)


def test_the_fields_asked_for_are_in_mp_apis_schema() -> None:
    summary = pytest.importorskip("emmet.core.summary")
    assert set(MaterialsProjectSource._FIELDS) <= set(summary.SummaryDoc.model_fields)


def test_a_search_that_materials_project_refuses_is_one_line() -> None:
    source = MaterialsProjectSource({"nonsense": 1}, FakeRester([]))
    with pytest.raises(ValueError, match=r"Materials Project: .*'nonsense'$"):
        list(source.records())


def test_criteria_of_materials_project() -> None:
    assert parse_criteria("chemsys=Ca-O-Ti&is_stable=true&energy_above_hull=0:0.1") == {
        "chemsys": "Ca-O-Ti",
        "is_stable": True,
        "energy_above_hull": (0, 0.1),
    }
    assert parse_criteria("elements=O,Ti&num_elements=2&band_gap=:1") == {
        "elements": ["O", "Ti"],
        "num_elements": 2,
        "band_gap": (None, 1),
    }
    assert parse_criteria("") == {}
    with pytest.raises(ValueError, match="'chemsys' is not of the form name=value"):
        parse_criteria("chemsys")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nowhere.csv", "source nowhere.csv does not exist"),
        ("nowhere.cif", "source nowhere.cif does not exist"),
        ("nonsense", "source 'nonsense' is not understood; give 'prototypes'"),
        ("nowhere.json", "does not exist"),
        (3, "a source cannot be opened from int"),
    ],
)
def test_anything_else_is_refused(spec: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_source(spec)


def test_gzipped_and_plain_csv_files_are_the_same(tmp_path: Path) -> None:
    text = 'material_id,cif\nmp-1,"' + ROCK_SALT.to(fmt="cif").replace('"', '""') + '"\n'
    (tmp_path / "a.csv").write_text(text)
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write(text)
    first, second = (list(open_source(tmp_path / name).records()) for name in ("a.csv", "b.csv.gz"))
    assert first == second
    assert len(first) == 1
