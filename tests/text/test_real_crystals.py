"""Round trips of the public benchmarks' test crystals."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.text import CIF, SGS, SGSW, XYZ

MATCHERS = [
    StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10, primitive_cell=primitive)
    for primitive in (True, False)
]


def crystals(path: Path, step: int) -> list[Structure]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cifs = pd.read_csv(path, usecols=["cif"])["cif"].iloc[::step]
        return [Structure.from_str(cif, fmt="cif") for cif in cifs]


def round_trip(path: Path, step: int) -> tuple[float, float, float]:
    """Return the shares with the right atoms, the same group, and a match."""
    atoms = group = match = 0
    structures = crystals(path, step)
    for structure in structures:
        number = SpacegroupAnalyzer(structure, symprec=0.1).get_space_group_number()
        decoded = SGS.decode(SGS.encode(structure))
        # every element as often as every other, and as many atoms in the same volume
        # (lengths at one decimal are right to a few per cent of the volume)
        cells = len(decoded) / len(structure)
        atoms += decoded.composition.as_dict() == pytest.approx(
            (structure.composition * cells).as_dict()
        ) and decoded.volume / structure.volume == pytest.approx(cells, rel=0.1)
        group += SpacegroupAnalyzer(decoded, symprec=0.1).get_space_group_number() == number
        match += any(matcher.fit(structure, decoded) for matcher in MATCHERS)
    n = len(structures)
    return atoms / n, group / n, match / n


def test_a_few_hundred_of_mp_20(shared_data: Path) -> None:
    atoms, group, match = round_trip(shared_data / "mp_20_test.csv.gz", 18)
    assert atoms == 1.0
    assert group >= 0.99
    assert match >= 0.99


@pytest.mark.slow
def test_all_of_mp_20(shared_data: Path) -> None:
    atoms, group, match = round_trip(shared_data / "mp_20_test.csv.gz", 1)
    assert atoms == 1.0
    assert group >= 0.996
    assert match >= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("name", ["perov_5_test", "carbon_24_test"])
def test_perovskites_and_carbon(shared_data: Path, name: str) -> None:
    atoms, group, match = round_trip(shared_data / f"{name}.csv.gz", 1)
    assert atoms == 1.0
    assert group >= 0.976
    assert match >= 0.975


def test_the_other_formats_keep_real_crystals(shared_data: Path) -> None:
    for structure in crystals(shared_data / "mp_20_test.csv.gz", 120):
        for text in (XYZ, CIF, SGSW):
            decoded = text.decode(text.encode(structure))
            assert decoded.composition.reduced_formula == structure.composition.reduced_formula
            assert any(matcher.fit(structure, decoded) for matcher in MATCHERS), text
