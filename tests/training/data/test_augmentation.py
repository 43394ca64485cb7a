"""Other descriptions of a crystal are still that crystal."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.text import SGS, SGSW
from crystalicl_jobflow.training.data.augmentation import equivalent_description

MATCHERS = [StructureMatcher(primitive_cell=primitive) for primitive in (True, False)]


def rutile() -> Structure:
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )


def test_real_crystals_stay_what_they_are(shared_data: Path) -> None:
    cifs = pd.read_csv(shared_data / "mp_20_test.csv.gz", usecols=["cif"])["cif"].iloc[::40]
    rng = random.Random(0)
    changed = 0
    for cif in cifs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crystal = SGS.analyze(Structure.from_str(cif, fmt="cif"))
        other = equivalent_description(crystal, rng)
        changed += SGS.format(other) != SGS.format(crystal)
        before, after = SGS.decode(SGS.format(crystal)), SGS.decode(SGSW.format(other))
        assert after.composition == before.composition
        assert any(matcher.fit(before, after) for matcher in MATCHERS), SGS.format(other)
    # crystals without any other description are few
    assert changed > 0.9 * len(cifs)


def test_rutile_has_two_origins_four_oxygens_and_two_orders() -> None:
    crystal = SGS.analyze(rutile())
    rng = random.Random(1)
    texts = {SGS.format(equivalent_description(crystal, rng)) for _ in range(400)}
    # titanium at either of two points of either origin; four oxygens of either; two orders
    assert len(texts) == 2 * 4 * 4 * 2
    assert SGS.format(crystal) in texts
    still = SGS.format(
        equivalent_description(crystal, rng, origin=False, representatives=False, order=False)
    )
    assert still == SGS.format(crystal)


def test_the_canonical_text_of_every_description_is_the_same() -> None:
    crystal = SGS.analyze(rutile())
    rng = random.Random(2)
    for _ in range(20):
        other = SGS.build(equivalent_description(crystal, rng))
        assert SGS.encode(other) == SGS.format(crystal)


def test_polar_axes_have_their_origin_anywhere() -> None:
    wurtzite = Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.25, 5.2),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]],
    )
    crystal = SGS.analyze(wurtzite)
    rng = random.Random(3)
    heights = {
        equivalent_description(crystal, rng, representatives=False, order=False)
        .sites[0]
        .frac_coords[2]
        for _ in range(300)
    }
    assert len(heights) > 50


@pytest.mark.parametrize("number", [1, 5, 62, 99, 146, 166, 194, 227])
def test_letters_follow_the_origin(number: int) -> None:
    positions = wyckoff.wyckoff_positions(number)
    rng = random.Random(number)
    lattice = wyckoff.constrain_lattice((6.1, 7.2, 8.3), (81.0, 82.0, 83.0), number)
    structure = Structure.from_spacegroup(
        wyckoff.symbol(number),
        Lattice.from_parameters(*lattice[0], *lattice[1]),
        ["Cs"],
        [[0.113, 0.237, 0.371]],
    )
    crystal = SGS.analyze(structure)
    other = equivalent_description(crystal, rng)
    points = [site.frac_coords for site in other.sites]
    found = wyckoff.wyckoff_index(
        wyckoff.snap(points, other.space_group_number).frac_coords,
        other.space_group_number,
        wyckoff.snap(points, other.space_group_number).multiplicity,
    )
    names = [p.letter for p in wyckoff.wyckoff_positions(other.space_group_number)]
    assert [names[index] for index in found] == [site.wyckoff_letter for site in other.sites]
    assert positions
