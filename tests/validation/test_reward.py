"""CrysText's validity and CrysText-RL's reward, part by part."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from checked_crystals import NACL
from crystalicl_jobflow.evaluation import crystext_reward, crystext_validity, group_advantages
from crystalicl_jobflow.text import CIF
from crystalicl_jobflow.thresholds import REWARD_PENALTY
from crystalicl_jobflow.validation.reward import MAX_REWARD

PARTS = ["parse", "valid", "formula", "match_loose", "match_medium", "match_tight", "penalty"]


def cscl_type() -> Structure:
    return Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_the_true_crystal_earns_everything(nacl: Structure) -> None:
    reward = crystext_reward(CIF.encode(nacl), target=nacl)
    assert list(reward.parts) == PARTS
    assert list(reward.parts.values()) == [0.5, 0.5, 0.5, 0.25, 0.25, 1.0, 0.0]
    assert reward.total == MAX_REWARD == 3.0


def test_what_is_no_crystal_earns_a_penalty_alone(nacl: Structure) -> None:
    for sample in ("", "data_NaCl", None):
        reward = crystext_reward(sample, target=nacl)
        assert reward.total == REWARD_PENALTY < 0
        assert reward.parts["parse"] == 0


def test_parts_are_earned_by_themselves(nacl: Structure) -> None:
    heap = nacl.copy()
    heap.scale_lattice(0.5)  # Å³: the right formula, atoms on top of each other
    reward = crystext_reward(heap, formula="Na4Cl4")
    assert (reward.parts["valid"], reward.parts["formula"]) == (0, 0.5)
    reward = crystext_reward(cscl_type(), formula="NaCl", target=nacl)
    assert (reward.parts["valid"], reward.parts["formula"]) == (0.5, 0)
    assert reward.total == 1.0
    assert crystext_reward(nacl).total == 1.0  # nothing asked for: nothing more to earn


@pytest.mark.parametrize(
    ("angle", "earned"),
    [
        (95, [0.25, 0.25, 1.0]),
        (104, [0.25, 0.25, 0.0]),
        (108, [0.25, 0.0, 0.0]),
        (112, [0.0, 0.0, 0.0]),
    ],
)
def test_the_closer_the_match_the_more_is_earned(angle: float, earned: list[float]) -> None:
    """One angle off by more than 10, 15 and 20 degrees, the three angle tolerances."""
    lattice = Lattice.from_parameters(4.12, 4.12, 4.12, 90, 90, angle)
    sheared = Structure(lattice, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    reward = crystext_reward(sheared, target=cscl_type())
    assert [reward.parts[name] for name in PARTS[3:6]] == earned
    assert reward.total == 1.5 + sum(earned)


def test_any_text_format(nacl: Structure) -> None:
    assert crystext_reward(NACL, target=nacl, text_format="sgs").total == 3.0


def test_validity_has_three_parts(nacl: Structure) -> None:
    assert crystext_validity(nacl).valid
    near = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.1, 0, 0]])
    assert not crystext_validity(near).distance_ok
    small = Structure(Lattice.cubic(0.4), ["Na"], [[0, 0, 0]])
    found = crystext_validity(small)
    assert not found.volume_ok
    assert not found.valid
    stacked = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    assert crystext_validity(stacked).space_group is None
    empty = Structure(Lattice.cubic(4), [], [])
    assert not crystext_validity(empty).valid


@given(st.lists(st.integers(-4, 12), min_size=2, max_size=8))
def test_advantages_have_mean_0_and_spread_1(quarters: list[int]) -> None:
    rewards = [number / 4 for number in quarters]
    advantages = group_advantages(rewards)
    assert statistics.fmean(advantages) == pytest.approx(0, abs=1e-6)
    if len(set(rewards)) > 1:
        assert statistics.pstdev(advantages) == pytest.approx(1, abs=1e-6)
        assert sorted(range(len(rewards)), key=rewards.__getitem__) == sorted(
            range(len(rewards)), key=advantages.__getitem__
        )


def test_equal_rewards_teach_nothing() -> None:
    assert group_advantages([1.5, 1.5, 1.5]) == [0, 0, 0]
    assert group_advantages([]) == []
