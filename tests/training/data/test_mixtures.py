"""Shares that add up, ablations of the paper's table 3, and mistakes that are refused."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from crystalicl_jobflow.training import HYBRID_MIXTURE, InstructionSet, Mixture, ablate
from crystalicl_jobflow.training.data.mixtures import ABLATIONS, draw


def kinds(crystals, mixture: Mixture) -> Counter[str]:
    return Counter(item.kind for item in InstructionSet(crystals, mixture=mixture).full())


@pytest.mark.parametrize(
    ("ablation", "few_shot"),
    [("only-C", {"few-shot C"}), ("only-random", {"few-shot R"})],
)
def test_one_way_of_choosing_leaves_the_other_kinds_as_they_are(
    prototypes, ablation, few_shot
) -> None:
    whole = list(InstructionSet(prototypes, mixture=HYBRID_MIXTURE).full())
    ablated = list(InstructionSet(prototypes, mixture=ablate(HYBRID_MIXTURE, ablation)).full())
    assert {item.kind for item in ablated} == {"zero-shot", "property", *few_shot}
    for kind in ("zero-shot", "property"):
        assert sorted(item.prompt for item in ablated if item.kind == kind) == sorted(
            item.prompt for item in whole if item.kind == kind
        )
    # and the few-shot instructions that stay are those of the whole set
    assert {item.prompt for item in ablated} <= {item.prompt for item in whole}


def test_no_auxiliary_leaves_property_prediction_out(prototypes) -> None:
    whole = kinds(prototypes, HYBRID_MIXTURE)
    ablated = kinds(prototypes, ablate(HYBRID_MIXTURE, "no-auxiliary"))
    assert whole["property"] > 0
    assert ablated == whole - Counter({"property": whole["property"]})


@pytest.mark.parametrize("ablation", ["only-F", "only-CF"])
def test_strategies_by_structure_are_refused_without_fingerprints(prototypes, ablation) -> None:
    instructions = InstructionSet(prototypes, mixture=ablate(HYBRID_MIXTURE, ablation))
    with pytest.raises(ValueError, match=r"needs fingerprints and the crystals have none"):
        instructions.require_fingerprints()


def test_all_of_the_papers_ablations_are_there() -> None:
    assert ABLATIONS == ("only-C", "only-F", "only-CF", "only-random", "no-auxiliary")
    for name in ABLATIONS:
        assert ablate(HYBRID_MIXTURE, name) != HYBRID_MIXTURE


@pytest.mark.parametrize(
    ("part", "shares", "message"),
    [
        ("kinds", {"one-shot": 1.0}, "kind 'one-shot' is not one of zero-shot, few-shot"),
        ("strategies", {"X": 1.0}, "strategy 'X' is not one of C, F"),
        ("strategies", {"C": -1.0, "R": 2.0}, "share of strategy C must be a number from 0"),
        ("strategies", {"C": float("nan")}, "share of strategy C must be a number"),
        ("shots", {6: 1.0}, "number of shots 6 is not one of 1, 2"),
        ("conditions", {"group": 0.0}, "no condition has a share above 0"),
    ],
)
def test_impossible_shares_are_refused(part, shares, message) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(**{part: shares})
    with pytest.raises(ValueError, match="ablation 'none' is not one of only-C"):
        ablate(HYBRID_MIXTURE, "none")


def test_draws_follow_the_shares() -> None:
    rng = random.Random(0)
    counts = Counter(draw({"a": 3.0, "b": 1.0, "c": 0.0}, rng) for _ in range(4000))
    assert counts["c"] == 0
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)
