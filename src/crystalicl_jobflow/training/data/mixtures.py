"""Mixtures of instruction sets: kinds, conditions, strategies and shots."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from crystalicl_jobflow.schemas import Condition, Demonstration

_Key = TypeVar("_Key")

KINDS = ("zero-shot", "few-shot", "property")
"""Kinds of instructions (CrystalICL, sections 3.2 and 3.3)."""
CONDITIONS = ("group", "formula", "all", "subset", "empty")
"""Kinds of conditions for a known crystal, see `draw_condition`."""
STRATEGIES = ("C", "F", "CF", "R", "CR", "FR", "CFR", "CE")
"""Ways of choosing demonstrations."""


@dataclass(frozen=True)
class Mixture:
    """Shares of the parts of an instruction set.

    Parameters
    ----------
    kinds
        Kinds of instructions.
    conditions
        Conditions by which a crystal is requested: 'group' formula and space group; 'formula';
        'all' formula, space group and every property known of it (the paper's example); 'subset'
        any of what is known; 'empty' nothing.
    strategies
        How demonstrations are chosen.
    shots
        How many are shown.

    Raises
    ------
    ValueError
        If a name is unknown, a share is negative, or all shares of a part are zero.
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


@dataclass(frozen=True)
class Variation:
    """Shares of instructions about varied or made-up crystals, from 0 to 1, and their descriptions.

    Parameters
    ----------
    augment
        Of the zero-shot and property instructions: the crystal is written in another,
        symmetry-equivalent description (`equivalent_description`). Few-shot instructions
        keep the canonical one, so that the examples show the expected form.
    substitute
        Of the few-shot instructions: they ask for a crystal whose elements are replaced
        (`made_up_pairs.substitute`), so that it cannot be memorised.
    made_up
        Of the few-shot instructions: they are about made-up crystals
        (`made_up_pairs.made_up_pair`), and one of the crystals shown has the structure of the
        target.
    aligned
        Whether the crystals of a few-shot instruction are written in the description of the
        first one shown, where they have its structure (`alignment.align_all`): what is to be
        copied then stands line by line. The share ``augment`` of those first ones is in
        another description than the canonical one. For SGS and SGSW texts only.
    """

    augment: float = 0.0
    substitute: float = 0.0
    made_up: float = 0.0
    aligned: bool = False


def _check(what: str, shares: Mapping[_Key, float], known: tuple[_Key, ...]) -> None:
    for name, share in shares.items():
        if name not in known:
            raise ValueError(f"{what} {name!r} is not one of {', '.join(map(str, known))}")
        if not 0 <= share < float("inf"):
            raise ValueError(f"the share of {what} {name} must be a number from 0 on, got {share}")
    if not sum(shares.values()) > 0:
        raise ValueError(f"no {what} has a share above 0")


BASE_MIXTURE = Mixture()
"""Mixture for the embedded base model: mostly crystals, some with demonstrations."""

HYBRID_MIXTURE = Mixture(
    kinds={"zero-shot": 0.45, "few-shot": 0.50, "property": 0.05},
    shots={1: 0.4, 2: 0.2, 3: 0.4},
)
"""Mixture of the hybrid instruction set for the adapter."""

FEW_SHOT_MIXTURE = Mixture(
    kinds={"zero-shot": 0.27, "few-shot": 0.70, "property": 0.03},
    conditions={"group": 0.60, "formula": 0.12, "all": 0.12, "subset": 0.11, "empty": 0.05},
    strategies={"C": 0.9, "R": 0.1},
    shots={1: 0.4, 2: 0.2, 3: 0.4},
)
"""Mostly demonstrations that meet the condition: a small model learns to use demonstrations only
if it sees many of them."""

COPY_MIXTURE = Mixture(
    kinds={"zero-shot": 0.27, "few-shot": 0.67, "property": 0.06},
    conditions={"group": 0.70, "formula": 0.12, "all": 0.09, "subset": 0.06, "empty": 0.03},
    strategies={"CE": 0.75, "C": 0.17, "CR": 0.03, "R": 0.05},
    shots={1: 0.35, 2: 0.15, 3: 0.5},
)
"""As `FEW_SHOT_MIXTURE`, with the demonstrations that come nearest (CE) in most of them."""

EVEN_MIXTURE = Mixture(
    kinds={"zero-shot": 0.55, "few-shot": 0.41, "property": 0.04},
    conditions={"group": 0.70, "formula": 0.16, "all": 0.06, "subset": 0.05, "empty": 0.03},
    strategies={"CE": 0.78, "C": 0.14, "CR": 0.03, "R": 0.05},
    shots={1: 0.3, 2: 0.15, 3: 0.55},
)
"""As `COPY_MIXTURE`, with as many instructions without demonstrations as with them: after much
copying, a small model otherwise forgets what crystals look like that it is not shown."""

MIXTURES = {
    "base": BASE_MIXTURE,
    "hybrid": HYBRID_MIXTURE,
    "few-shot": FEW_SHOT_MIXTURE,
    "copy": COPY_MIXTURE,
    "even": EVEN_MIXTURE,
}
"""Mixtures by name, as the command line knows them."""

ABLATIONS = ("only-C", "only-F", "only-CF", "only-random", "no-auxiliary")
"""Ablations of CrystalICL's table 3: C, F, CF, Rand and noAux there."""


def ablate(mixture: Mixture, ablation: str) -> Mixture:
    """Return the mixture of one of the ablations of CrystalICL's table 3.

    Parameters
    ----------
    mixture
        The complete mixture.
    ablation
        'only-C', 'only-F', 'only-CF' or 'only-random': few-shot instructions choose their
        demonstrations in this way only, the other kinds stay. 'no-auxiliary': no property
        prediction.

    Raises
    ------
    ValueError
        If there is no such ablation, or no instructions remain.
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
    """Return whether an ablation is meaningless without fingerprints."""
    return ablation in ("only-F", "only-CF")


def draw(shares: Mapping[_Key, float], rng: random.Random) -> _Key:
    """Draw one of the names with probabilities given by their shares."""
    return rng.choices(list(shares), list(shares.values()))[0]


def draw_condition(demonstration: Demonstration, kind: str, rng: random.Random) -> Condition:
    """Draw a condition that a known crystal meets.

    Parameters
    ----------
    demonstration
        The crystal.
    kind
        One of the keys of `Mixture.conditions`.
    rng
        Random generator of the subsets.
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


def choose_formulas(formulas: Iterable[str], share: float, *, seed: int = 0) -> set[str]:
    """Choose reduced formulas to hold out of training.

    Parameters
    ----------
    formulas
        Reduced formulas of the crystals, in any order.
    share
        Share of the different formulas, within [0, 1).
    seed
        Seed of the choice.

    Raises
    ------
    ValueError
        If the share is not within [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of validation must be within [0, 1), got {share:g}")
    distinct = sorted(set(formulas))
    return set(random.Random(seed).sample(distinct, round(share * len(distinct))))
