"""The same crystal or another one; how many different ones there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.comparison import matching
from crystalicl_jobflow.comparison.matching import match_many, match_structures, unique_groups
from crystalicl_jobflow.text import SGS


def test_a_crystal_matches_itself_in_any_cell(nacl: Structure) -> None:
    for cell in (nacl, nacl.get_primitive_structure(), nacl * (1, 1, 2)):
        result = match_structures(cell, nacl)
        assert result.matched
        assert result.rms == pytest.approx(0, abs=1e-6)


def test_scale_does_not_matter_and_displacement_is_measured(nacl: Structure) -> None:
    larger = Structure(nacl.lattice.scale(nacl.volume * 1.3), nacl.species, nacl.frac_coords)
    assert match_structures(larger, nacl).rms == pytest.approx(0, abs=1e-6)
    moved = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.55]])
    ideal = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    result = match_structures(moved, ideal)
    assert result.matched
    assert result.rms is not None
    # half of 0.05 a on either atom, over (volume per atom)^(1/3) = a / 2^(1/3)
    assert result.rms == pytest.approx(0.025 * 2 ** (1 / 3), rel=1e-3)


def test_other_polymorphs_and_other_compositions_do_not_match(nacl: Structure) -> None:
    cscl_type = Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert not match_structures(cscl_type, nacl).matched
    kcl = nacl.copy()
    kcl.replace_species({"Na": "K"})
    assert match_structures(kcl, nacl) == match_structures(nacl, kcl)
    assert not match_structures(kcl, nacl).matched


@pytest.mark.parametrize(
    ("c_over_a", "gamma", "matched", "same"),
    [
        (1.30, 90, True, True),
        (1.35, 90, True, False),
        (1.45, 90, True, False),
        (1.50, 90, False, False),
        (1.00, 95, True, True),
        (1.00, 96, True, False),
        (1.00, 99, True, False),
        (1.00, 101, False, False),
    ],
)
def test_cells_match_up_to_the_tolerances_of_the_rates(
    c_over_a: float, gamma: float, matched: bool, same: bool
) -> None:
    """Matching a truth is laxer than counting different crystals, as in CDVAE and MatterGen."""
    species, coords = ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ideal = Structure(Lattice.cubic(4.0), species, coords)
    strained = Lattice.from_parameters(4.0, 4.0, 4.0 * c_over_a, 90, 90, gamma)
    found = Structure(strained, species, coords)
    assert match_structures(found, ideal).matched is matched
    assert (unique_groups([found, ideal]) == [0, 0]) is same


def test_a_degenerate_prediction_matches_nothing() -> None:
    ideal = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    heap = Structure(Lattice.cubic(0.1), ["Cs", "Cl"], [[0, 0, 0], [0, 0, 0]])
    assert match_structures(heap, ideal).rms is None
    # the matcher ends in an error of numpy's
    flat = Structure(Lattice([[1, 0, 0], [2, 0, 0], [0, 0, 1]]), ["Cs", "Cl"], ideal.frac_coords)
    for pair in ((flat, ideal), (ideal, flat)):
        assert not match_structures(*pair).matched


def test_pairs_in_processes_are_answered_in_order(nacl: Structure, cscl: Structure) -> None:
    pairs = [(nacl, nacl), (nacl, cscl), (cscl, cscl), (cscl, nacl)]
    answers = [result.matched for result in match_many(pairs, processes=2)]
    assert answers == [True, False, True, False]


def test_a_pair_that_comes_again_is_compared_once(nacl: Structure, cscl: Structure) -> None:
    asked: list[tuple[int, int]] = []
    pairs = [(nacl, nacl), (nacl.copy(), nacl), (cscl, nacl), (nacl, nacl.copy()), (cscl, cscl)]
    answers = match_many(pairs, progress=lambda done, of: asked.append((done, of)))
    assert asked == [(1, 3), (2, 3), (3, 3)]
    assert answers == [match_structures(*pair) for pair in pairs]


def test_groups_of_equal_crystals(nacl: Structure, cscl: Structure) -> None:
    cscl_type = Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    shaken = nacl.copy()
    shaken.perturb(0.05)
    crystals = [nacl, cscl, nacl.get_primitive_structure(), cscl_type, shaken, cscl.copy()]
    assert unique_groups(crystals) == [0, 1, 0, 3, 0, 1]
    assert unique_groups(crystals, processes=2) == [0, 1, 0, 3, 0, 1]
    assert unique_groups([]) == []


def test_real_crystals_match_after_a_round_trip_through_text(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    truths = [structure for structure, _, _ in mp_20(60)]
    results = match_many([(SGS.decode(SGS.encode(s)), s) for s in truths])
    assert sum(result.matched for result in results) >= 59
    assert np.mean([result.rms for result in results if result.rms is not None]) < 0.02


def test_a_pair_that_takes_too_long_is_no_match_and_is_named(monkeypatch, caplog) -> None:
    """A large cell of one element has thousands of mappings onto itself."""
    points = np.random.default_rng(0).random((2, 120, 3))
    cells = [Structure(Lattice.cubic(11.0), ["C"] * 120, sites) for sites in points]
    monkeypatch.setattr(matching, "MATCH_TIMEOUT", 0.05)
    assert not match_structures(*cells).matched
    assert "C, 120 atoms: not compared within 0.05 s; no match" in caplog.text
    caplog.clear()
    assert unique_groups(cells) == [0, 1]
    assert "not compared within 0.05 s" in caplog.text


def test_equal_crystals_are_one_however_long_the_matcher_takes(
    nacl: Structure, monkeypatch
) -> None:
    monkeypatch.setattr(matching, "MATCH_TIMEOUT", 1e-6)
    assert unique_groups([nacl, nacl.copy(), nacl.copy()]) == [0, 0, 0]
