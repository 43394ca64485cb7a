"""Crystals as arrays say what structures say."""

from __future__ import annotations

import json

import numpy as np
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.datasets.records import Record, read_arrays, read_crystal
from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
from crystalicl_jobflow.text import SGS

SPINEL = Structure.from_spacegroup(
    "Fd-3m:2", Lattice.cubic(8.08), ["Mg", "Al", "O"],
    [[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3],
).get_primitive_structure()  # fmt: skip


def test_all_that_is_said_is_what_the_structure_says() -> None:
    symbols = [site.specie.symbol for site in SPINEL]
    crystal = OrderedCrystal(SPINEL.lattice, symbols, SPINEL.frac_coords - 1)
    structure = crystal.structure()
    assert structure == Structure(SPINEL.lattice, symbols, SPINEL.frac_coords - 1)
    assert json.dumps(crystal.as_dict()) == json.dumps(structure.as_dict())
    assert crystal.composition() == crystal_composition(structure)
    assert crystal.composition().reduced_formula == "MgAl2O4"
    assert SGS.analyze(crystal) == SGS.analyze(structure)


def test_a_plain_text_becomes_the_demonstration_of_its_structure() -> None:
    text = SPINEL.to(fmt="cif")
    found, remarks = read_arrays(text)
    assert isinstance(found, OrderedCrystal)
    assert not remarks
    made = make_demonstration(Record("a", text), source="files")
    other = make_demonstration(Record("a", read_crystal(text)), source="files")
    assert isinstance(made, dict)
    assert isinstance(other, dict)
    assert made["structure"] == other["structure"] == read_crystal(text).as_dict()
    differ = {name for name, value in made.items() if other[name] != value}
    assert differ <= {"structure_hash", "last_updated"}


def test_a_disordered_text_is_read_as_a_structure() -> None:
    alloy = Structure(Lattice.cubic(3.9), [{"Cu": 0.5, "Au": 0.5}], np.zeros((1, 3)))
    found, _ = read_arrays(alloy.to(fmt="cif"))
    assert isinstance(found, Structure)
