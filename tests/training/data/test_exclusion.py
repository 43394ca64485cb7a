"""Crystals of files to test on are not learned."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.training import InstructionSet, LoopSettings, load_split, train_base
from crystalicl_jobflow.training.data.exclusion import compounds, read_compounds, without_compounds
from crystalicl_jobflow.training.model_card import training_card
from crystalicl_jobflow.training.provenance import read_data, record_data


def salt(cation: str, anion: str, shift: float = 0.0) -> Structure:
    """Return rock salt; with a shift (fractional) it is cubic at a loose tolerance only."""
    return Structure(
        Lattice.from_parameters(4.0, 4.0, 4.0, 60, 60, 60),
        [cation, anion],
        [[0, 0, 0], [0.5 + shift, 0.5 + shift, 0.5 + shift]],
    )


def write(path: Path, structures: list[Structure]) -> Path:
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["material_id", "cif"])
        for structure in structures:
            writer.writerow(["same", structure.to(fmt="cif")])
    return path


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    names = [("Na", "Cl"), ("K", "Cl"), ("Mg", "O"), ("Ca", "O"), ("Li", "F")]
    return write(tmp_path / "learned.csv", [salt(*pair) for pair in names])


def test_formula_and_group_are_taken_out_at_either_tolerance(tmp_path, learned) -> None:
    # at 0.1 Å as cubic as the others, at 0.01 Å rhombohedral
    test = write(tmp_path / "test.csv", [salt("Na", "Cl", 0.004), salt("Rb", "I")])
    found = read_compounds([test])
    assert ("NaCl", 225) in found
    assert len({group for formula, group in found if formula == "NaCl"}) == 2
    split = load_split([learned], validation_share=0, exclude=[test])
    assert {item.demonstration.formula for item in split.training} == {"KCl", "MgO", "CaO", "LiF"}
    assert [(item.name, item.taken_out, item.guarded) for item in split.data] == [
        ("learned.csv", 1, False),
        ("test.csv", 0, True),
    ]


def test_another_group_of_the_formula_stays(prototypes) -> None:
    crystal = prototypes[0]
    formula, group = crystal.demonstration.formula, crystal.demonstration.space_group
    assert without_compounds([crystal], {(formula, 231)}) == [crystal]
    assert without_compounds([crystal], {(formula, group)}) == []
    assert compounds(replace(crystal, exact_group=1)) == {(formula, group), (formula, 1)}


def test_a_test_file_that_cannot_be_read_is_an_error(tmp_path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("material_id,cif\na,data_nothing\n")
    with pytest.raises(ValueError, match="1 rows that are to be excluded cannot be read"):
        read_compounds([path])


def test_rows_of_one_name_are_told_apart(learned) -> None:
    split = load_split([learned], validation_share=0)
    names = [item.demonstration.demonstration_id for item in split.training]
    assert names == [f"learned:same-{row}" for row in range(5)]


def test_the_card_says_how_many(tmp_path, learned, prototypes, tiny_size) -> None:
    test = write(tmp_path / "test.csv", [salt("Na", "Cl"), salt("Mg", "O")])
    split = load_split([learned], validation_share=0, exclude=[test])
    folder = tmp_path / "run"
    record_data(folder, split.data)
    settings = LoopSettings(epochs=1, threads=1, log_every=1, tokens_per_batch=800)
    train_base(InstructionSet(prototypes[:6]), folder, settings=settings, size=tiny_size)
    card = training_card(folder)
    assert "row of `test.csv`" in card
    assert "were taken out: 2 (2 of learned.csv)." in card
    assert "| test.csv |" not in card
    assert tuple(read_data(folder)) == split.data
