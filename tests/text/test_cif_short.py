"""The short CIF text that models learn: CrystaLLM's standardisation."""

from __future__ import annotations

import warnings

import pytest
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.comparison.matching import match_structures
from crystalicl_jobflow.text import CIF, SGS

NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6402), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
)


def test_rock_salt_as_text() -> None:
    assert CIF.format(SGS.analyze(NACL)).splitlines() == [
        "data_Na4Cl4",
        "_symmetry_space_group_name_H-M Fm-3m",
        "_cell_length_a 5.6402",
        "_cell_length_b 5.6402",
        "_cell_length_c 5.6402",
        "_cell_angle_alpha 90.0000",
        "_cell_angle_beta 90.0000",
        "_cell_angle_gamma 90.0000",
        "_symmetry_Int_Tables_number 225",
        "_chemical_formula_structural NaCl",
        "_chemical_formula_sum 'Na4 Cl4'",
        "_cell_volume 179.4252",
        "_cell_formula_units_Z 4",
        "loop_",
        "_atom_site_type_symbol",
        "_atom_site_label",
        "_atom_site_symmetry_multiplicity",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
        "Na Na0 4 0.0000 0.0000 0.0000 1",
        "Cl Cl1 4 0.5000 0.5000 0.5000 1",
    ]


SMALL = [
    place
    for place, prototype in enumerate(AFLOW_PROTOTYPE_LIBRARY)
    if len(prototype["snl"].structure) <= 40
]


@pytest.mark.parametrize("place", SMALL[::7])
def test_a_prototype_comes_back_without_its_operations(place: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crystal = AFLOW_PROTOTYPE_LIBRARY[place]["snl"].structure
    described = SGS.analyze(crystal)
    read = CIF.decode(CIF.format(described))
    assert len(read) == len(SGS.build(described))
    assert match_structures(read, crystal).matched


def test_a_shared_site_has_a_row_for_each_element() -> None:
    alloy = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(3.8), [{"Cu": 0.75, "Au": 0.25}], [[0] * 3]
    )
    text = CIF.format(SGS.analyze(alloy))
    assert text.splitlines()[-2:] == [
        "Cu Cu0 4 0.0000 0.0000 0.0000 0.75",
        "Au Au0 4 0.0000 0.0000 0.0000 0.25",
    ]
    assert CIF.decode(text).composition.reduced_formula == alloy.composition.reduced_formula
