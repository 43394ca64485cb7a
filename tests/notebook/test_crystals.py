"""The front door: asked in a few words, answered with different crystals."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Structure

import crystalicl_jobflow
from crystalicl_jobflow import generate
from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.notebook import Crystals
from crystalicl_jobflow.notebook.asking import read_conditions
from crystalicl_jobflow.schemas import Condition, ConditionError, SamplingParams
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT, RecitingGenerator

FREE = Writing(SamplingParams(max_redraws=0), constrain=False)


def ask(*texts: str, samples: int = 12) -> Crystals:
    model = RecitingGenerator(texts)
    return generate("NaCl", space_group=225, model=model, shots=0, samples=samples, writing=FREE)


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    return ask(ROCK_SALT, PEROVSKITE, NO_CRYSTAL, OVERLAPPING, samples=24)


@pytest.mark.parametrize(
    ("asked", "fields", "expected"),
    [
        ("CaTiO3", {"space_group": 221}, [Condition(formula="CaTiO3", space_group=221)]),
        ("CaTiO3", {"space_group": "Pm-3m"}, [Condition(formula="CaTiO3", space_group=221)]),
        ({"elements": ["Li", "O"]}, {}, [Condition(elements=["Li", "O"])]),
        (None, {"chemsys": "Li-O"}, [Condition(chemsys="Li-O")]),
        ('{"formula": "NaCl"}', {}, [Condition(formula="NaCl")]),
        (
            ["NaCl", {"formula": "KCl"}, Condition(formula="LiCl")],
            {"space_group": 225},
            [Condition(formula=name, space_group=225) for name in ("NaCl", "KCl", "LiCl")],
        ),
    ],
)
def test_conditions_are_read_as_people_write_them(asked, fields, expected) -> None:
    assert read_conditions(asked, **fields) == expected


@pytest.mark.parametrize(
    ("asked", "fields", "words"),
    [
        ("Xx3", {}, "Xx3"),
        ("NaCl", {"formula": "KCl"}, "formula is given twice: NaCl and KCl"),
        ("NaCl", {"spacegroup": 225}, "spacegroup"),
        ("NaCl", {"space_group": 231}, "231"),
    ],
)
def test_what_makes_no_sense_is_one_line(asked: str, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConditionError, match=words) as caught:
        generate(asked, **fields)  # before any model is loaded
    assert "\n" not in str(caught.value)


def test_each_crystal_comes_once_with_its_draws_the_best_first(crystals: Crystals) -> None:
    assert [item.formula for item in crystals] == ["NaCl", "CaTiO3", "NaCl"]
    assert [item.outcome for item in crystals] == [
        "as asked", "symmetry differs", "atoms overlap",
    ]  # fmt: skip
    assert len(crystals.candidates) == 24
    lost = sum(crystals.failures.values())
    assert sum(item.times_drawn for item in crystals) + lost == 24
    assert lost == sum(item.structure is None for item in crystals.candidates) > 0
    assert [item.formula for item in crystals.valid] == ["NaCl", "CaTiO3"]
    assert [len(one) for one in crystals.structures] == [8, 5]
    assert [item.formula for item in crystals.best(1)] == ["NaCl"]


def test_tables_say_the_same(crystals: Crystals) -> None:
    frame = crystals.to_frame()
    assert list(frame.columns) == [
        "formula", "group", "sites", "density", "shortest_contact", "times_drawn", "outcome",
    ]  # fmt: skip
    assert frame["group"][0] == "Fm-3m (225)"
    assert frame["density"][0] == pytest.approx(2.21, abs=0.01)
    assert frame["shortest_contact"][0] == pytest.approx(2.8)
    text = repr(crystals)
    lost = sum(not item.valid for item in crystals.candidates)
    said = f"3 different crystals, 2 valid, of 24 draws; {lost} draws not valid, most often "
    assert text.startswith(said)
    assert "Fm-3m (225)" in text
    page = crystals._repr_html_()
    assert "CaTiO<sub>3</sub>" in page
    assert page.count("<tr>") == 4


def test_nothing_written_is_markup() -> None:
    none = ask("<script>alert(1)</script>", samples=2)
    assert len(none) == 0
    assert none.structures == []
    assert "<script" not in none._repr_html_()
    (reason,) = none.failures
    assert repr(none) == (f"0 different crystals, 0 valid, of 2 draws; 2 draws not valid: {reason}")
    assert none.to_frame().empty


def test_a_crystal_is_shown_as_a_view_or_as_text(crystals: Crystals) -> None:
    view = crystals[0].show()
    assert repr(view).startswith("NaCl, space group 225\nFull Formula (Na4 Cl4)")
    page = view._repr_html_()
    assert page.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert 'sandbox="allow-scripts"' in page
    assert repr(crystals[0]).startswith("GeneratedCrystal(NaCl, space group 225, drawn ")


def test_files_and_other_packages(crystals: Crystals, tmp_path: Path) -> None:
    paths = crystals.to_cif(tmp_path / "cifs")
    assert [path.name for path in paths] == ["001-NaCl.cif", "002-CaTiO3.cif"]
    assert Structure.from_file(paths[0]).matches(crystals.structures[0])
    assert crystals.atoms[0].get_chemical_formula() == "Cl4Na4"
    page = crystals.report(tmp_path / "page.html")
    assert "Generated crystals" in page.read_text()


def test_rates_are_over_every_draw(crystals: Crystals, tmp_path: Path) -> None:
    rates = crystals.evaluate().rates
    assert rates["valid"].of == 24
    known = tmp_path / "known.csv"
    cif = crystals.structures[0].to(fmt="cif").replace('"', '""')
    known.write_text(f'material_id,cif\nsalt,"{cif}"\n')
    novel = crystals.evaluate(reference=known).rates["novel"]
    salt = sum(item.formula_pretty == "NaCl" and item.valid for item in crystals.candidates)
    assert (novel.of - novel.count) >= salt > 0
    page = crystals.best(1).report(tmp_path / "page.html").read_text()
    assert "1 of the 2 is new: not among the crystals of known (1 crystal)." in page


def test_relaxed_crystals_carry_energies(crystals: Crystals) -> None:
    pytest.importorskip("chgnet")
    (relaxed,) = crystals.best(1).relax("CHGNet", max_steps=60)
    assert relaxed.relaxation is not None
    assert relaxed.energy_per_atom == pytest.approx(-3.67, abs=0.1)
    assert relaxed.structure.lattice.a == pytest.approx(5.65, abs=0.15)
    assert relaxed.row()["relaxed"] == "yes"


def test_the_package_offers_it() -> None:
    assert crystalicl_jobflow.generate is generate
    assert generate.__module__ == "crystalicl_jobflow.notebook.asking"


def test_with_a_measured_pattern_the_similar_crystal_comes_first(tmp_path: Path) -> None:
    from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
    from crystalicl_jobflow.text import SGS

    caesium_chloride = "Pm-3m\n3.5 3.5 3.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
    true = SGS.decode(ROCK_SALT.replace("5.6", "5.65"))
    pattern = simulate_pattern(true, PatternSimulation(), name="halite", seed=0)
    model = RecitingGenerator([caesium_chloride, caesium_chloride, ROCK_SALT, NO_CRYSTAL])
    asked = {"model": model, "shots": 0, "samples": 8, "writing": FREE}
    found = generate("NaCl", xrd=pattern, **asked)
    assert [item.structure.get_space_group_info()[1] for item in found] == [225, 221]
    assert found[0].similarity > 0.97 > found[1].similarity
    assert found[0].refined.volume / len(found[0].refined) == pytest.approx(
        true.volume / len(true), rel=0.01
    )
    assert found.to_frame()["similarity"].iloc[0] == found[0].similarity
    assert found[:1].valid.pattern is pattern
    assert "measured: halite" in found.report(tmp_path / "page.html").read_text()
    plain = generate("NaCl", **asked)
    assert (plain[0].similarity, plain[0].refined, plain.pattern) == (None, None, None)
    with pytest.raises(ValueError, match="wavelength has no effect without xrd"):
        generate("NaCl", wavelength="Mo", **asked)
