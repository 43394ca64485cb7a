"""One tree: rewards, the choice of what is tried next, and what is learned, by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation.first_choice import FirstChoice
from crystalicl_jobflow.generation.search import Verdict, rewards
from crystalicl_jobflow.generation.search.tree import Start, Tree, puct
from crystalicl_jobflow.schemas import TreeSearch

END = 9
NO_CRYSTAL = Verdict(is_crystal=False, is_valid=False)
INVALID = Verdict(is_crystal=True, is_valid=False)


def valid(cost: float | None) -> Verdict:
    return Verdict(is_crystal=True, is_valid=True, cost=cost)


def settings(**changes: Any) -> TreeSearch:
    return TreeSearch(**{"simulations": 50, "parallel": 1, **changes})


def choice(place: int, shares: dict[int, float]) -> FirstChoice:
    return FirstChoice(place, tuple(shares), tuple(math.log(share) for share in shares.values()))


def one(tree: Tree) -> Start:
    (start,) = tree.select()
    return start


def test_rewards_are_squashed_around_the_mean() -> None:
    found = rewards([valid(-1.0), NO_CRYSTAL, valid(-3.0), INVALID, valid(None)], 2.0)
    # mean -2, standard deviation 1
    high, low = 1 / (1 + math.exp(2.0)), 1 / (1 + math.exp(-2.0))
    assert found == pytest.approx([high, -1.0, low, -0.5, -0.5])


def test_a_single_energy_is_the_mean() -> None:
    assert rewards([valid(-4.0)], 2.0) == [0.5]
    assert rewards([valid(-4.0)] * 3, 2.0) == [0.5] * 3


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(0.1, 10))
def test_lower_energies_never_have_lower_rewards(costs: list[float], scale: float) -> None:
    found = rewards([valid(cost) for cost in costs], scale)
    assert all(0 <= reward <= 1 for reward in found)
    pairs = sorted(zip(costs, found, strict=True))
    assert all(cheap[1] >= dear[1] for cheap, dear in pairwise(pairs))


def test_puct_by_hand() -> None:
    tree = Tree(settings(exploration=1.5), frozenset({END}))
    # the first text begins with what is forced (1, 2), then it could go on with 3 or 4
    first = one(tree)
    assert first.leaf is tree.root
    tree.add(first, (1, 2, 4, END), choice(2, {3: 0.6, 4: 0.2}), INVALID)
    tree.learn()
    left, right = tree.root.children or ()
    assert left.prefix == (1, 2, 3)
    assert (left.prior, right.prior) == pytest.approx((0.75, 0.25))
    # not visited: the parent's mean, -0.5, and c P √1 / 1
    assert puct(left, tree.settings) == pytest.approx(-0.5 + 1.5 * 0.75)
    second = one(tree)
    assert second.leaf is left
    tree.add(second, (1, 2, 3, END), None, NO_CRYSTAL)
    tree.learn()
    assert (tree.root.visits, tree.root.mean) == (2, -0.75)
    assert puct(left, tree.settings) == pytest.approx(-1.0 + 1.5 * 0.75 * math.sqrt(2) / 2)
    assert puct(right, tree.settings) == pytest.approx(-0.75 + 1.5 * 0.25 * math.sqrt(2))
    # nothing else begins with 1, 2, 3: it is closed, however good its PUCT were
    assert left.is_closed
    assert one(tree).leaf is right


def test_values_follow_the_running_mean_back_to_the_root() -> None:
    tree = Tree(settings(), frozenset({END}))
    tree.add(one(tree), (1, END), choice(0, {1: 0.5, 2: 0.5}), valid(-1.0))
    tree.learn()
    assert tree.root.mean == 0.5
    start = one(tree)
    tree.add(start, (1, 5, END), choice(1, {5: 0.5, 6: 0.5}), valid(-3.0))
    tree.learn()
    high, low = 1 / (1 + math.exp(2.0)), 1 / (1 + math.exp(-2.0))
    assert tree.root.mean == pytest.approx((high + low) / 2)
    assert start.leaf.mean == pytest.approx(low)
    assert (start.leaf.best, tree.root.best) == pytest.approx((low, low))


@pytest.mark.parametrize(("backup", "taken"), [("mean", 2), ("max", 1)])
def test_mean_or_largest_reward(backup: str, taken: int) -> None:
    tree = Tree(settings(exploration=0.0, backup=backup), frozenset({END}))
    tree.add(one(tree), (1, END), choice(0, {1: 0.5, 2: 0.5}), INVALID)
    one_, two = tree.root.children or ()
    for number, (leaf, costs) in enumerate([(one_, (-9.0, 2.0, 2.0)), (two, (-4.0, -4.0, -4.0))]):
        for index, cost in enumerate(costs):
            for node in leaf.path():
                node.visits += 1
                node.pending += 1
            start = Start(10 * number + index + 1, leaf)
            tree.add(start, (*leaf.prefix, 7, END), choice(1, {7: 0.5, 8: 0.5}), valid(cost))
    tree.learn()
    assert one(tree).leaf.prefix[0] == taken


def test_texts_that_are_written_at_once_spread() -> None:
    tree = Tree(settings(parallel=3), frozenset({END}))
    starts = tree.select()
    assert [start.number for start in starts] == [0, 1, 2]
    assert all(start.leaf is tree.root for start in starts)
    for start in starts:
        tree.add(start, (1, END), choice(0, {1: 0.4, 2: 0.35, 3: 0.25}), INVALID)
    tree.learn()
    assert [start.leaf.prefix for start in tree.select()] == [(1,), (2,), (3,)]
    assert tree.root.done == 3


def test_a_refused_token_is_never_tried_again_and_costs_no_text() -> None:
    tree = Tree(settings(simulations=2), frozenset({END}))
    tree.add(one(tree), (2, END), choice(0, {1: 0.9, 2: 0.1}), INVALID)
    tree.learn()
    start = one(tree)
    assert start.leaf.prefix == (1,)
    tree.refuse(start)
    again = one(tree)
    assert (again.number, again.leaf.prefix) == (start.number, (2,))
    tree.add(again, (2, END), None, INVALID)
    assert tree.is_done
    assert tree.select() == []


def test_where_all_tokens_are_refused_texts_begin_before_them() -> None:
    tree = Tree(settings(), frozenset({END}))
    tree.add(one(tree), (1, END), choice(0, {1: 1.0}), INVALID)
    tree.learn()
    tree.refuse(one(tree))
    assert one(tree).leaf is tree.root


def test_an_exhausted_tree_goes_on_from_its_root() -> None:
    tree = Tree(settings(simulations=4), frozenset({END}))
    tree.add(one(tree), (1, END), choice(1, {END: 0.6, 2: 0.4}), INVALID)
    for written in ((1, END), (1, 2, END)):
        tree.learn()
        tree.add(one(tree), written, None, INVALID)
    assert tree.root.is_closed
    assert one(tree).leaf is tree.root
