"""Drawn atoms, bonds and cells are those of the crystal."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.report.picture import SIZE, crystal_svg
from crystalicl_jobflow.report.scene import crystal_scene, element_colour


def test_atoms_on_faces_appear_on_all_equivalent_ones(nacl: Structure, cscl: Structure) -> None:
    scene = crystal_scene(nacl)
    assert (scene.elements.count("Na"), scene.elements.count("Cl")) == (14, 13)
    scene = crystal_scene(cscl)
    assert (scene.elements.count("Cs"), scene.elements.count("Cl")) == (8, 1)


def test_rock_salt_has_a_bond_along_every_half_edge(nacl: Structure) -> None:
    scene = crystal_scene(nacl)
    assert len(scene.bonds) == 54  # the edges of a 3 x 3 x 3 lattice of points
    ends = scene.positions[scene.bonds]
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    assert lengths == pytest.approx(5.69 / 2)
    assert {frozenset(scene.elements[i] for i in pair) for pair in scene.bonds} == {
        frozenset({"Na", "Cl"})
    }


def test_metals_are_not_joined_beside_a_non_metal() -> None:
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    scene = crystal_scene(rutile)
    joined = {frozenset(scene.elements[i] for i in pair) for pair in scene.bonds}
    assert joined == {frozenset({"Ti", "O"})}


def test_single_atom_and_large_cells_are_drawn() -> None:
    assert len(crystal_scene(Structure(Lattice.cubic(3), ["Po"], [[0.5, 0.5, 0.5]])).bonds) == 0
    large = Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]]) * (9, 9, 9)
    scene = crystal_scene(large)
    assert len(scene.elements) == 729
    assert len(scene.bonds) == 0


@given(
    lengths=st.tuples(*[st.floats(2, 30)] * 3),
    angles=st.tuples(*[st.floats(65, 115)] * 3),
    handed=st.booleans(),
)
def test_the_frame_is_turned_and_nothing_else(
    lengths: tuple[float, ...], angles: tuple[float, ...], handed: bool
) -> None:
    lattice = Lattice.from_parameters(*lengths, *angles)
    if handed:
        lattice = Lattice(-lattice.matrix)
    crystal = Structure(lattice, ["Na", "Cl"], [[0.2, 0.3, 0.4], [0.6, 0.1, 0.7]])
    scene = crystal_scene(crystal)
    steps = np.array([scene.corners[4], scene.corners[2], scene.corners[1]]) - scene.corners[0]
    assert steps @ steps.T == pytest.approx(lattice.matrix @ lattice.matrix.T, abs=1e-6)
    # a picture is no mirror image
    assert np.linalg.det(steps) == pytest.approx(np.linalg.det(lattice.matrix))
    assert scene.corners.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    # c points up
    assert steps[2, 1] > 0.9 * abs(steps[2]).max()


def test_the_still_picture_holds_the_whole_crystal(nacl: Structure) -> None:
    scene = crystal_scene(nacl)
    picture = ElementTree.fromstring(crystal_svg(scene, label='<NaCl> "rock salt"'))
    assert picture.attrib["aria-label"] == '<NaCl> "rock salt"'
    circles = picture.findall("circle")
    assert len(circles) == 27
    for circle in circles:
        x, y, radius = (float(circle.attrib[name]) for name in ("cx", "cy", "r"))
        assert abs(x) + radius <= SIZE / 2
        assert abs(y) + radius <= SIZE / 2
    assert len(picture.findall("line[@class='bond']")) == 2 * len(scene.bonds)


def test_colours_are_those_chemists_know() -> None:
    assert element_colour("O") == "#ff0d0d"  # Jmol
    assert element_colour("Xx") == "#b0b0b0"
