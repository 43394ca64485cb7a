"""CrystaLLM's validity: texts that agree with themselves, bonds of a reasonable length."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import pytest
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser

from crystalicl_jobflow.text import CIF
from crystalicl_jobflow.validation.bond_lengths import bond_lengths, expected_bond_length
from crystalicl_jobflow.validation.cif_validity import cif_validity

NACL_CIF = """data_Na4Cl4
_symmetry_space_group_name_H-M   Fm-3m
_cell_length_a   5.6900
_cell_length_b   5.6900
_cell_length_c   5.6900
_cell_angle_alpha   90.0000
_cell_angle_beta   90.0000
_cell_angle_gamma   90.0000
_symmetry_Int_Tables_number   225
_chemical_formula_structural   NaCl
_chemical_formula_sum   'Na4 Cl4'
_cell_volume   184.2200
_cell_formula_units_Z   4
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
{operations}
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_symmetry_multiplicity
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
  Na  Na0  4  0.0000  0.0000  0.0000  1
  Cl  Cl1  4  0.5000  0.5000  0.5000  1
"""


@pytest.fixture(scope="module")
def salt() -> str:
    from pymatgen.symmetry.groups import SpaceGroup

    operations = SpaceGroup("Fm-3m").symmetry_ops
    lines = [f"  {i}  '{op.as_xyz_str()}'" for i, op in enumerate(operations, start=1)]
    return NACL_CIF.format(operations="\n".join(lines))


def test_a_text_that_agrees_with_itself_is_valid(salt: str) -> None:
    found = cif_validity(salt)
    assert found.valid
    assert found.problems == {}
    assert found.bond_length_score == 1
    assert found.bonds.num_bonds == 48  # six neighbours of eight atoms


@pytest.mark.parametrize(
    ("old", "new", "check", "says"),
    [
        ("data_Na4Cl4", "data_K4Cl4", "formula_consistent", "KCl in the name of the data block"),
        ("_structural   NaCl", "_structural   NaCl2", "formula_consistent", "formulas differ"),
        ("_chemical_formula_structural   NaCl\n", "", "formula_consistent", "no formula in"),
        ("'Na4 Cl4'", "'Na8 Cl8'", "multiplicity_consistent", "add up to Na4 Cl4"),
        ("Na0  4", "Na0  8", "multiplicity_consistent", "add up to Na8 Cl4"),
        ("Na0  4", "Na0  x", "multiplicity_consistent", "no whole number"),
        ("Fm-3m", "Pm-3m", "space_group_consistent", "found is Fm-3m"),
        ("Fm-3m", "Xyz", "space_group_consistent", "no space group"),
        ("5.6900", "3.6000", "bonds_reasonable", "of 1.80 Å"),
        ("5.6900", "9.0000", "bonds_reasonable", "no bond was found"),
    ],
)
def test_each_contradiction_is_found_alone(
    salt: str, old: str, new: str, check: str, says: str
) -> None:
    found = cif_validity(salt.replace(old, new))
    assert found.parsed
    assert not found.valid
    assert set(found.problems) == {check}
    assert not getattr(found, check)
    assert re.search(says, found.problems[check])


def test_another_spelling_of_a_group_is_no_other_group(salt: str) -> None:
    assert cif_validity(salt.replace("   Fm-3m", "   'F m -3 m'")).valid


def test_what_is_no_crystal_holds_nothing() -> None:
    for text in ("", "no CIF at all", "data_NaCl\n_cell_length_a 5.69\n"):
        found = cif_validity(text)
        assert not found.parsed
        assert not found.valid
        assert found.bond_length_score is None
        assert set(found.problems) == {"parsed"}


def test_the_parser_that_older_code_called_is_gone() -> None:
    """Code that swallowed this error would report no valid text at all."""
    assert not hasattr(CifParser, "from_string")


def test_expected_lengths() -> None:
    # ionic (difference 2.23): mean cationic radius of Na, mean anionic one of Cl
    assert expected_bond_length("Na", "Cl") == pytest.approx(1.16 + 1.67)
    assert expected_bond_length("Cl", "Na") == expected_bond_length("Na", "Cl")
    # covalent: atomic radii 1.10 + 1.25 (difference 0.11), 1.40 + 1.40
    assert expected_bond_length("Si", "Ge") == pytest.approx(1.10 + 1.25)
    assert expected_bond_length("Al", "Ti") == pytest.approx(1.25 + 1.40)
    # noble gases have no electronegativity: not ionic with anything
    assert expected_bond_length("Xe", "F") == pytest.approx(1.08 + 0.50)


def test_bonds_do_not_depend_on_the_cell() -> None:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    full, small = bond_lengths(copper), bond_lengths(copper.get_primitive_structure())
    assert full.score == small.score == 1
    assert (full.num_bonds, small.num_bonds) == (48, 12)


def test_hydrogen_may_be_further_off() -> None:
    hydride = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.08), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    assert bond_lengths(hydride).reasonable


def test_crystals_without_bonds_are_not_reasonable() -> None:
    gas = Structure(Lattice.cubic(40), ["He"], [[0, 0, 0]])
    found = bond_lengths(gas)
    assert found.score is None
    assert not found.reasonable
    assert found.error
    mixed = Structure(Lattice.cubic(3.7), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    assert "mixed occupancy" in (bond_lengths(mixed).error or "")


def test_the_score_is_that_of_a_plain_loop_over_all_sites(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    """CrystaLLM's loop, on crystals in which no atom is bonded to its own image."""
    compared = 0
    for structure, _, _ in mp_20(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bonds = [
                (site, neighbour["site"], neighbour["site_index"] == i)
                for i, site in enumerate(structure)
                for neighbour in CrystalNN().get_nn_info(structure, i)
            ]
        if any(own for *_, own in bonds):
            continue
        good = 0
        for one, other, _ in bonds:
            symbols = one.specie.symbol, other.specie.symbol
            ratio = one.distance(other, jimage=(0, 0, 0)) / expected_bond_length(*symbols)
            good += ratio < 2.5 if "H" in symbols else 0.68 < ratio < 1.32
        found = bond_lengths(structure)
        assert found.num_bonds == len(bonds)
        assert found.score == pytest.approx(good / len(bonds))
        compared += 1
    assert compared >= 4


def test_texts_of_real_crystals_are_consistent(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    found = [cif_validity(CIF.encode(structure)) for structure, _, _ in mp_20(20)]
    assert all(item.formula_consistent for item in found)
    assert all(item.multiplicity_consistent for item in found)
    assert all(item.space_group_consistent for item in found)
    assert sum(item.bonds_reasonable for item in found) >= 18
