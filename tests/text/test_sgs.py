from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text import SGS, SGSW, SGSCrystal, SGSSite, TextError

MGAGOF = """\
P4/mmm
4.2 4.2 4.2
90 90 90
Mg
0.00 0.00 0.00
Ag
0.50 0.50 0.50
O
0.00 0.50 0.50
F
0.50 0.50 0.00"""

NACL = """\
Fm-3m
5.7 5.7 5.7
90 90 90
Na
0.00 0.00 0.00
Cl
0.50 0.50 0.50"""


@pytest.fixture
def rock_salt() -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def random_crystal(number: int, seed: int) -> tuple[SGSCrystal, dict[str, int]]:
    """Occupy random Wyckoff positions of a group; return the crystal and its atom counts."""
    rng = np.random.default_rng(seed)
    positions = wyckoff.wyckoff_positions(number)
    lengths, angles = wyckoff.constrain_lattice(
        np.round(rng.uniform(6, 14, 3), 1), np.round(rng.uniform(75, 105, 3)), number
    )
    taken: set[str] = set()
    sites, counts = [], {}
    for species in ["Na", "Ti", "Cu", "O", "F"][: rng.integers(1, 6)]:
        position = positions[rng.integers(len(positions))]
        if position.degrees_of_freedom == 0:
            if position.letter in taken:
                continue
            taken.add(position.letter)
        parameters = np.round(rng.uniform(0, 1, 3), 2)
        point = np.round(position.rotation @ parameters + position.translation, 2) % 1.0
        multiplicity = int(wyckoff.snap(point, number).multiplicity[0])
        sites.append(SGSSite(species, tuple(point.tolist()), multiplicity))
        counts[species] = counts.get(species, 0) + multiplicity
    return SGSCrystal(number, lengths, angles, tuple(sites)), counts


def test_encodes_as_the_paper_shows() -> None:
    structure = Structure(
        Lattice.tetragonal(4.2, 4.23),
        ["F", "Ag", "O", "O", "Mg"],
        [[0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 0]],
    )
    assert SGS.encode(structure) == MGAGOF


def test_decoding_expands_every_orbit(rock_salt: Structure) -> None:
    structure = SGS.decode(NACL)
    assert structure.composition.as_dict() == {"Na": 4.0, "Cl": 4.0}
    assert StructureMatcher().fit(structure, rock_salt)
    assert structure.site_properties == {}
    assert structure.properties == {}


def test_the_primitive_cell_a_supercell_and_the_whole_cell_have_one_text(
    rock_salt: Structure,
) -> None:
    supercell = rock_salt.copy()
    supercell.make_supercell([1, 2, 1])
    assert SGS.encode(rock_salt) == SGS.encode(rock_salt.get_primitive_structure()) == NACL
    assert SGS.encode(supercell) == NACL


def test_oxidation_states_and_site_properties_do_not_show(rock_salt: Structure) -> None:
    rock_salt.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    rock_salt.add_site_property("magmom", list(range(8)))
    assert SGS.encode(rock_salt) == NACL


def test_sgsw_names_the_wyckoff_positions(rock_salt: Structure) -> None:
    text = SGSW.encode(rock_salt)
    assert text == NACL.replace("Na", "Na 4a").replace("Cl", "Cl 4b")
    assert SGSW.decode(text) == SGSW.decode(NACL) == SGS.decode(text) == SGS.decode(NACL)


def test_a_letter_puts_the_site_on_its_position() -> None:
    head = "Fm-3m\n9.0 9.0 9.0\n90 90 90\n"
    assert len(SGS.decode(head + "Na\n0.24 0.25 0.25")) == 8
    for position in ("c", "8c"):
        assert len(SGSW.decode(head + f"Na {position}\n0.24 0.25 0.25")) == 8
    with pytest.raises(TextError, match="is not on the Wyckoff position a") as caught:
        SGSW.decode(head + "Na a\n0.24 0.25 0.25")
    assert caught.value.reason == FailureReason.BAD_COORDINATES
    with pytest.raises(TextError, match="no Wyckoff position 'm'") as caught:
        SGSW.decode(head + "Na m\n0.24 0.25 0.25")
    assert caught.value.line == 4


