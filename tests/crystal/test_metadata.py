"""What a crystal is, by emmet's own class, with the symmetry that our checks find."""

from __future__ import annotations

import pytest
from emmet.core.structure import StructureMetadata
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.metadata import (
    METADATA_FIELDS,
    structure_metadata,
    symmetry_metadata,
    symmetry_of_group,
)
from crystalicl_jobflow.crystal.symmetry import structure_dataset

CRYSTALS = [item["snl"].structure for item in AFLOW_PROTOTYPE_LIBRARY[::9]]


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda crystal: crystal.reduced_formula)
def test_it_is_what_emmet_says_symmetry_included(crystal: Structure) -> None:
    dataset = structure_dataset(crystal)
    found = structure_metadata(crystal, symmetry_metadata(dataset))
    expected = StructureMetadata.from_structure(crystal).model_dump(mode="json")
    assert set(found) == set(METADATA_FIELDS) == set(expected)
    assert found == expected
    assert found["density_atomic"] == pytest.approx(found["volume"] / found["nsites"])
    # documents that know the group only get the same symmetry from it
    group = symmetry_of_group(int(dataset.number), str(dataset.international))
    assert group == found["symmetry"] | {"version": None}


def test_formulas_of_disordered_crystals_are_whole_and_the_cell_is_as_it_is() -> None:
    crystal = Structure(
        Lattice.cubic(3.9), [{"Na+": 0.5, "K+": 0.5}, "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    found = structure_metadata(crystal, symmetry_metadata(structure_dataset(crystal)))
    assert (found["formula_pretty"], found["nelements"], found["nsites"]) == ("KNaCl2", 3, 2)
    assert found["composition"] == {"Na": 0.5, "K": 0.5, "Cl": 1.0}
    assert found["composition_reduced"] == {"Na": 1.0, "K": 1.0, "Cl": 2.0}
    assert found["symmetry"]["hall"] == "-P 4 2 3"


def test_a_crystal_without_symmetry_has_none() -> None:
    crystal = Structure(Lattice.cubic(4.0), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    found = structure_metadata(crystal, symmetry_metadata(None))
    symmetry = found["symmetry"]
    assert [symmetry[name] for name in ("number", "symbol", "hall", "crystal_system")] == [None] * 4
    assert found["nsites"] == 2
