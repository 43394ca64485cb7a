"""Unique, novel, stable and S.U.N. crystals: by hand, against all pairs, in any order."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from crystalicl_jobflow.comparison.matching import UNIQUE, match_structures, unique_groups
from crystalicl_jobflow.comparison.novelty import (
    discover,
    is_metastable,
    is_stable,
    match_reference,
    unique_crystals,
)
from crystalicl_jobflow.schemas import Rate


def caesium_chloride(a: float = 4.12, *, anion: str = "Cl", shift: float = 0.0) -> Structure:
    """Return a CsCl-type crystal with its anion off the centre by a fraction of the cell."""
    return Structure(Lattice.cubic(a), ["Cs", anion], [[0, 0, 0], [0.5 + shift, 0.5, 0.5]])


def doubled(offset: float) -> Structure:
    """Return CsCl doubled along c with one of the anions moved along a, in Å."""
    crystal = caesium_chloride() * (1, 1, 2)
    anion = next(i for i, site in enumerate(crystal) if site.species_string == "Cl")
    crystal.translate_sites([anion], [offset, 0, 0], frac_coords=False)
    return crystal


@pytest.fixture
def zoo(nacl: Structure) -> list[Structure | None]:
    """Six different crystals, some of them several times, and two texts that are none."""
    zincblende = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4), ["Na", "Cl"], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    return [
        nacl,
        caesium_chloride(),
        None,
        nacl.get_primitive_structure(),
        zincblende,
        rutile,
        None,
        rutile * (1, 1, 2),
        caesium_chloride(anion="Br"),
        caesium_chloride(4.4),
        caesium_chloride(shift=0.02),
        Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        zincblende.get_primitive_structure(),
    ]


# --- uniqueness


def test_groups_of_samples_name_their_first(zoo: list[Structure | None]) -> None:
    groups = unique_crystals(zoo)
    assert groups == [0, 1, None, 0, 4, 5, None, 5, 8, 1, 1, 11, 4]
    found = discover(zoo)
    assert found.groups == groups
    assert found.rates == {"unique": Rate(rate=6 / 13, count=6, of=13)}
    assert np.flatnonzero(found.unique).tolist() == [0, 1, 4, 5, 8, 11]
    assert found.novel is None
    assert found.sun is None


def test_shuffled_samples_fall_into_the_same_groups(zoo: list[Structure | None]) -> None:
    expected = partition(range(len(zoo)), unique_crystals(zoo))
    for seed in range(5):
        order = list(range(len(zoo)))
        random.Random(seed).shuffle(order)
        assert partition(order, unique_crystals([zoo[i] for i in order])) == expected


def partition(names: object, groups: list[int | None]) -> set[frozenset[int]]:
    """Return the sets of names that have one group."""
    found: dict[int, set[int]] = {}
    for name, group in zip(names, groups, strict=True):  # type: ignore[call-overload]
        if group is not None:
            found.setdefault(group, set()).add(name)
    return {frozenset(members) for members in found.values()}


def test_the_number_of_groups_does_not_depend_on_order_where_matching_is_not_transitive() -> None:
    """a ~ b ~ c, but not a ~ c: taken as they come, b first gives one group, a first two."""
    chain = [
        Structure(Lattice.tetragonal(4.0, 4.0 * ratio), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
        for ratio in (1.0, 1.25, 1.56)
    ]
    matcher = StructureMatcher()
    fits = [[matcher.fit(one, other) for other in chain] for one in chain]
    assert fits[0][1]
    assert fits[1][2]
    assert not fits[0][2]
    partitions = {
        frozenset(partition(order, list(unique_groups([chain[i] for i in order]))))
        for order in itertools.permutations(range(3))
    }
    assert len(partitions) == 1


def test_uniqueness_is_what_all_pairs_give(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    crystals = [structure for structure, _, _ in mp_20(25)]
    crystals += [crystal.get_reduced_structure() for crystal in crystals[::3]]
    matcher = StructureMatcher()
    founders: list[Structure] = []
    for crystal in crystals:
        if not any(matcher.fit(founder, crystal) for founder in founders):
            founders.append(crystal)
    assert len(set(unique_crystals(crystals))) == len(founders)


def test_crystals_are_compared_with_and_without_primitive_reduction() -> None:
    """The matcher alone takes these two apart: one is reduced to half its cell, one is not."""
    below, above = doubled(0.24), doubled(0.26)
    assert not StructureMatcher().fit(below, above)
    assert StructureMatcher(primitive_cell=False).fit(below, above)
    assert unique_crystals([below, above]) == [0, 0]
    assert unique_crystals([above, below]) == [0, 0]
    assert match_reference([below], [above]) == [0]


def test_oxidation_states_do_not_make_a_crystal_new() -> None:
    """StructureMatcher's default comparator takes Cs+ and Cs for different species."""
    ions = caesium_chloride()
    ions.add_oxidation_state_by_element({"Cs": 1, "Cl": -1})
    assert not StructureMatcher().fit(ions, caesium_chloride())
    assert unique_crystals([ions, caesium_chloride()]) == [0, 0]
    assert match_reference([ions], [caesium_chloride()]) == [0]
    assert match_structures(ions, caesium_chloride()).matched
    assert ions[0].species_string == "Cs+"  # the sample itself is as it was


