"""The feasibility test against brute force, and what is said about impossible requests."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.constraints import (
    ConstraintOptions,
    ImpossibleConditionError,
    build_constraint,
    check_feasible,
)
from crystalicl_jobflow.generation.constraints.budget import (
    Budget,
    amounts_of,
    anonymous_amounts,
    atoms_asked,
    counts_of,
    next_steps,
)
from crystalicl_jobflow.generation.constraints.feasibility import (
    NEVER,
    can_hold,
    fewest_orbits,
    group_sites,
    orbit_counts,
)
from crystalicl_jobflow.generation.constraints.targets import (
    AnonymousTarget,
    FormulaTarget,
    SystemTarget,
)
from crystalicl_jobflow.schemas import Condition, Range

GROUPS = st.sampled_from([1, 2, 10, 47, 62, 99, 123, 139, 164, 166, 191, 194, 215, 221, 225, 227])


@cache
def by_brute_force(number: int, remainders: tuple[int, ...], used: int) -> int:
    """Return the fewest orbits, position by position; `NEVER` where there is no way."""
    if not any(remainders):
        return 0
    sites = group_sites(number)
    element = next(i for i, n in enumerate(remainders) if n)
    best = NEVER
    for bit, size in enumerate(sites.multiplicities):
        is_fixed = sites.fixed >> bit & 1
        if size > remainders[element] or (is_fixed and used >> bit & 1):
            continue
        rest = list(remainders)
        rest[element] -= size
        after = by_brute_force(number, tuple(rest), used | (1 << bit if is_fixed else 0))
        best = min(best, after + 1)
    return best


@given(GROUPS, st.lists(st.integers(0, 7), min_size=1, max_size=3), st.integers(0, 2**27 - 1))
def test_fewest_orbits_is_exact(number: int, remainders: list[int], mask: int) -> None:
    sites = group_sites(number)
    used = mask & sites.fixed
    copies = sites.copies(sites.fixed & ~used)
    left = tuple(sorted((n for n in remainders if n), reverse=True))
    expected = by_brute_force(number, left, used)
    assert fewest_orbits(number, left, copies) == expected
    assert can_hold(number, left, copies) == (expected < NEVER)


@given(GROUPS, st.integers(0, 8), st.integers(0, 2**27 - 1))
def test_orbit_counts_are_exact(number: int, atoms: int, mask: int) -> None:
    sites = group_sites(number)
    used = mask & sites.fixed

    def counts(atoms: int, used: int, first: int) -> set[int]:
        if atoms == 0:
            return {0}
        found: set[int] = set()
        for bit in range(first, len(sites.multiplicities)):
            size, is_fixed = sites.multiplicities[bit], sites.fixed >> bit & 1
            if size <= atoms and not (is_fixed and used >> bit & 1):
                # positions in order, so that each combination is met once
                found |= {1 + n for n in counts(atoms - size, used, bit + is_fixed)}
        return found

    bits = orbit_counts(number, atoms, sites.copies(sites.fixed & ~used))
    assert {n for n in range(bits.bit_length()) if bits >> n & 1} == counts(atoms, used, 0)


@given(
    GROUPS,
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.integers(0, 2**27 - 1),
)
def test_fast_next_steps_are_the_slow_ones(
    number: int, amounts: list[int], written: list[int], mask: int
) -> None:
    names = ("Ba", "Fe", "O")
    target = FormulaTarget(tuple(zip(names, amounts, strict=False)))
    counts = counts_of({n: w for (n, _), w in zip(target.amounts, written, strict=False) if w})
    sites = group_sites(number)
    copies = sites.copies(sites.fixed & mask)
    budget = Budget(1, 16, 16)
    slow = next_steps(target, number, counts, copies, budget)
    fast = target.next_steps(number, counts, copies, budget)
    sort = {name: tuple(tuple(sorted(kinds)) for kinds in both) for name, both in fast.items()}
    assert sort == slow


def test_targets_know_what_is_complete() -> None:
    budget = Budget(1, 20, 20)
    formula = FormulaTarget(tuple(amounts_of("CaTiO3").items()))
    assert formula.is_complete(counts_of({"Ca": 2, "Ti": 2, "O": 6}), budget)
    assert not formula.is_complete(counts_of({"Ca": 2, "Ti": 2, "O": 5}), budget)
    assert not formula.is_complete((), budget)
    anonymous = AnonymousTarget(anonymous_amounts("ABC3"), frozenset({"K", "Cl", "O", "Br"}))
    assert anonymous.is_complete(counts_of({"K": 2, "Cl": 2, "O": 6}), budget)
    assert anonymous.is_complete(counts_of({"K": 6, "Cl": 2, "O": 2}), budget)
    assert not anonymous.is_complete(counts_of({"K": 2, "O": 6}), budget)
    assert set(anonymous.elements(counts_of({"K": 1, "Cl": 1, "O": 3}))) == {"K", "Cl", "O"}
    system = SystemTarget(frozenset({"K", "Cl", "O"}), frozenset({"K", "O"}))
    assert system.is_complete(counts_of({"K": 1, "O": 3}), budget)
    assert not system.is_complete(counts_of({"K": 1, "Cl": 3}), budget)
    assert not system.is_complete(counts_of({"K": 11, "O": 10}), budget)


def test_elements_need_an_orbit_each_and_no_more() -> None:
    system = SystemTarget(frozenset({"Na", "Cl", "O"}), frozenset({"Na", "Cl"}))
    copies = group_sites(225).copies(group_sites(225).fixed)
    assert not system.is_feasible(225, (), copies, Budget(1, 2, 1))
    assert system.is_feasible(225, (), copies, Budget(1, 2, 2))
    assert not system.is_feasible(225, counts_of({"K": 1}), copies, Budget(1, 8, 4))


@pytest.mark.parametrize("bounds", [(20, 180), (0, 160), (91, 160), (20, 119), (160, 20)])
def test_bounds_of_angles_make_cells(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="angle_bounds"):
        ConstraintOptions(angle_bounds=bounds)


def test_a_diatomic_formula_may_have_an_odd_number_of_atoms() -> None:
    """Pymatgen reduces oxygen to O2, but a crystal of one atom is oxygen as well."""
    assert amounts_of("O2") == {"O": 1}
    assert check_feasible(Condition(formula="O2", num_sites=1, space_group=221)) == (221,)


def test_fixed_positions_are_taken_once() -> None:
    """Fm-3m offers 4a and 4b once each: three elements of one atom do not fit."""
    small = ConstraintOptions(max_atoms=3)
    assert check_feasible(Condition(formula="NaCl", space_group=225), small) == (225,)
    with pytest.raises(ImpossibleConditionError):
        check_feasible(Condition(formula="LiNaCl", space_group=225), small)


@pytest.mark.parametrize(
    ("fields", "limit", "words"),
    [
        ({"formula": "CaTiO3", "space_group": 227}, 15, ["CaTiO3", "227", "at most 15 atoms"]),
        ({"formula": "NaCl", "space_group": [228, 230]}, 10, ["NaCl", "228 or 230"]),
        ({"formula": "CaTiO3", "num_sites": 7}, 60, ["exactly 7 atoms"]),
        ({"formula": "Ca7Ti11O61"}, 60, ["Ca7Ti11O61", "a limit of 79 atoms"]),
        ({"anonymous_formula": "ABC3", "space_group": 227}, 10, ["ABC3", "227"]),
        ({"chemsys": "Ca-Ti-O", "num_sites": 3, "space_group": 230}, 60, ["Ca-O-Ti", "230"]),
        ({"elements": ["Li", "O"], "num_sites": 1}, 60, ["Li, O", "exactly 1 atom "]),
        ({"num_sites": {"min": 61, "max": 70}}, 60, ["a limit of 61 atoms"]),
    ],
)
def test_the_impossible_is_said_in_one_line_at_once(
    fields: dict, limit: int, words: list[str]
) -> None:
    options = ConstraintOptions(max_atoms=limit)
    with pytest.raises(ImpossibleConditionError) as caught:
        build_constraint(Condition(**fields), options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert caught.value.suggestions
    assert all(suggestion in message for suggestion in caught.value.suggestions)


def test_suggested_groups_are_possible_and_near() -> None:
    options = ConstraintOptions(max_atoms=15)
    with pytest.raises(ImpossibleConditionError) as caught:
        build_constraint(Condition(formula="CaTiO3", space_group=227), options)
    groups, atoms = caught.value.suggestions
    numbers = [int(n) for n in groups.removeprefix("space group ").replace(" or", ",").split(", ")]
    assert check_feasible(Condition(formula="CaTiO3", space_group=numbers), options) == tuple(
        sorted(numbers)
    )
    assert wyckoff.crystal_system(numbers[0]) == "cubic"
    limit = int(atoms.split()[3])
    more = ConstraintOptions(max_atoms=limit)
    assert check_feasible(Condition(formula="CaTiO3", space_group=227), more) == (227,)
    fewer = ConstraintOptions(max_atoms=limit - 1)
    with pytest.raises(ImpossibleConditionError):
        check_feasible(Condition(formula="CaTiO3", space_group=227), fewer)


def test_bounds_between_whole_numbers_are_rounded_inwards() -> None:
    assert atoms_asked(Range(min=6.5, max=9.5), 60) == (7, 9)
    assert atoms_asked(Range(min=6.5, max=6.9), 60) == (7, 6)  # nothing in between
    assert atoms_asked(Range(min=6, max=9), 8) == (6, 8)
    with pytest.raises(ImpossibleConditionError):
        build_constraint(Condition(num_sites={"min": 6.5, "max": 6.9}))


def test_formats_without_a_constraint_have_none() -> None:
    condition = Condition(formula="NaCl")
    assert build_constraint(condition, text_format="xyz") is None
    assert build_constraint(condition, text_format="cif") is None


def test_the_constraint_describes_itself() -> None:
    constraint = build_constraint(
        Condition(formula="CaTiO3", space_group=221, num_sites={"min": 5, "max": 10})
    )
    assert constraint is not None
    words = constraint.describe()
    assert "\n" not in words
    for part in ("sgs", "CaTiO3", "space group 221", "5 to 10 atoms", "0.7 Å"):
        assert part in words
    # spheres of 1.80, 1.40 and three times 0.60 Å: 0.6 * 38.64 Å³ / 5
    assert "at least 4.64 Å³ per atom" in words
    plain = ConstraintOptions(
        min_distance=None, min_volume_per_atom=None, min_sphere_volume_ratio=None
    )
    constraint = build_constraint(Condition(), plain)
    assert constraint is not None
    assert "Å" not in constraint.describe()