def test_shared_sites_go_both_ways() -> None:
    structure = Structure(Lattice.cubic(3.9), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    text = SGS.encode(structure)
    assert text.split("\n")[3:] == ["Cu0.75 Au0.25", "0.00 0.00 0.00"]
    assert SGS.decode(text).composition.as_dict() == {"Cu": 0.75, "Au": 0.25}
    assert SGS.encode(SGS.decode(text)) == text


def test_vacancies_go_both_ways() -> None:
    text = NACL.replace("Na", "Na0.9")
    assert SGS.decode(text).composition.as_dict() == {"Na": 3.6, "Cl": 4.0}
    assert SGS.encode(SGS.decode(text)) == text


@pytest.mark.parametrize("axes", [0, 1, 2])
def test_polar_groups_have_their_origin_at_the_first_site(axes: int) -> None:
    wurtzite = Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.25, 5.2),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]],
    )
    expected = SGS.encode(wurtzite)
    assert expected.split("\n")[4] == "0.33 0.67 0.00"
    wurtzite.translate_sites(range(4), [0, 0, [0.1, 0.5, 0.77][axes]])
    assert SGS.encode(wurtzite) == expected


def test_a_coordinate_is_moved_where_rounding_would_make_the_group_a_higher_one() -> None:
    """In a long cell 0.5049 is 0.15 Å aside from a mirror plane, and 0.50 on it."""
    chain = Structure(Lattice.tetragonal(3.5, 30), ["In", "Bi"], [[0, 0, 0], [0.5, 0.5, 0.5049]])
    text = SGS.encode(chain)
    assert text.startswith("P4mm\n")
    assert SGS.analyze(SGS.decode(text)).space_group_number == 99
    rounded = SGS.format(SGS.analyze(chain))
    assert SGS.analyze(SGS.decode(rounded)).space_group_number == 123


def test_an_angle_is_moved_where_rounding_would_make_the_cell_a_rectangular_one() -> None:
    """Along an axis of 40 Å a shear of 0.4° is 0.28 Å; no site of the crystal is free to move."""
    lattice = Lattice.from_parameters(3, 4, 40, 90, 90.4, 90)
    points = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]
    chain = Structure.from_spacegroup("P2/m", lattice, ["Cs", "Cl", "O"], points)
    text = SGS.encode(chain)
    assert text.split("\n")[:3] == ["P2/m", "3.0 4.0 40.0", "90 91 90"]
    assert SGS.analyze(SGS.decode(text)).space_group_number == 10
    rounded = SGS.format(SGS.analyze(chain))
    assert rounded.split("\n")[2] == "90 90 90"
    assert SGS.analyze(SGS.decode(rounded)).space_group_number == 47


@given(st.integers(1, 230), st.integers(0, 2**32 - 1))
def test_order_and_origin_of_the_atoms_do_not_change_the_text(number: int, seed: int) -> None:
    crystal, _ = random_crystal(number, seed)
    structure = SGS.build(crystal)
    if len(structure) > 100 or len(structure.get_neighbor_list(0.5)[0]):
        return  # atoms on top of each other have no sensible group
    text = SGS.encode(structure)
    sites = list(structure)
    chance = random.Random(seed)
    chance.shuffle(sites)
    shuffled = Structure.from_sites(sites)
    shuffled.translate_sites(range(len(sites)), [chance.random() for _ in range(3)])
    assert SGS.encode(shuffled).split("\n")[0] == text.split("\n")[0]
    # where spglib chooses another cell the lengths say so, and the text is another
    if SGS.encode(shuffled).split("\n")[:3] == text.split("\n")[:3]:
        assert SGS.encode(shuffled) == text


@pytest.mark.parametrize("number", range(1, 231))
@pytest.mark.parametrize("seed", range(3))
def test_any_occupation_of_any_group_survives(number: int, seed: int) -> None:
    crystal, counts = random_crystal(number, 1000 * seed + number)
    text = SGS.format(crystal)
    built = SGS.decode(text)
    assert {str(e): int(n) for e, n in built.composition.items()} == counts
    assert SGS.format(SGS.parse(text)) == text
    if len(built) > 150 or np.min(built.distance_matrix + 9 * np.eye(len(built))) < 0.5:
        return  # atoms on top of each other have no sensible group
    found = SpacegroupAnalyzer(built, symprec=0.1).get_space_group_number()
    again = SGS.decode(SGS.encode(built))
    assert again.composition.reduced_formula == built.composition.reduced_formula
    # atoms per volume: nothing was lost or doubled
    assert len(again) / again.volume == pytest.approx(len(built) / built.volume, rel=0.08)
    assert SpacegroupAnalyzer(again, symprec=0.1).get_space_group_number() == found