def test_a_degenerate_crystal_is_a_sample_of_its_own_kind() -> None:
    heap = Structure(Lattice.cubic(0.1), ["Cs", "Cl"], [[0, 0, 0], [0, 0, 0]])
    flat = Structure(Lattice([[1, 0, 0], [2, 0, 0], [0, 0, 1]]), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    groups = unique_crystals([caesium_chloride(), heap, flat, heap.copy()])
    assert groups[0] == 0
    assert groups[3] == groups[1] != 0
    assert match_reference([flat], [caesium_chloride()]) == [None]


# --- novelty


def test_novelty_names_the_first_reference_that_matches(zoo: list[Structure | None]) -> None:
    references = [caesium_chloride(anion="I"), caesium_chloride(4.2), caesium_chloride(), zoo[5]]
    matched = match_reference(zoo, [r for r in references if r is not None])
    assert matched == [None, 1, None, None, None, 3, None, 3, None, 1, 1, None, None]
    found = discover(zoo, references=[r for r in references if r is not None])
    assert found.matched_reference == matched
    assert found.novel is not None
    assert found.rates["novel"] == Rate(rate=6 / 13, count=6, of=13)  # no crystal is not novel
    assert found.rates["unique_novel"] == Rate(rate=4 / 13, count=4, of=13)


def test_known_crystals_are_not_novel_and_without_references_all_are(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    crystals = [structure for structure, _, _ in mp_20(20)]
    itself = discover(crystals, references=crystals)
    assert itself.rates["novel"].count == 0
    assert all(
        match_structures(crystals[place], crystal, tolerances=UNIQUE).matched
        for crystal, place in zip(crystals, itself.matched_reference, strict=True)
        if place is not None
    )
    assert discover(crystals, references=[]).rates["novel"].count == 20
    reversed_order = discover(crystals[::-1], references=crystals[5:][::-1])
    one_order = discover(crystals, references=crystals[5:])
    assert reversed_order.rates == one_order.rates


def test_novelty_is_what_all_pairs_give(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    crystals = [structure for structure, _, _ in mp_20(30)]
    generated = [crystal.get_reduced_structure() for crystal in crystals[:20:2]]
    references = crystals[8:]
    matcher = StructureMatcher()
    expected = [
        next((j for j, r in enumerate(references) if matcher.fit(g, r)), None) for g in generated
    ]
    assert match_reference(generated, references) == expected
    assert None in expected
    assert any(place is not None for place in expected)


def test_only_crystals_of_one_reduced_formula_are_compared(
    zoo: list[Structure | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    original = StructureMatcher.fit

    def watching(self: StructureMatcher, one: Structure, other: Structure, **how: bool) -> bool:
        compared.append((one.composition.reduced_formula, other.composition.reduced_formula))
        return original(self, one, other, **how)

    monkeypatch.setattr(StructureMatcher, "fit", watching)
    discover(zoo, references=[s for s in zoo if s is not None])
    assert compared
    assert all(one == other for one, other in compared)


def test_a_large_formula_is_shared_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from crystalicl_jobflow.comparison import novelty

    monkeypatch.setattr(novelty, "_LARGE", 10)
    tall = [
        Structure(Lattice.tetragonal(4.0, 4.0 * ratio), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
        for ratio in (1.0, 1.05, 1.9, 2.0, 3.1)
    ]
    samples: list[Structure | None] = [*tall, None, caesium_chloride(anion="Br")]
    references = [tall[4], tall[2], tall[0]]
    alone = match_reference(samples, references)
    assert match_reference(samples, references, processes=2) == alone
    assert alone == [2, 2, 1, 1, 0, None, None]


def test_what_repeats_exactly_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model at a low temperature writes the same text again and again."""
    fits = 0
    original = StructureMatcher.fit

    def counting(self: StructureMatcher, *crystals: Structure, **how: bool) -> bool:
        nonlocal fits
        fits += 1
        return original(self, *crystals, **how)

    monkeypatch.setattr(StructureMatcher, "fit", counting)
    samples: list[Structure | None] = [caesium_chloride(), caesium_chloride(4.3)] * 40
    assert set(unique_crystals(samples)) == {0}
    assert fits == 1
    assert match_reference(samples, [caesium_chloride(4.2), caesium_chloride(4.4)]) == [0] * 80
    assert fits == 3  # each of the two with the first reference, which it matches


# --- stability


def test_stability_by_hand() -> None:
    energies = np.array([-0.05, 0.0, 1e-12, 0.001, 0.1, 0.1001, np.nan, np.inf])
    assert is_stable(energies).tolist() == [True] * 3 + [False] * 5
    assert is_metastable(energies).tolist() == [True] * 5 + [False] * 3


def test_a_phase_on_the_hull_is_stable_whatever_rounding_says() -> None:
    """Energies above hull of phases on it are 1e-16 as often as 0."""
    entries = [
        PDEntry(Composition(formula), energy)
        for formula, energy in (
            ("Na", -1.3123),
            ("Cl2", -3.6781),
            ("NaCl", -6.7919),
            ("Na3Cl", -9.4166),
        )
    ]
    diagram = PhaseDiagram(entries)
    stable = sorted(diagram.stable_entries, key=str)
    energies = np.array([diagram.get_e_above_hull(entry) for entry in stable])
    assert is_stable(energies + 3e-16).all()


def test_sun_by_hand() -> None:
    bromide, iodide = caesium_chloride(anion="Br"), caesium_chloride(anion="I")
    samples: list[Structure | None] = [
        bromide,  # novel, unstable
        caesium_chloride(4.4, anion="Br"),  # the same, stable
        caesium_chloride(4.5, anion="Br"),  # the same, more stable
        caesium_chloride(),  # stable and known
        iodide,  # novel and metastable
        caesium_chloride(4.6, anion="F"),  # novel, its relaxation failed
        None,  # no crystal, whatever energy comes with it
        caesium_chloride(4.6, anion="O"),  # novel, nothing competes with it
    ]
    energies = [0.3, 0.0, -0.01, -0.2, 0.05, math.inf, -9.0, None]
    found = discover(samples, references=[caesium_chloride(4.0)], energy_above_hull=energies)
    assert {name: (rate.count, rate.of) for name, rate in found.rates.items()} == {
        "unique": (5, 8),
        "novel": (6, 8),
        "unique_novel": (4, 8),
        "stable": (3, 6),
        "metastable": (4, 6),
        "sun": (1, 6),
        "metastable_sun": (2, 6),
        "sun_of_all": (1, 8),
        "metastable_sun_of_all": (2, 8),
    }
    assert found.judged is not None
    assert found.judged.tolist() == [True] * 6 + [False] * 2
    assert found.sun is not None
    assert found.metastable_sun is not None
    assert np.flatnonzero(found.sun).tolist() == [2]
    assert np.flatnonzero(found.metastable_sun).tolist() == [2, 4]


def test_energies_by_place_and_failed_relaxations() -> None:
    samples = [caesium_chloride(anion=anion) for anion in ("Cl", "Br", "I")]
    by_place = discover(samples, references=[], energy_above_hull={1: -0.1, 2: math.inf})
    assert by_place.rates["stable"] == Rate(rate=1 / 2, count=1, of=2)
    assert by_place.rates["sun"] == Rate(rate=1 / 2, count=1, of=2)
    assert by_place.rates["sun_of_all"] == Rate(rate=1 / 3, count=1, of=3)
    nothing = discover(samples, references=[], energy_above_hull=[None, float("nan"), None])
    for name in ("stable", "metastable", "sun", "metastable_sun"):
        assert nothing.rates[name] == Rate(rate=None, count=0, of=0), name
    assert "sun_of_all" not in nothing.rates
    without_references = discover(samples, energy_above_hull=[0.0, 0.0, 0.0])
    assert "stable" in without_references.rates
    assert "sun" not in without_references.rates
    with pytest.raises(ValueError, match="2 energies for 3 samples"):
        discover(samples, energy_above_hull=[0.0, 0.0])
    with pytest.raises(ValueError, match="1 groups for 3 samples"):
        discover(samples, groups=[0])


def test_no_samples() -> None:
    found = discover([], references=[caesium_chloride()], energy_above_hull=[])
    assert all(rate == Rate(rate=None, count=0, of=0) for rate in found.rates.values())


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Cl", "Br", "I", None]),
            st.sampled_from([4.0, 4.3, 4.6]),
            st.sampled_from([-0.1, 0.0, 0.05, 0.1, 0.4, None]),
        ),
        max_size=10,
    ),
    st.randoms(use_true_random=False),
)
def test_rates_are_consistent_and_do_not_depend_on_order(
    drawn: list[tuple[str | None, float, float | None]], rng: random.Random
) -> None:
    def rates(rows: list[tuple[str | None, float, float | None]]) -> dict[str, int]:
        samples = [
            None if anion is None else caesium_chloride(a, anion=anion) for anion, a, _ in rows
        ]
        energies = [energy for _, _, energy in rows]
        found = discover(samples, references=[caesium_chloride()], energy_above_hull=energies)
        judged = sum(anion is not None and energy is not None for anion, _, energy in rows)
        of_judged = {"stable", "metastable", "sun", "metastable_sun"}
        for name, rate in found.rates.items():
            assert rate.of == (judged if name in of_judged else len(rows)), name
        return {name: rate.count for name, rate in found.rates.items()}

    counts = rates(drawn)
    shuffled = list(drawn)
    rng.shuffle(shuffled)
    assert rates(shuffled) == counts
    # CsCl is known; CsBr and CsI are one crystal each, whatever the length of the cell
    new = [(anion, energy) for anion, _, energy in drawn if anion in ("Br", "I")]
    stable = {anion for anion, energy in new if energy is not None and energy <= 0}
    near = {anion for anion, energy in new if energy is not None and energy <= 0.1}
    assert counts["unique"] == len({anion for anion, _, _ in drawn} - {None})
    assert counts["novel"] == len(new)
    assert (counts["sun"], counts["metastable_sun"]) == (len(stable), len(near))
    assert counts["sun"] <= min(counts["stable"], counts["unique_novel"])
