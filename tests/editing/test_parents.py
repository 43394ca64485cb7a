"""Where the crystals that are edited come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalicl_jobflow.editing import EditError, Parent, read_parents
from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE


@pytest.fixture
def folder(tmp_path: Path, perovskite: Structure, rock_salt: Structure) -> Path:
    perovskite.to(filename=str(tmp_path / "CaTiO3.cif"))
    rock_salt.to(filename=str(tmp_path / "NaCl.vasp"), fmt="poscar")
    rock_salt.to(filename=str(tmp_path / "NaCl.json"))
    (tmp_path / "text.sgs").write_text(PEROVSKITE)
    (tmp_path / "cut.sgs").write_text(PEROVSKITE[:50])
    return tmp_path


@pytest.mark.parametrize("name", ["CaTiO3.cif", "NaCl.vasp", "NaCl.json", "text.sgs"])
def test_a_file_gives_its_crystal_its_name(folder: Path, name: str) -> None:
    (parent,) = read_parents(folder / name)
    assert parent.parent_id == name.split(".", maxsplit=1)[0]
    assert parent.formula == ("NaCl" if name.startswith("NaCl") else "CaTiO3")
    assert parent.crystal.space_group_number == (225 if parent.formula == "NaCl" else 221)


def test_crystals_come_as_they_are_held(perovskite: Structure, rock_salt: Structure) -> None:
    sources: list[Any] = [
        perovskite,
        perovskite.as_dict(),
        AseAtomsAdaptor.get_atoms(perovskite),
        PEROVSKITE,
        perovskite.to(fmt="cif"),
        {"material_id": "mp-1", "structure": perovskite},
        Parent("own", perovskite),
    ]
    for source in sources:
        (parent,) = read_parents(source)
        assert parent.orbits() == "1: Ca 1a, 2: Ti 1b, 3: O 3c"
        assert parent.atoms == 5
    named = read_parents({"first": perovskite, "second": rock_salt})
    assert [item.parent_id for item in named] == ["first", "second"]
    assert read_parents(sources[-2])[0].parent_id == "mp-1"


def test_a_structure_without_a_name_gets_the_same_one_again(perovskite: Structure) -> None:
    (one,), (same,) = read_parents(perovskite), read_parents(perovskite.copy())
    assert one.parent_id == same.parent_id
    assert one.parent_id.startswith("CaTiO3-")
    larger = perovskite.copy()
    larger.scale_lattice(70)
    assert read_parents(larger)[0].parent_id != one.parent_id


def test_beginnings_are_texts_or_files_of_them(folder: Path) -> None:
    for source in (folder / "cut.sgs", PEROVSKITE[:50]):
        (parent,) = read_parents(source, as_texts=True)
        assert parent.text == PEROVSKITE[:50]
        assert parent.structure is None


def test_a_text_shows_its_own_orbits(perovskite: Structure) -> None:
    shown = Parent("p", perovskite).demonstration()
    assert SGS.decode(shown.text).matches(SGS.decode(PEROVSKITE))
    assert shown.demonstration_id == "p"


@pytest.mark.parametrize(
    ("source", "as_texts", "words"),
    [
        ("missing.cif", False, "missing.cif does not exist"),
        ("missing.sgs", True, "missing.sgs does not exist"),
        ("cut.sgs", False, "cut.sgs: it is no whole crystal, so it can only be completed"),
        ("CaTiO3.cif", True, "is a whole crystal"),
        (".", True, "is a folder"),
        ([], False, "there is no crystal to edit"),
        (7, False, "int is no crystal"),
        (["CaTiO3.cif", "CaTiO3.cif"], False, "two crystals are called 'CaTiO3'"),
        ({"candidate_id": "abc", "structure": None}, False, "abc has no crystal"),
    ],
)
def test_what_is_no_crystal_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: Any, as_texts: bool, words: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=words) as caught:
        read_parents(source, as_texts=as_texts)
    assert "\n" not in str(caught.value)


def test_a_disordered_crystal_is_refused_with_what_is_shared(rock_salt: Structure) -> None:
    mixed = rock_salt.copy()
    mixed.replace_species({"Na": {"Na": 0.5, "K": 0.5}})
    with pytest.raises(EditError, match=r"salt is disordered \(.*Na.* share a site\)"):
        Parent("salt", mixed).crystal  # noqa: B018 - a property that raises
