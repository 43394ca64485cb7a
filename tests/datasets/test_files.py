"""Files with a crystal: their formats, encodings and faults."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import ase
import ase.io
import bson
import pytest
from maggma.stores import JSONStore, MemoryStore
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Magmom

from cif_texts import cif_text, cubic
from crystalicl_jobflow.datasets.files import ASE_FORMATS, crystal_file_kind, decode_text, read_file
from crystalicl_jobflow.datasets.records import Record, read_crystal, read_with_remarks
from crystalicl_jobflow.datasets.sources import open_source
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.stores.opening import open_store

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
HEAD = "{comment}\n1.0\n4.1 0 0\n0 4.1 0\n0 0 4.1\n"
POSITIONS = "Direct\n0 0 0{a}\n0.5 0.5 0.5{b}\n"


def poscar(comment: str = "test", names: str = "", counts: str = "1 1", a: str = "", b: str = "",
           selective: bool = False) -> str:  # fmt: skip
    lines = HEAD.format(comment=comment) + (f"{names}\n" if names else "") + f"{counts}\n"
    return lines + ("Selective dynamics\n" if selective else "") + POSITIONS.format(a=a, b=b)


@pytest.mark.parametrize(
    ("text", "formula", "remarks"),
    [
        (poscar(names="Cs Cl"), "CsCl", 0),
        (poscar(names="Cs_sv/1234abcd Cl"), "CsCl", 0),
        (poscar(a=" Cs", b=" Cl"), "CsCl", 0),
        (poscar(comment="Cs Cl"), "CsCl", 1),
        (poscar(names="Cs Cl", a=" T F T", b=" F F F", selective=True), "CsCl", 0),
        (poscar(names="D Cl"), "HCl", 0),
    ],
)
def test_poscars_that_name_their_elements_are_read(
    text: str, formula: str, remarks: int, tmp_path: Path
) -> None:
    (tmp_path / "POSCAR_1").write_text(text)
    read = read_file(tmp_path / "POSCAR_1")
    assert read.structure.composition.element_composition.reduced_formula == formula
    assert len(read.remarks) == remarks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (poscar(comment="CsCl"), "the POSCAR names no elements"),
        (poscar(comment="one two"), "the POSCAR names no elements"),
        (poscar(comment="Cs Cl Cl"), "the POSCAR names no elements"),
        (poscar(names="X Cl"), "line 6: the species X is no element"),
        (poscar(names="Cs Vac"), "line 6: the species Vac is no element"),
        (poscar(names="Cs Cl", counts="1 2"), "the POSCAR cannot be read"),
        (poscar(names="Cs Cl", counts="1 4000000000"), "more than 2000 atoms"),
        (poscar(names="Cs Cl").replace("4.1 0 0", "nan 0 0"), "nine finite numbers"),
        (poscar(names="Cs Cl").replace("0.5 0.5 0.5", "0.5 inf 0.5"), "coordinate"),
        (poscar(names="Cs Cl").replace("1.0\n", "1e-9\n", 1), "is not between 0.5 and 1000"),
        ("", "empty|POSCAR"),
    ],
)
def test_poscars_that_do_not_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_file(tmp_path / "POSCAR")
    assert "\n" not in str(caught.value)


def test_folders_hold_every_format(tmp_path: Path) -> None:
    text = cif_text(cubic(4.12), "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5", symbol="P m -3 m")
    (tmp_path / "a.cif").write_text(text)
    with gzip.open(tmp_path / "b.cif.gz", "wt") as file:
        file.write(text)
    (tmp_path / "c.mcif").write_text(text)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "POSCAR").write_text(poscar(names="Cs Cl"))
    (tmp_path / "deep" / "CONTCAR").write_text(poscar())
    (tmp_path / "d.vasp").write_text(poscar(names="Cs Cl"))
    (tmp_path / "e.xyz").write_text(
        '2\nLattice="4.1 0 0 0 4.1 0 0 0 4.1" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
        "Cs 0 0 0\nCl 2.05 2.05 2.05\n"
    )
    (tmp_path / "f.xyz").write_text("2\nno cell\nCs 0 0 0\nCl 2.05 2.05 2.05\n")
    (tmp_path / "g.xsf").write_text(
        "CRYSTAL\nPRIMVEC\n4.1 0 0\n0 4.1 0\n0 0 4.1\nPRIMCOORD\n2 1\n55 0 0 0\n17 2.05 2.05 2.05\n"
    )
    (tmp_path / "notes.txt").write_text("not a crystal")
    (tmp_path / "a.json").write_text("{}")
    store = open_store("memory:")
    report = fill_pool(tmp_path, store, fingerprints=False, processes=1)
    found = {doc["demonstration_id"]: doc["formula"] for doc in store.query()}
    assert found == dict.fromkeys(["a", "b", "c", "d", "deep/POSCAR", "e", "g"], "CsCl")
    assert [(name, reason.split(": ", 1)[1]) for name, reason in sorted(report.failed)] == [
        ("deep/CONTCAR", "the POSCAR names no elements"),
        ("f", "the file holds no crystal: it has no cell"),
    ]


@pytest.mark.parametrize("ending", ASE_FORMATS)
def test_what_ase_writes_is_read_in_each_of_its_formats(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"geometry{ending}.gz"
    atoms = ase.Atoms(
        "NaCl", cell=[4.0, 4.2, 5.0], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True
    )
    ase.io.write(tmp_path / "plain", atoms, format=ASE_FORMATS[ending])
    path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    structure = read_file(path).structure
    assert structure.composition.reduced_formula == "NaCl"
    assert structure.lattice.abc == pytest.approx((4.0, 4.2, 5.0), abs=1e-3)
    assert structure.get_distance(0, 1) == pytest.approx(3.826, abs=1e-2)


def test_two_files_of_one_name_are_two_records(tmp_path: Path) -> None:
    text = cif_text(cubic(4.12), "Cs1 Cs 0 0 0", symbol="P 1")
    for name in ("a.cif", "a.mcif"):
        (tmp_path / name).write_text(text)
    assert [record.record_id for record in open_source(tmp_path).records()] == ["a.cif", "a.mcif"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_do_not_matter(encoding: str, ends: str, tmp_path: Path) -> None:
    text = cif_text(cubic(4.12), "Cs1 Cs 0 0 0", symbol="P 1", publ_author_name="Müller, Å.")
    (tmp_path / "a.cif").write_bytes(text.replace("\n", ends).encode(encoding))
    assert len(read_file(tmp_path / "a.cif").structure) == 1


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    text = cif_text(cubic(4.12), "Cs1 Cs 0 0 0", symbol="P 1")
    packed = gzip.compress(text.encode())
    (tmp_path / "cut.cif.gz").write_bytes(packed[:-12])
    (tmp_path / "bad.cif.gz").write_bytes(packed[:20] + b"\0" * 20 + packed[40:])
    (tmp_path / "not.cif.gz").write_text(text)
    (tmp_path / "binary.cif").write_bytes(b"data_\0\0")
    reasons = {record.record_id: record.error or "" for record in open_source(tmp_path).records()}
    assert "the gzip file is cut off" in reasons["cut"]
    assert "the gzip file is damaged" in reasons["bad"]
    assert "it is no gzip file" in reasons["not"]
    assert "is not a text file" in reasons["binary"]
    with pytest.raises(ValueError, match="No such file"):
        read_file(tmp_path / "nowhere.cif")
    with pytest.raises(ValueError, match="begins like UTF-16"):
        decode_text(b"\xff\xfe\x00\xd8\x00")


def test_kinds_are_told_by_names() -> None:
    names = {
        "a.CIF": "cif", "a.mcif.gz": "cif", "POSCAR": "poscar", "POSCAR_2": "poscar",
        "CONTCAR.relax": "poscar", "x.vasp": "poscar", "geometry.in": "aims", "run.in": None,
        "README": None, "INCAR": None, "POTCAR": None, "a.py": None, "a.pickle": None,
        "a.extxyz": "extxyz",
    }  # fmt: skip
    assert {name: crystal_file_kind(Path(name)) for name in names} == names


def test_json_files_hold_a_structure(tmp_path: Path) -> None:
    document = ROCK_SALT.as_dict()
    for name, content in {"a": document, "b": {"structure": document}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        assert read_file(tmp_path / f"{name}.json").structure == ROCK_SALT
    (tmp_path / "c.json").write_text('{"@module": "os", "@callable": "system"}')
    with pytest.raises(ValueError, match="holds no structure"):
        read_file(tmp_path / "c.json")


MOMENTS = {
    "collinear": [Magmom(4.6)] * 4 + [Magmom(-4.6)] * 4,
    "vectors": [Magmom([0, 0, 1.5])] * 8,
    "numbers": [1.0] * 8,
    "some": [None, 2.0] * 4,
}


@pytest.mark.parametrize("kind", MOMENTS)
@pytest.mark.parametrize("form", ["memory", "json"])
def test_site_properties_are_kept_as_plain_numbers(kind: str, form: str, tmp_path: Path) -> None:
    structure = ROCK_SALT.copy(site_properties={"magmom": MOMENTS[kind]})
    source = MemoryStore(key="material_id")
    source.connect()
    source.update([
        {"material_id": "moments", "structure": structure.as_dict()},
        {"material_id": "plain", "structure": ROCK_SALT.as_dict()},
    ])  # fmt: skip
    pool = open_store("memory:" if form == "memory" else tmp_path / "pool.json")
    report = fill_pool(source, pool, fingerprints=False, processes=1)
    assert (report.added, report.failed) == (2, [])
    if isinstance(pool, JSONStore):
        json.loads((tmp_path / "pool.json").read_text())
    document = next(iter(pool.query({"demonstration_id": "moments"})))
    kept = [site["properties"]["magmom"] for site in document["structure"]["sites"]]
    expected = [m.moment if isinstance(m, Magmom) else m for m in MOMENTS[kind]]
    assert kept == [list(m) if isinstance(m, list | tuple) or hasattr(m, "tolist") else m
                    for m in expected]  # fmt: skip


def test_site_properties_that_no_store_can_hold_are_left_out_and_counted() -> None:
    structure = ROCK_SALT.copy(site_properties={"thing": [object()] * 8, "charge": [1.0] * 8})
    for given in (structure, {**structure.as_dict()}):
        read = read_with_remarks(given)
        assert read.remarks == (
            "site property 'thing' of 8 sites is no plain number and is left out",
        )
        assert read.structure.site_properties["charge"] == [1.0] * 8
        assert set(read.structure.site_properties.get("thing", [None])) == {None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("huge", 10**30),
        ("half_a_pair", "\ud83d"),
        ("$where", 1.0),
        ("a.b", 1.0),
        ("null\0", 1.0),
        ("mapping", {"$where": "1"}),
    ],
)
def test_what_mongodb_or_sqlite_refuse_costs_no_batch(
    name: str, value: object, tmp_path: Path
) -> None:
    structure = ROCK_SALT.copy(site_properties={name: [value] * 8})
    document = ROCK_SALT.as_dict()
    document["sites"][0]["properties"] = {name: value}
    document["sites"][1]["label"] = "\ud83d"
    for given in (structure, document):
        read = read_with_remarks(given)
        assert len(read.remarks) == 1
        assert repr(name) in read.remarks[0]

    class Source:
        name = "somewhere"

        def records(self) -> Iterator[Record]:
            yield Record("a", document)
            yield Record("b", ROCK_SALT)
            yield Record("c", structure)

        def total(self) -> int:
            return 3

    for store in (tmp_path / "pool.sqlite", tmp_path / "pool.json", "memory:"):
        pool = open_store(store)
        assert fill_pool(Source(), pool, fingerprints=False, processes=1).added == 3
        bson.encode({"all": list(pool.query({}, properties=["structure"]))})


def test_moments_along_a_spin_axis_are_given_along_those_of_the_cell() -> None:
    moments = [Magmom([0, 0, 1.5], saxis=[1, 0, 0])] * 8
    structure = ROCK_SALT.copy(site_properties={"magmom": moments})
    for given in (structure, json.loads(structure.to_json())):
        kept = read_crystal(given).site_properties["magmom"]
        assert kept == [pytest.approx([1.5, 0, 0])] * 8


def test_ase_files_keep_moments_charges_and_fixed_atoms(tmp_path: Path) -> None:
    atoms = ase.Atoms(
        "FeO", cell=[3.0, 3.0, 3.0], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True,
        magmoms=[2.2, 0.0], charges=[2.0, -2.0],
    )  # fmt: skip
    ase.io.write(tmp_path / "iron.extxyz", atoms, columns=None)
    read = read_file(tmp_path / "iron.extxyz")
    assert read.remarks == ()
    properties = read.structure.site_properties
    assert properties["magmom"] == [2.2, 0.0]
    assert properties["charge"] == [2.0, -2.0]
    (tmp_path / "geometry.in").write_text(
        "lattice_vector 3 0 0\nlattice_vector 0 3 0\nlattice_vector 0 0 3\n"
        "atom 0 0 0 Fe\natom 1.5 1.5 1.5 O\n    constrain_relaxation .true.\n"
    )
    fixed = read_file(tmp_path / "geometry.in").structure.site_properties["selective_dynamics"]
    assert fixed == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"element": "X"}, "no element|X"),
        ({"occu": 0}, "occupancy 0"),
        ({"occu": -1}, "occupancy -1"),
        ({"occu": 1.2}, "occupancy 1.2"),
    ],
)
def test_documents_are_checked_like_files(change: dict[str, object], message: str) -> None:
    document = ROCK_SALT.as_dict()
    document["sites"][0]["species"][0].update(change)
    with pytest.raises(ValueError, match=message):
        read_crystal(document)


def test_structures_are_checked_like_files() -> None:
    dummy = Structure(Lattice.cubic(4), ["X", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match="species X of site 0 is no element"):
        read_crystal(dummy)
    with pytest.raises(ValueError, match=r"is not between 0\.5 and 1000"):
        read_crystal(Structure(Lattice.cubic(1e-8), ["O"], [[0, 0, 0]]))
    with pytest.raises(ValueError, match="out of bounds"):
        read_crystal(Structure(Lattice.cubic(4), ["O"], [[0, float("nan"), 0]]))
    assert read_crystal(ROCK_SALT) is ROCK_SALT
