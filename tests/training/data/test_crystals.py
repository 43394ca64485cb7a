"""Crystals are read once, and bad rows are reported."""

from __future__ import annotations

import csv
import gzip
import os

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training import load_split, read_training_crystals
from crystalicl_jobflow.training.data import crystals
from crystalicl_jobflow.training.data.mixtures import choose_formulas


@pytest.fixture
def table(tmp_path):
    def write(name: str, formulas: list[str], *, broken: bool = False):
        path = tmp_path / f"{name}.csv.gz"
        with gzip.open(path, "wt", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(["material_id", "heat_all", "cif"])
            for place, (cation, anion) in enumerate(formulas):
                crystal = Structure(
                    Lattice.from_parameters(4.0, 4.0, 4.0, 60, 60, 60),
                    [cation, anion],
                    [[0, 0, 0], [0.5, 0.5, 0.5]],
                )
                writer.writerow([f"m{place}", -1.5, crystal.to(fmt="cif")])
            if broken:
                writer.writerow(["bad", 0.0, "data_nothing"])
        return path

    return write


SALTS = [("Na", "Cl"), ("K", "Cl"), ("Mg", "O"), ("Ca", "O"), ("Li", "F"), ("Rb", "I")]


def test_rows_become_crystals_with_their_properties(table) -> None:
    found, skipped = read_training_crystals([table("salts", SALTS)])
    assert not skipped
    first = found[0].demonstration
    assert first.demonstration_id == "salts:m0"
    assert (first.formula, first.space_group, first.num_sites) == ("NaCl", 225, 2)
    assert first.properties == {"formation_energy_per_atom": -1.5}
    assert first.text == SGS.format(found[0].crystal)
    assert found[0].num_orbits == 2


@pytest.mark.parametrize("value", ["", "nan", "inf", "-inf", "1e400", "None", "N/A", "-1,5"])
def test_a_value_that_is_no_number_costs_no_crystal(table, value: str, tmp_path) -> None:
    with gzip.open(table("salts", SALTS), "rt", newline="") as lines:
        rows = list(csv.reader(lines))
    rows[2][1] = value
    with (tmp_path / "values.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found, skipped = read_training_crystals([tmp_path / "values.csv"])
    assert not skipped
    known = [item.demonstration.properties for item in found]
    assert known == [{} if row == 1 else {"formation_energy_per_atom": -1.5} for row in range(6)]


def test_rows_that_cannot_be_read_are_reported(table) -> None:
    found, skipped = read_training_crystals([table("salts", SALTS, broken=True)])
    assert len(found) == len(SALTS)
    (row,) = skipped
    assert (row.source, row.row) == ("salts", len(SALTS))
    assert row.reason


def test_a_cache_is_used_until_its_file_changes(table, tmp_path, monkeypatch) -> None:
    path = table("salts", SALTS)
    first, _ = read_training_crystals([path], cache=tmp_path / "cache")
    monkeypatch.setattr(crystals, "_read_file", refuse)
    again, _ = read_training_crystals([path], cache=tmp_path / "cache")
    assert again == first
    monkeypatch.undo()
    (kept,) = (tmp_path / "cache").iterdir()
    table("salts", SALTS[:2])
    os.utime(kept)  # later than the file: the contents decide
    fewer, _ = read_training_crystals([path], cache=tmp_path / "cache")
    assert len(fewer) == 2


def refuse(*_args, **_options):
    raise AssertionError("the file was read although its cache holds it")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("NaCl", "KCl"),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"versions": {', '"versions": {"older": "1", '),
        lambda _text: "",
        lambda _text: "\x80\x04K\x01.",  # a pickle
    ],
    ids=["changed", "cut", "other versions", "empty", "pickle"],
)
def test_a_cache_that_was_changed_is_made_anew(table, tmp_path, monkeypatch, damage) -> None:
    path = table("salts", SALTS)
    first, _ = read_training_crystals([path], cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_text(encoding="utf-8")
    assert damage(whole) != whole
    kept.write_text(damage(whole), encoding="utf-8")
    again, _ = read_training_crystals([path], cache=tmp_path / "cache")
    assert [item.crystal for item in again] == [item.crystal for item in first]
    assert [item.demonstration.text for item in again] == [
        item.demonstration.text for item in first
    ]
    monkeypatch.setattr(crystals, "_read_file", refuse)
    assert read_training_crystals([path], cache=tmp_path / "cache")[0] == again


def test_missing_files_and_columns_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv is not a file"):
        read_training_crystals([tmp_path / "nothing.csv"])
    (tmp_path / "odd.csv").write_text("name,text\na,b\n")
    with pytest.raises(ValueError, match=r"odd\.csv has no column 'cif'"):
        read_training_crystals([tmp_path / "odd.csv"])


def test_held_out_formulas_are_in_no_training_file(table) -> None:
    split = load_split([table("first", SALTS), table("second", SALTS)], validation_share=0.34)
    held_out = {crystal.demonstration.formula for crystal in split.validation}
    assert len(held_out) == 2
    assert {c.demonstration.source for c in split.validation} == {"first"}
    assert not held_out & {crystal.demonstration.formula for crystal in split.training}
    assert len(split.training) == 8


def test_crystals_with_many_orbits_are_left_out(table) -> None:
    with pytest.raises(ValueError, match="no crystal is left"):
        load_split([table("salts", SALTS)], max_orbits=1)


def test_the_choice_of_formulas_depends_on_the_seed_only() -> None:
    formulas = [f"X{n}" for n in range(40)]
    assert choose_formulas(formulas, 0.1, seed=1) == choose_formulas(formulas[::-1], 0.1, seed=1)
    assert choose_formulas(formulas, 0.1, seed=1) != choose_formulas(formulas, 0.1, seed=2)
    with pytest.raises(ValueError, match=r"within \[0, 1\)"):
        choose_formulas(formulas, 1.0)
