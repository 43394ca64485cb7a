"""What a person has at hand is taken as it is: formulas, structures, ASE atoms, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalicl_jobflow import (
    Condition,
    CrystalGenerationFlowMaker,
    GenerateMaker,
    RetrieveMaker,
    evaluate,
    generate,
    open_pool,
    retrieve,
    validate,
)
from crystalicl_jobflow.schemas import ConditionError


@pytest.fixture
def perovskite() -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), ["Ca", "Ti", "O"], sites)


def test_a_condition_is_read_from_whatever_says_one(perovskite: Structure) -> None:
    asked = Condition(formula="CaTiO3", space_group=221)
    assert Condition.from_structure(perovskite) == asked
    assert Condition.parse(perovskite * (2, 1, 1)) == asked
    assert Condition.parse(AseAtomsAdaptor.get_atoms(perovskite)) == asked
    assert Condition.parse(" CaTiO3 ") == Condition(formula="CaTiO3")
    assert Condition.from_structure(perovskite, space_group=False) == Condition(formula="CaTiO3")
    assert repr(asked) == "Condition(formula='CaTiO3', space_group=221)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Xx2O", "Xx is not an element"),
        ("", "asks for nothing"),
        (3, "not int"),
        (None, "not NoneType"),
        (Atoms("H2"), "not periodic"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(value: Any, words: str) -> None:
    with pytest.raises(ConditionError, match=words) as caught:
        Condition.parse(value)
    assert "\n" not in str(caught.value)


def test_pools_are_whatever_holds_crystals(perovskite: Structure, tmp_path: Path) -> None:
    rock_salt = bulk("NaCl", "rocksalt", a=5.64)
    perovskite.to(str(tmp_path / "a.cif"))
    asked = Condition(anonymous_formula="ABC3")
    for pool in ("prototypes", [perovskite, rock_salt], tmp_path, open_pool([perovskite])):
        found = retrieve(pool, asked, shots=1)
        assert [item.anonymous_formula for item in found.demonstrations] == ["ABC3"]
    assert retrieve([rock_salt], "KCl", shots=1).demonstrations[0].formula == "NaCl"
    with pytest.raises(ValueError, match="holds no demonstration"):
        open_pool([])
    with pytest.raises(ValueError, match="holds no demonstration"):
        open_pool(["no crystal"])


def test_crystals_of_other_making_are_evaluated(perovskite: Structure, tmp_path: Path) -> None:
    crowded = perovskite.copy()
    crowded.scale_lattice(3.0)
    found = evaluate([perovskite, crowded, bulk("Cu")])
    assert found.num_candidates == 3
    assert (found.rates["valid"].count, found.rates["valid"].of) == (2, 3)
    assert found.reasons == {"atoms_overlap": 1}
    perovskite.to(str(tmp_path / "a.cif"))
    (tmp_path / "b.cif").write_text("data_nothing\n")
    folder = evaluate(tmp_path)
    assert (folder.rates["valid"].count, folder.rates["valid"].of) == (1, 2)
    assert folder.reasons == {"bad_cif": 1}
    with pytest.raises(ValueError, match="not NoneType"):
        evaluate(None)  # type: ignore[arg-type]


def test_atoms_are_validated() -> None:
    assert validate(bulk("NaCl", "rocksalt", a=5.64)).valid
    with pytest.raises(ValueError, match="Structure or ASE Atoms, not str"):
        validate("NaCl")


def test_an_impossible_condition_is_refused_when_the_job_is_made(perovskite: Structure) -> None:
    for maker in (RetrieveMaker(), GenerateMaker()):
        for asked in ("Xx3", {"space_group": 300}, ["CaTiO3", {"formula": "Q"}]):
            with pytest.raises(ConditionError):
                maker.make(asked)
        assert maker.make(["CaTiO3", perovskite, {"chemsys": "Ca-O"}]).uuid


def test_a_flow_is_called_after_what_is_asked() -> None:
    maker = CrystalGenerationFlowMaker(generate_maker=GenerateMaker(num_samples=8))
    asked = {"formula": "CaTiO3", "space_group": 221}
    assert maker.make(asked).name == "crystal generation: CaTiO3 221 ×8"
    assert replace(maker, name="perovskites").make(asked).name == "perovskites"
    assert maker.make([asked, "NaCl"]).name.endswith("CaTiO3 221 and 1 more ×8")
    assert maker.make(RetrieveMaker().make("NaCl").output).name == "crystal generation"


def test_what_comes_back_fits_on_a_screen(perovskite: Structure) -> None:
    crystals = generate(perovskite, samples=2, shots=1)
    retrieval = retrieve("prototypes", "CaTiO3")
    shown = (
        retrieval,
        crystals[0].candidate,
        crystals.evaluate(),
        open_pool("prototypes"),
        validate(perovskite),
    )
    for item in shown:
        assert len(repr(item)) < 4000
        assert len(repr(item).splitlines()) < 50
    assert "3 × Demonstration" in repr(retrieval)
    assert "100.0 % (2 of 2)" in repr(shown[2])
    hostile = retrieval.model_copy(update={"pool": "<script>alert(1)</script>"})
    assert "<script>" not in hostile._repr_html_()


def test_numbers_of_samples_are_whole() -> None:
    with pytest.raises(ValueError, match="samples must be a whole number, got '8'"):
        generate("CaTiO3", samples="8")  # type: ignore[arg-type]
