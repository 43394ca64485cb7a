"""What instruction sets are mixed of: kinds, conditions, strategies and shots."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from crystalicl_jobflow.schemas import Condition, Demonstration

_Key = TypeVar("_Key")

KINDS = ("zero-shot", "few-shot", "property")
"""Kinds of instructions (CrystalICL, sections 3.2 and 3.3)."""
CONDITIONS = ("group", "formula", "all", "subset", "empty")
"""Ways of asking for a known crystal, see `draw_condition`."""
STRATEGIES = ("C", "F", "CF", "R", "CR", "FR", "CFR", "CE")
"""Ways of choosing demonstrations."""


@dataclass(frozen=True)
class Mixture:
    """Shares of what an instruction set holds.

    Parameters
    ----------
    kinds
        Kinds of instructions.
    conditions
        What a crystal is asked by: 'group' formula and space group; 'formula'; 'all'
        formula, space group and every property known of it (the paper's example);
        'subset' any of what is known; 'empty' nothing.
    strategies
        How demonstrations are chosen.
    shots
        How many are shown.

    Raises
    ------
    ValueError
        If a name is not known, a share is negative, or all shares of a part are zero.
    """

    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"zero-shot": 0.70, "few-shot": 0.25, "property": 0.05}
    )
    conditions: Mapping[str, float] = field(
        default_factory=lambda: {
            "group": 0.50,
            "formula": 0.15,
            "all": 0.15,
            "subset": 0.14,
            "empty": 0.06,
        }
    )
    strategies: Mapping[str, float] = field(
        default_factory=lambda: {"C": 0.7, "CF": 0.1, "F": 0.1, "R": 0.1}
    )
    shots: Mapping[int, float] = field(default_factory=lambda: {1: 0.5, 2: 0.2, 3: 0.3})

    def __post_init__(self) -> None:
        _check("kind", self.kinds, KINDS)
        _check("condition", self.conditions, CONDITIONS)
        _check("strategy", self.strategies, STRATEGIES)
        _check("number of shots", self.shots, (1, 2, 3, 4, 5))


def _check(what: str, shares: Mapping[_Key, float], known: tuple[_Key, ...]) -> None:
    for name, share in shares.items():
        if name not in known:
            raise ValueError(f"{what} {name!r} is not one of {', '.join(map(str, known))}")
        if not 0 <= share < float("inf"):
            raise ValueError(f"the share of {what} {name} must be a number from 0 on, got {share}")
    if not sum(shares.values()) > 0:
        raise ValueError(f"no {what} has a share above 0")


BASE_MIXTURE = Mixture()
"""What the embedded base model learns from: mostly crystals, some with demonstrations."""

HYBRID_MIXTURE = Mixture(
    kinds={"zero-shot": 0.45, "few-shot": 0.50, "property": 0.05},
    shots={1: 0.4, 2: 0.2, 3: 0.4},
)
"""The hybrid instruction set that the adapter learns from."""

FEW_SHOT_MIXTURE = Mixture(
    kinds={"zero-shot": 0.27, "few-shot": 0.70, "property": 0.03},
    conditions={"group": 0.60, "formula": 0.12, "all": 0.12, "subset": 0.11, "empty": 0.05},
    strategies={"C": 0.9, "R": 0.1},
    shots={1: 0.4, 2: 0.2, 3: 0.4},
)
"""Mostly demonstrations that meet the condition: a small model learns to use what it is
shown only when it is shown much of it."""

COPY_MIXTURE = Mixture(
    kinds={"zero-shot": 0.27, "few-shot": 0.67, "property": 0.06},
    conditions={"group": 0.70, "formula": 0.12, "all": 0.09, "subset": 0.06, "empty": 0.03},
    strategies={"CE": 0.75, "C": 0.17, "CR": 0.03, "R": 0.05},
    shots={1: 0.35, 2: 0.15, 3: 0.5},
)
"""As `FEW_SHOT_MIXTURE`, with the demonstrations that come nearest (CE) in most of them."""

MIXTURES = {
    "base": BASE_MIXTURE,
    "hybrid": HYBRID_MIXTURE,
    "few-shot": FEW_SHOT_MIXTURE,
    "copy": COPY_MIXTURE,
}
"""Mixtures by name, as the command line knows them."""

ABLATIONS = ("only-C", "only-F", "only-CF", "only-random", "no-auxiliary")
"""Ablations of CrystalICL's table 3: C, F, CF, Rand and noAux there."""


def ablate(mixture: Mixture, ablation: str) -> Mixture:
    """Return the mixture of one of the ablations of CrystalICL's table 3.

    Parameters
    ----------
    mixture
        What is ablated.
    ablation
        'only-C', 'only-F', 'only-CF' or 'only-random': few-shot instructions choose their
        demonstrations in this way only, the other kinds stay. 'no-auxiliary': no property
        prediction.

    Raises
    ------
    ValueError
        If there is no such ablation, or it leaves nothing.
    """
    if ablation not in ABLATIONS:
        raise ValueError(f"ablation {ablation!r} is not one of {', '.join(ABLATIONS)}")
    if ablation == "no-auxiliary":
        return replace(
            mixture,
            kinds={name: share for name, share in mixture.kinds.items() if name != "property"},
        )
    strategy = "R" if ablation == "only-random" else ablation.removeprefix("only-")
    return replace(mixture, strategies={strategy: 1.0})


def by_structure(ablation: str | None) -> bool:
    """Tell whether an ablation makes no sense without fingerprints."""
    return ablation in ("only-F", "only-CF")


def draw(shares: Mapping[_Key, float], rng: random.Random) -> _Key:
    """Draw one of the names by their shares."""
    return rng.choices(list(shares), list(shares.values()))[0]


def draw_condition(demonstration: Demonstration, kind: str, rng: random.Random) -> Condition:
    """Ask for a known crystal.

    Parameters
    ----------
    demonstration
        The crystal.
    kind
        One of the keys of `Mixture.conditions`.
    rng
        Draws the subsets.
    """
    formula, group = demonstration.formula, demonstration.space_group
    properties = dict(demonstration.properties)
    if kind == "empty":
        return Condition()
    if kind == "formula":
        return Condition(formula=formula)
    if kind == "group":
        return Condition(formula=formula, space_group=group)
    if kind == "all":
        return Condition(formula=formula, space_group=group, properties=properties)
    kept = {name: value for name, value in properties.items() if rng.random() < 0.4}
    # one way of naming the elements at most: the prompt shows no more
    naming = rng.choice(("formula", "formula", "chemsys", "elements", "anonymous", "none"))
    elements = None
    if naming == "elements":
        count = rng.randint(1, len(demonstration.elements))
        elements = tuple(rng.sample(demonstration.elements, count))
    return Condition(
        formula=formula if naming == "formula" else None,
        chemsys=demonstration.chemsys if naming == "chemsys" else None,
        elements=elements,
        anonymous_formula=demonstration.anonymous_formula if naming == "anonymous" else None,
        space_group=group if rng.random() < 0.6 else None,
        num_sites=demonstration.num_sites if rng.random() < 0.2 else None,
        properties=kept,
    )
