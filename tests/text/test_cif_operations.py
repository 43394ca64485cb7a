"""Symmetry of CIF texts: the crystal is the one that pymatgen's own parser finds."""

from __future__ import annotations

import warnings

import pytest
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser

from crystalicl_jobflow.datasets.sources import PrototypeSource
from crystalicl_jobflow.schemas import FailureReason
from crystalicl_jobflow.text import CIF, SGS, TextError
from crystalicl_jobflow.text.cif import data_block
from crystalicl_jobflow.text.cif_parsing import BoundedCifParser


@pytest.mark.parametrize("place", range(0, 288, 24))
def test_pymatgen_finds_the_same_crystal_by_itself(place: int) -> None:
    record = list(PrototypeSource().records())[place]
    crystal = record.crystal
    structure = crystal if isinstance(crystal, Structure) else Structure.from_dict(crystal)
    text = CIF.format(SGS.analyze(structure))
    plain = CifParser.from_str(data_block(text)).parse_structures(primitive=False)[0]
    read = CIF.decode(text)
    assert read.composition == plain.composition
    gaps = read.lattice.get_all_distances(read.frac_coords, plain.frac_coords)
    assert gaps.min(axis=1).max() < 1e-3


ROCK_SALT = """data_NaCl
{symmetry}
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{loop}loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""
SITES = "Na Na0 0 0 0 1\nCl Cl1 0.5 0.5 0.5 1"
NAME = "_symmetry_space_group_name_H-M"


def same_as_pymatgen(text: str) -> Structure:
    read = CIF.decode(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = CifParser.from_str(text, occupancy_tolerance=1.05)
        plain = parser.parse_structures(primitive=False)[0]
    assert read.composition == plain.composition
    gaps = read.lattice.get_all_distances(read.frac_coords, plain.frac_coords)
    assert gaps.min(axis=1).max() < 1e-3
    assert gaps.min(axis=0).max() < 1e-3
    return read


@pytest.mark.parametrize(
    ("symmetry", "atoms"),
    [
        (f"{NAME} Fm-3m", 8),
        (f"{NAME} 'F m -3 m'", 8),
        (f"{NAME} 'P 4/m m m'", 2),
        (f"{NAME} 'P 1 1 21/b'", 4),
        (f"{NAME} nonsense", 2),
        (f"{NAME} nonsense\n_space_group_IT_number 225", 8),
        ("_symmetry_Int_Tables_number 221", 2),
        ("_space_group_name_H-M_alt 'P m -3 m'", 2),
        ("_audit_author_name none", 2),
    ],
)
def test_the_operations_are_those_that_pymatgen_finds(symmetry: str, atoms: int) -> None:
    assert len(same_as_pymatgen(ROCK_SALT.format(symmetry=symmetry, loop="", sites=SITES))) == atoms


def test_a_hall_symbol_is_enough() -> None:
    """pymatgen does not know it."""
    text = ROCK_SALT.format(symmetry="_space_group_name_Hall '-F 4 2 3'", loop="", sites=SITES)
    assert len(CIF.decode(text)) == 8


@pytest.mark.parametrize("place", range(12, 288, 36))
def test_listed_operations_are_taken_as_they_are(place: int) -> None:
    record = list(PrototypeSource().records())[place]
    crystal = record.crystal
    structure = crystal if isinstance(crystal, Structure) else Structure.from_dict(crystal)
    same_as_pymatgen(CIF.encode(structure))


@pytest.mark.parametrize(
    ("sites", "formula"),
    [
        # images of one site, written twice; one within the tolerance; half of each element
        ("Na Na0 0.1 0.2 0.3 0.5\nK K1 0.9 0.8 0.7 0.5", "K0.5 Na0.5"),
        ("Na Na0 0.1 0.2 0.3 0.5\nK K1 0.10005 0.2 0.29995 0.5", "K0.5 Na0.5"),
        ("Na Na0 0.1 0.2 0.3 1\nK K1 0.9 0.8 0.69 1", "K1 Na1"),
        ("Na Na0 1.1 -0.8 0.3 0.5\nK K1 0.1 0.2 0.3 0.5", "K0.5 Na0.5"),
    ],
)
def test_images_of_a_site_are_that_site(sites: str, formula: str) -> None:
    read = same_as_pymatgen(ROCK_SALT.format(symmetry=f"{NAME} P-1", loop="", sites=sites))
    assert read.composition / len(read) == Composition(formula) / Composition(formula).num_atoms


def test_an_operation_listed_twice_counts_once() -> None:
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n'x+1,y,z-1'\n'-x,-y,-z'\n"
    sites = "Na Na0 0.1 0.2 0.3 1"
    text = ROCK_SALT.format(symmetry=f"{NAME} P-1", loop=loop, sites=sites)
    parser = BoundedCifParser.from_str(text)
    (structure,) = parser.parse_structures(primitive=False)
    assert len(parser.operations) == len(structure) == 2
    assert same_as_pymatgen(text) == structure


def test_more_sites_than_a_cell_may_have_are_refused() -> None:
    rows = [
        f"Na Na{i} {0.11 + i / 900:.4f} {0.23 + i / 800:.4f} {0.371 + i / 700:.4f} 1"
        for i in range(105)
    ]
    for count, message in (
        (11, "more than 2000 atoms"),
        (105, "105 sites and 192 symmetry operations"),
    ):
        text = ROCK_SALT.format(symmetry=f"{NAME} Fm-3m", loop="", sites="\n".join(rows[:count]))
        with pytest.raises(TextError, match=f"{message}: a cell may have 2000$") as error:
            CIF.decode(text)
        assert error.value.reason is FailureReason.TOO_MANY_ATOMS


MONOCLINIC = (
    ROCK_SALT.replace("_cell_angle_beta 90", "_cell_angle_beta {beta}")
    .replace("_cell_angle_gamma 90", "_cell_angle_gamma {gamma}")
    .replace("_cell_length_b 5.6", "_cell_length_b 6.1")
    .replace("_cell_length_c 5.6", "_cell_length_c 7.3")
)


@pytest.mark.parametrize(
    ("symbol", "beta", "gamma", "atoms"),
    [
        ("P 1 21/a 1", 100, 90, 8),
        ("P 1 1 21/a", 90, 100, 8),
        ("P112", 90, 100, 4),
        ("P21/a", 100, 90, 2),  # with b or c as its axis: nothing says which
        ("A2", 100, 90, 2),
    ],
)
def test_a_symbol_of_another_setting_has_its_operations_and_one_of_two_has_none(
    symbol: str, beta: int, gamma: int, atoms: int
) -> None:
    sites = "Na Na0 0.1 0.2 0.3 1\nCl Cl1 0.4 0.4 0.1 1"
    text = MONOCLINIC.format(
        symmetry=f"{NAME} '{symbol}'", loop="", sites=sites, beta=beta, gamma=gamma
    )
    assert len(CIF.decode(text)) == atoms


def test_an_operation_without_a_loop_is_bounded_as_well() -> None:
    operation = f"_symmetry_equiv_pos_as_xyz '{'+'.join(['x'] * 200)},y,z'"
    text = ROCK_SALT.format(symmetry=operation, loop="", sites=SITES)
    with pytest.raises(TextError, match=r"symmetry operation .* characters"):
        CIF.decode(text)
