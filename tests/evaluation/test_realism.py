"""Overlap, symmetry adherence and negative formation energies (CrystalICL, table 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.evaluation import judge_realism, realism_rates
from crystalicl_jobflow.schemas import Rate


def test_realism_by_hand(nacl: Structure, cscl: Structure) -> None:
    # half the sum of the radii of Na (1.80 Å) and Cl (1.00 Å) is 1.40 Å
    near = Structure(Lattice.cubic(8), ["Na", "Cl"], [[0, 0, 0], [1.39 / 8, 0, 0]])
    apart = Structure(Lattice.cubic(8), ["Na", "Cl"], [[0, 0, 0], [1.41 / 8, 0, 0]])
    found = judge_realism(
        [nacl, cscl, None, near, apart],
        space_groups=[225, 225, 225, None, (99, 123)],
        formation_energies=[-2.0, 0.0, -1.0, None, float("nan")],
    )
    assert found.overlap == [False, False, None, True, False]
    assert found.adherent == [True, False, False, None, True]
    assert found.negative_energy == [True, False, False, False, False]
    assert found.rates == {
        "overlap": Rate(rate=1 / 4, count=1, of=4),
        "symmetry_adherence": Rate(rate=2 / 4, count=2, of=4),
        "negative_formation_energy": Rate(rate=1 / 5, count=1, of=5),
    }


def test_an_atom_can_overlap_its_own_image() -> None:
    """CDVAE's distance matrix has zeros on its diagonal and does not see this."""
    thin = Structure(Lattice.orthorhombic(1.0, 6, 6), ["Cs"], [[0, 0, 0]])
    assert thin.distance_matrix.max() == 0
    assert judge_realism([thin]).overlap == [True]


def test_a_degenerate_crystal_overlaps_and_has_no_group() -> None:
    heap = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0, 0, 0]])
    flat = Structure(Lattice([[1, 0, 0], [2, 0, 0], [0, 0, 1]]), ["Cs"], [[0, 0, 0]])
    found = judge_realism([heap, flat], space_groups=[221, 1])
    assert found.overlap == [True, True]
    assert found.adherent[1] is False


def test_without_groups_or_energies_nothing_is_judged(nacl: Structure) -> None:
    found = judge_realism([nacl, None])
    assert found.rates["symmetry_adherence"] == Rate(rate=None, count=0, of=0)
    assert found.rates["negative_formation_energy"] == Rate(rate=None, count=0, of=0)
    assert found.rates["overlap"] == Rate(rate=0.0, count=0, of=1)
    with pytest.raises(ValueError, match="1 space groups for 2 samples"):
        judge_realism([nacl, None], space_groups=[225])
    with pytest.raises(ValueError, match="3 energies for 2 samples"):
        judge_realism([nacl, None], formation_energies=[0.0, 0.0, 0.0])


def test_real_crystals_are_realistic(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    rows = mp_20(60)
    found = judge_realism([row[0] for row in rows], space_groups=[row[1] for row in rows])
    assert found.rates["overlap"].count == 0
    assert found.rates["symmetry_adherence"].count >= 59  # at symprec 0.1, as in the file
    tight = judge_realism(
        [row[0] for row in rows], space_groups=[row[1] for row in rows], symprec=1e-4
    )
    assert tight.rates["symmetry_adherence"].count < found.rates["symmetry_adherence"].count


def test_flags_sum_up_to_the_same_rates(nacl: Structure, cscl: Structure) -> None:
    found = judge_realism([nacl, cscl, None], space_groups=[225, 1, None], processes=1)
    assert realism_rates(found.overlap, found.adherent, found.negative_energy) == found.rates
