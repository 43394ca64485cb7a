"""A crystal in another one's description: line for line, and still the same crystal."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.text import SGS, SGSCrystal
from crystalicl_jobflow.text.alignment import (
    NEAR,
    SAME,
    STRAIN_COST,
    Alignment,
    align,
    align_all,
    align_to_any,
    with_positions,
)
from crystalicl_jobflow.text.cell_axes import like_axes
from crystalicl_jobflow.training.data.augmentation import equivalent_description

MATCHERS = [StructureMatcher(primitive_cell=primitive) for primitive in (True, False)]


def rutile(metal: str, *, x: float = 0.305, a: float = 4.6, c: float = 2.96) -> SGSCrystal:
    lattice = Lattice.tetragonal(a, c)
    structure = Structure.from_spacegroup("P4_2/mnm", lattice, [metal, "O"], [[0, 0, 0], [x, x, 0]])
    return SGS.analyze(structure)


def olivine(cation: str, lengths: tuple[float, float, float]) -> SGSCrystal:
    """Return a crystal in a group whose axes can be told apart by their lengths only."""
    structure = Structure.from_spacegroup(
        "Pmmm",
        Lattice.orthorhombic(*lengths),
        [cation, "O", "F"],
        [[0, 0, 0], [0.5, 0, 0.2], [0, 0.5, 0.5]],
    )
    return SGS.analyze(structure)


def species(crystal: SGSCrystal) -> list[str]:
    return [site.species for site in crystal.sites]


def coordinates(crystal: SGSCrystal) -> list[str]:
    return SGS.format(crystal).splitlines()[4::2]


def lead_titanate() -> SGSCrystal:
    """Return a crystal in a polar group: where its origin lies along z is free."""
    lattice = Lattice.tetragonal(3.90, 4.15)
    points = [[0, 0, 0], [0.5, 0.5, 0.54], [0.5, 0.5, 0.11], [0.5, 0, 0.62]]
    species = ["Pb", "Ti", "O", "O"]
    return SGS.analyze(Structure.from_spacegroup("P4mm", lattice, species, points))


@pytest.mark.parametrize(
    "crystal", [rutile("Ti"), lead_titanate()], ids=["rutile", "lead titanate"]
)
def test_any_description_is_undone(crystal: SGSCrystal) -> None:
    rng = random.Random(0)
    for _ in range(40):
        other = equivalent_description(crystal, rng)
        found = align(crystal, other)
        assert found is not None
        assert found.distance < SAME
        assert SGS.format(found.crystal) == SGS.format(other)


def test_elements_stand_where_those_of_the_other_crystal_do() -> None:
    reference = rutile("Ti")
    rng = random.Random(1)
    # fluorine comes after, oxygen before manganese by electronegativity: orders differ
    reference = equivalent_description(reference, rng)
    found = align(rutile("Mn", x=0.31, a=4.4), reference)
    assert found is not None
    assert species(found.crystal) == [{"Ti": "Mn"}.get(name, name) for name in species(reference)]
    near = np.array([site.frac_coords for site in found.crystal.sites])
    gaps = near - np.array([site.frac_coords for site in reference.sites])
    assert np.abs(gaps - np.rint(gaps)).max() < 0.02
    assert [s.wyckoff_letter for s in found.crystal.sites] == [
        s.wyckoff_letter for s in reference.sites
    ]


def test_axes_of_like_lengths_change_places() -> None:
    first = olivine("Mg", (4.0, 5.0, 6.0))
    second = olivine("Mn", (5.2, 4.1, 6.1))
    found = align(second, first)
    assert found is not None
    assert np.allclose(found.crystal.lengths, (4.1, 5.2, 6.1)) or np.allclose(
        found.crystal.lengths, (5.2, 4.1, 6.1)
    )
    before = SGS.build(second)
    after = SGS.build(found.crystal)
    assert any(matcher.fit(before, after) for matcher in MATCHERS)


@pytest.mark.parametrize(
    "other",
    [
        rutile("Ti", x=0.305),
        olivine("Mg", (4.0, 5.0, 6.0)),
    ],
    ids=["another group", "other orbits"],
)
def test_what_has_another_structure_is_left(other: SGSCrystal) -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    assert align(SGS.analyze(salt), other) is None
    fewer = SGSCrystal(other.space_group_number, other.lengths, other.angles, other.sites[:1])
    assert align(fewer, other) is None


def test_each_is_written_as_the_first_one() -> None:
    rng = random.Random(2)
    first = equivalent_description(rutile("Sn"), rng)
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    odd = SGS.analyze(salt)
    done = align_all([first, odd, rutile("Ti"), rutile("Ru")])
    assert done[0] is first
    assert done[1] is odd
    assert coordinates(done[2]) == coordinates(done[3]) == coordinates(first)


def aligned(crystal: SGSCrystal, other: SGSCrystal) -> Alignment:
    found = align(crystal, other)
    assert found is not None
    return found


def test_the_size_of_a_cell_is_no_strain_and_its_shape_is() -> None:
    crystal = rutile("Ti")
    larger = rutile("Ti", a=4.6 * 1.1, c=2.96 * 1.1)
    assert aligned(larger, crystal).distance == pytest.approx(0, abs=1e-9)
    # at equal volumes a and b are shorter by a third of the change of c, c longer by two thirds
    longer = rutile("Ti", c=2.96 * 1.1)
    strain = np.log(1.1) * (1 / 3 + 1 / 3 + 2 / 3) / 3
    assert aligned(longer, crystal).distance == pytest.approx(STRAIN_COST * strain, abs=1e-9)


@pytest.mark.parametrize(
    ("longer", "nearest", "taken"),
    [(1.3, False, 0), (1.3, True, 1), (1.1, True, 0)],
    ids=["the first", "the nearest", "the first that is near"],
)
def test_of_several_the_first_or_the_nearest_is_taken(
    longer: float, nearest: bool, taken: int
) -> None:
    crystal = rutile("Ti")
    rng = random.Random(5)
    others = [equivalent_description(c, rng) for c in (rutile("Sn", c=2.96 * longer), crystal)]
    while coordinates(others[0]) == coordinates(others[1]):
        others[0] = equivalent_description(others[0], rng)
    distances = [aligned(crystal, other).distance for other in others]
    assert distances[1] < SAME < distances[0]
    assert (distances[0] < NEAR) == (longer == 1.1)
    found = align_to_any(crystal, others, nearest=nearest)
    assert coordinates(found) == coordinates(others[taken])


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("angles", [(65, 90, 90), (90, 65, 90), (90, 90, 65)])
def test_acute_and_obtuse_angles_are_told_apart(number: int, angles: tuple[int, int, int]) -> None:
    obtuse = Lattice.from_parameters(5, 6, 7.5, *(180 - angle for angle in angles)).matrix
    acute = Lattice.from_parameters(5, 6, 7.5, *angles).matrix
    own, nearest, *_ = like_axes(number, obtuse, acute)
    assert not own.changed
    assert Lattice(nearest.matrix).parameters == pytest.approx((5, 6, 7.5, *angles))


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_of_all_descriptions_is_taken(seed: int) -> None:
    """Strained, so that none coincides and all are tried; the origins are half an Å apart."""
    crystal = olivine("Mg", (4.76, 10.21, 5.98))
    strained = olivine("Mg", (4.80, 10.40, 5.90))
    described = equivalent_description(strained, random.Random(seed))
    found = aligned(described, crystal)
    assert coordinates(found.crystal) == coordinates(crystal)


def test_a_read_text_gets_its_positions() -> None:
    crystal = rutile("Ti")
    found = with_positions(SGS.parse(SGS.format(crystal)))
    assert found is not None
    assert [(s.multiplicity, s.wyckoff_letter) for s in found.sites] == [
        (s.multiplicity, s.wyckoff_letter) for s in crystal.sites
    ]
    assert with_positions(crystal) is crystal


def test_real_crystals_stay_what_they_are(shared_data: Path) -> None:
    rows = pd.read_csv(shared_data / "mp_20_test.csv.gz", usecols=["cif"])["cif"].iloc[::30]
    crystals = []
    for cif in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crystals.append(SGS.analyze(Structure.from_str(cif, fmt="cif")))
    rng = random.Random(3)
    pairs = 0
    for crystal in crystals:
        described = equivalent_description(crystal, rng)
        found = align(crystal, described)
        assert found is not None
        assert found.distance < 2 * SAME
        for other in crystals:
            if other is crystal or (aligned := align(crystal, other)) is None:
                continue
            pairs += 1
            before, after = SGS.build(crystal), SGS.build(aligned.crystal)
            assert any(matcher.fit(before, after) for matcher in MATCHERS), SGS.format(crystal)
            if pairs % 10 == 0:
                break
    assert pairs > 20
