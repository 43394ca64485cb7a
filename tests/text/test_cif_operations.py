"""The operations of a short CIF are put in before it is read; the crystal is the same."""

from __future__ import annotations

import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from crystalicl_jobflow.datasets.sources import PrototypeSource
from crystalicl_jobflow.text import CIF, SGS
from crystalicl_jobflow.text.cif import data_block, with_operations


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


def test_a_text_with_operations_or_of_another_setting_is_left_alone() -> None:
    own = "data_x\n_symmetry_space_group_name_H-M P1\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n"
    assert with_operations(own) == own
    for symbol in ("'I 2/a'", "nonsense"):
        other = f"data_x\n_symmetry_space_group_name_H-M {symbol}\n"
        assert with_operations(other) == other
    assert with_operations("data_x\n") == "data_x\n"
    read = with_operations("data_x\n_symmetry_space_group_name_H-M 'F m -3 m'\n")
    assert read.count("'") - 2 == 2 * 192
