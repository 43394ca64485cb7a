"""What a crystal is, against pymatgen's own analysis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.validation.summary import (
    crystal_summary,
    equivalent_sites,
    find_space_group,
)


def test_rock_salt(nacl: Structure) -> None:
    summary = crystal_summary(nacl)
    assert (summary.formula, summary.anonymous_formula) == ("NaCl", "AB")
    assert (summary.chemsys, summary.elements) == ("Cl-Na", ("Cl", "Na"))
    assert (summary.space_group, summary.space_group_symbol) == (225, "Fm-3m")
    assert summary.num_sites == 2  # primitive, of 8 in the conventional cell
    assert summary.density == pytest.approx(2.11, abs=0.01)
    assert summary.volume == pytest.approx(5.69**3)


def test_sites_are_equivalent_by_symmetry_or_alone(nacl: Structure) -> None:
    found = equivalent_sites(nacl)
    assert sorted(found.values()) == [4, 4]
    assert {nacl[index].species_string for index in found} == {"Na", "Cl"}
    moved = nacl.copy()
    moved.translate_sites([0], [0.03, 0.04, 0.05])
    assert len(equivalent_sites(moved)) > 2
    assert sum(equivalent_sites(moved).values()) == len(moved)


def test_group_is_the_one_of_the_analyzer(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    for structure, group, formula in mp_20(60):
        summary = crystal_summary(structure)
        analyzer = SpacegroupAnalyzer(structure, symprec=0.1)
        assert summary.space_group == analyzer.get_space_group_number() == group
        assert summary.space_group_symbol == analyzer.get_space_group_symbol()
        assert summary.formula == structure.composition.reduced_formula
        assert Composition(summary.formula) == Composition(formula)


def test_primitive_sites_do_not_depend_on_the_cell(nacl: Structure, cscl: Structure) -> None:
    for crystal in (nacl, cscl):
        expected = crystal_summary(crystal).num_sites
        assert crystal_summary(crystal * (2, 1, 3)).num_sites == expected
        assert crystal_summary(crystal.get_primitive_structure()).num_sites == expected


def test_symprec_decides() -> None:
    nearly = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.51]])
    assert find_space_group(nearly, symprec=0.1)[0] == 221
    assert find_space_group(nearly, symprec=0.01)[0] == 99


def test_no_group_for_atoms_on_top_of_each_other() -> None:
    heap = Structure(Lattice.cubic(4), ["Na"] * 3, [[0, 0, 0], [0, 0, 0.001], [0, 0.001, 0]])
    assert find_space_group(heap) == (None, None, 3)


def test_mixed_sites_give_whole_formulas() -> None:
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0] * 3, [0.5] * 3])
    summary = crystal_summary(mixed)
    assert summary.formula == "KNaCl2"
    assert summary.space_group == 221
    assert np.isfinite(summary.density)
