"""Wyckoff letters: read in every form, and equal where origin or axes alone differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.wyckoff_letters import (
    LETTERS,
    atoms_of,
    descriptions,
    equivalent_letters,
    first_description,
    letters_text,
    positions_key,
    read_letters,
    same_letters,
)
from crystalicl_jobflow.text import SGS

PEROVSKITE = {"Ca": ("a",), "Ti": ("b",), "O": ("c",)}


@pytest.mark.parametrize(
    "value",
    [
        "Ca:a Ti:b O:c",
        "O:3c; Ti:1b; Ca:1a",
        " Ca : a  Ti : b  O : c ",
        {"Ca": "a", "Ti": "b", "O": "c"},
        {"Ti": ["1b"], "O": ("3c",), "Ca": ["a"]},
        "Ca:b Ti:a O:d",  # from the other origin
    ],
)
def test_the_same_letters_in_every_form(value: Any) -> None:
    letters = read_letters(value, 221)
    assert letters == PEROVSKITE
    assert list(letters) == ["Ca", "Ti", "O"]
    assert read_letters(letters_text(letters), 221) == letters


def test_several_orbits_of_one_element() -> None:
    assert read_letters("Ca:c Ti:b O:d,c", 62)["O"] == ("c", "d")
    assert read_letters("Ca:c Ti:b O:dc", 62) == read_letters("Ca:c Ti:b O:4c 8d", 62)
    assert atoms_of(read_letters("Na:a Cl:b", 225), 225) == {"Na": 1, "Cl": 1}
    assert read_letters("Y:A a", 47)["Y"] == ("a", "A")  # alpha is written A


def test_a_perovskite_has_two_origins_and_a_rock_salt_one_more_way_to_be_written() -> None:
    assert descriptions(PEROVSKITE, 221) == [
        PEROVSKITE,
        {"Ca": ("b",), "Ti": ("a",), "O": ("d",)},
    ]
    assert same_letters({"Na": ("b",), "Cl": ("a",)}, {"Na": ("a",), "Cl": ("b",)}, 225)
    assert not same_letters({"Na": ("a",), "Cl": ("c",)}, {"Na": ("a",), "Cl": ("b",)}, 225)
    # other elements on the same positions
    assert positions_key({"Sr": ("b",), "O": ("d",), "Ti": ("a",)}, 221) == positions_key(
        PEROVSKITE, 221
    )
    assert not same_letters({"Sr": ("a",), "Ti": ("b",), "O": ("c",)}, PEROVSKITE, 221)
    assert not same_letters({"Ca": ("a",), "Ti": ("b",), "O": ("d",)}, PEROVSKITE, 221)


@given(st.integers(1, 230))
def test_equivalent_letters_keep_multiplicities_and_are_a_group(number: int) -> None:
    positions = {p.letter: p for p in wyckoff.wyckoff_positions(number)}
    every = equivalent_letters(number)
    assert all(name == other for name, other in every[0].items())
    images = {tuple(mapping.values()) for mapping in every}
    assert len(images) == len(every)
    for mapping in every:
        assert sorted(mapping.values()) == sorted(positions)
        for name, other in mapping.items():
            assert positions[name].multiplicity == positions[other].multiplicity
            assert positions[name].degrees_of_freedom == positions[other].degrees_of_freedom
    one, other = every[-1], every[len(every) // 2]
    assert tuple(one[other[name]] for name in every[0]) in images
    if number >= 75:  # the axes of these groups are fixed
        assert images == {tuple(m.values()) for m in wyckoff.normalizer(number).letters}


@pytest.mark.parametrize(
    ("number", "count"),
    # eight inversion centres of P-1 by any basis: affine maps of three bits; P2/m: of two bits,
    # twice; Pmmm: origins times permutations of the axes
    [(1, 1), (2, 1344), (10, 48), (47, 48), (221, 2)],
)
def test_how_many_equivalent_ways_there_are(number: int, count: int) -> None:
    assert len(equivalent_letters(number)) == count


def _moved(structure: Structure, axes: list[list[int]], shift: list[float]) -> Structure:
    """Return the same crystal with other axes and another origin."""
    turn = np.array(axes)
    points = structure.frac_coords @ np.linalg.inv(turn) + shift
    return Structure(Lattice(turn @ structure.lattice.matrix), structure.species, points)


@pytest.mark.parametrize("place", range(0, len(AFLOW_PROTOTYPE_LIBRARY), 9))
def test_a_real_crystal_has_the_same_letters_however_it_is_given(place: int) -> None:
    structure = AFLOW_PROTOTYPE_LIBRARY[place]["snl"].structure
    crystal = SGS.analyze(structure)
    assert crystal.wyckoff is not None
    number = crystal.space_group_number
    # what the text says is the description that comes first, and the formula follows
    assert first_description(crystal.wyckoff, number) == crystal.wyckoff
    conventional = sum(site.multiplicity or 0 for site in crystal.sites)
    made = sum(atoms_of(crystal.wyckoff, number).values())
    assert made * wyckoff.centring_multiplicity(number) == conventional
    other = SGS.analyze(_moved(structure, [[0, 1, 0], [0, 0, 1], [1, 1, 0]], [0.3, 0.25, 0.5]))
    assert other.space_group_number == number
    assert other.wyckoff is not None
    assert same_letters(other.wyckoff, crystal.wyckoff, number)


def test_longer_axes_do_not_make_another_crystal_of_the_same_letters() -> None:
    """In Pmmm the axes are sorted by length, so stretching one may rename the positions."""
    letters = []
    for lengths in [(3, 4, 5), (5, 4, 3), (4, 5, 3), (3, 5, 4)]:
        crystal = SGS.analyze(
            Structure(Lattice.orthorhombic(*lengths), ["Cs", "F"], [[0, 0, 0], [0.5, 0, 0]])
        )
        assert crystal.space_group_number == 47
        letters.append(crystal.wyckoff)
    assert len({letters_text(found or {}) for found in letters}) > 1
    assert all(same_letters(found or {}, letters[0] or {}, 47) for found in letters)


def test_every_letter_has_its_place_in_the_order() -> None:
    names = {p.letter for number in range(1, 231) for p in wyckoff.wyckoff_positions(number)}
    assert names == set(LETTERS)
