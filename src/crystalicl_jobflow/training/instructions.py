"""Hybrid instruction sets: what a model is shown while it learns.

For each training crystal: the zero-shot instruction, few-shot instructions with the
strategies of choosing demonstrations mixed, and property-prediction instructions
(CrystalICL, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from crystalicl_jobflow.prompts import (
    crystal_prompt,
    demonstration_sentences,
    prefix_lines,
    property_prompt,
    response_text,
)
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.selection import select
from crystalicl_jobflow.schemas import PROPERTIES, Condition, Demonstration
from crystalicl_jobflow.text import SGS, SGSW, SGSCrystal
from crystalicl_jobflow.text.augmentation import equivalent_description
from crystalicl_jobflow.training.crystals import TrainingCrystal

_Key = TypeVar("_Key")

TEXT_FORMATS = ("sgs", "sgsw")
"""Text variants that an instruction set can be written in."""


@dataclass(frozen=True)
class Instruction:
    """A prompt and the response that a model is to give.

    Parameters
    ----------
    prompt
        Up to and with ``### Response:``.
    response
        What follows, from its first character (a line end or a blank) on.
    kind
        'zero-shot', 'few-shot C' (with the strategy) or 'property'.
    crystal_id
        The crystal it is about.
    demonstration_ids
        The crystals it shows.
    examples
        Where in the prompt the shown crystals' texts stand, as (start, end).
    """

    prompt: str
    response: str
    kind: str
    crystal_id: str
    demonstration_ids: tuple[str, ...] = ()
    examples: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Mixture:
    """Shares of what an instruction set holds; each mapping adds up to 1.

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

MIXTURES = {"base": BASE_MIXTURE, "hybrid": HYBRID_MIXTURE, "few-shot": FEW_SHOT_MIXTURE}
"""Mixtures by name, as the command line knows them."""


def crystal_text(crystal: SGSCrystal, text_format: str = "sgs") -> str:
    """Write a crystal in a text variant, without ``### ``.

    Parameters
    ----------
    crystal
        Group, cell and sites.
    text_format
        'sgs', or 'sgsw' with the Wyckoff position (``Mg 4a``) on the element line.

    Raises
    ------
    ValueError
        If the variant is not known.
    """
    if text_format not in TEXT_FORMATS:
        raise ValueError(f"text format {text_format!r} is not one of {', '.join(TEXT_FORMATS)}")
    return (SGSW if text_format == "sgsw" else SGS).format(crystal)


class InstructionSet:
    """Instructions about training crystals, a fresh draw for every epoch.

    Parameters
    ----------
    crystals
        The crystals to be asked for; also the demonstrations.
    text_format
        Variant of the text.
    mixture
        Shares of kinds, conditions, strategies and shots.
    seed
        Seed of all draws; the same seed gives the same instructions.
    weights
        By source: the share of its crystals that each epoch asks for (0 to 1); sources
        not named have 1.
    pool
        Index of the same crystals, with fingerprints for the strategies F and CF; None
        for one without. Where it has none, F is drawn as R and CF as C.
    augment
        Share of the zero-shot and property instructions (0 to 1) whose crystal is written
        in another, symmetry-equivalent description (`equivalent_description`). Few-shot
        instructions keep the canonical one, so that what the examples show carries over.
    """

    def __init__(
        self,
        crystals: Sequence[TrainingCrystal],
        *,
        text_format: str = "sgs",
        mixture: Mixture = BASE_MIXTURE,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        pool: DemonstrationIndex | None = None,
        augment: float = 0.0,
    ) -> None:
        self.augment = augment
        self.crystals = list(crystals)
        self.text_format = text_format
        self.mixture = mixture
        self.seed = seed
        self.weights = dict(weights or {})
        self._texts: dict[int, str] = {}
        documents = [item.demonstration for item in self.crystals]
        self.pool = pool or DemonstrationIndex.from_documents(
            (document.model_dump() for document in documents), label="training crystals"
        )
        self._places = {item.demonstration_id: place for place, item in enumerate(documents)}

    def order(self, epoch: int) -> list[int]:
        """Return the crystals of an epoch, shuffled, as places in ``crystals``."""
        rng = random.Random(f"{self.seed}:{epoch}:order")
        chosen = [
            index
            for index, item in enumerate(self.crystals)
            if rng.random() < self.weights.get(item.demonstration.source, 1.0)
        ]
        rng.shuffle(chosen)
        return chosen

    def epoch(self, epoch: int) -> Iterator[Instruction]:
        """Yield one instruction for each crystal of an epoch."""
        for index in self.order(epoch):
            yield self.instruction(index, epoch)

    def instruction(self, index: int, epoch: int) -> Instruction:
        """Return the instruction about one crystal in one epoch."""
        rng = random.Random(f"{self.seed}:{epoch}:{index}")
        demonstration = self.crystals[index].demonstration
        kind = _draw(self.mixture.kinds, rng)
        if kind == "property" and demonstration.properties:
            return self._property(index, rng)
        condition = draw_condition(demonstration, _draw(self.mixture.conditions, rng), rng)
        shown: list[int] = []
        strategy = ""
        if kind == "few-shot":
            strategy = _draw(self.mixture.strategies, rng)
            shots = _draw(self.mixture.shots, rng)
            strategy, shown = self._choose(index, condition, strategy, shots, rng)
        if not shown:
            prompt = crystal_prompt(condition, text_format=self.text_format)
            response = response_text(self._described(index, rng))
            return Instruction(prompt, response, "zero-shot", demonstration.demonstration_id)
        pairs = [
            (
                demonstration_sentences(self.crystals[other].demonstration, condition),
                self.text(other),
            )
            for other in shown
        ]
        prompt = crystal_prompt(condition, pairs, text_format=self.text_format)
        return Instruction(
            prompt,
            response_text(self.text(index)),
            f"few-shot {strategy}",
            demonstration.demonstration_id,
            tuple(self.crystals[other].demonstration.demonstration_id for other in shown),
            tuple(_spans(prompt, [text for _, text in pairs])),
        )

    def text(self, index: int) -> str:
        """Return a crystal's text in this set's variant."""
        if index not in self._texts:
            self._texts[index] = crystal_text(self.crystals[index].crystal, self.text_format)
        return self._texts[index]

    def _described(self, index: int, rng: random.Random) -> str:
        """Return a crystal's text, in another description as often as asked for."""
        if self.augment and rng.random() < self.augment:
            other = equivalent_description(self.crystals[index].crystal, rng)
            return crystal_text(other, self.text_format)
        return self.text(index)

    def _choose(
        self, index: int, condition: Condition, strategy: str, shots: int, rng: random.Random
    ) -> tuple[str, list[int]]:
        """Return the strategy that was used and the places of the demonstrations."""
        if not self.pool.num_fingerprints:
            strategy = {"F": "R", "CF": "C", "FR": "R", "CFR": "CR"}.get(strategy, strategy)
        asked = self.crystals[index].demonstration
        chosen = select(
            self.pool,
            condition,
            strategy=strategy,  # type: ignore[arg-type]
            shots=shots,
            seed=rng.getrandbits(32),
            exclude_ids=(asked.demonstration_id,),
        )
        shown = []
        for row in chosen.rows:
            place = self._places.get(self.pool.columns.ids[row])
            if place is None:
                continue
            other = self.crystals[place].demonstration
            # the same compound from another source would give the answer away
            if (other.formula, other.space_group) != (asked.formula, asked.space_group):
                shown.append(place)
        return strategy, shown

    def _property(self, index: int, rng: random.Random) -> Instruction:
        demonstration = self.crystals[index].demonstration
        name = rng.choice(sorted(demonstration.properties))
        value = PROPERTIES[name].format(demonstration.properties[name])
        prompt = property_prompt(name, self._described(index, rng))
        return Instruction(prompt, f" {value}", "property", demonstration.demonstration_id)


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


def _draw(shares: Mapping[_Key, float], rng: random.Random) -> _Key:
    return rng.choices(list(shares), list(shares.values()))[0]


def _spans(prompt: str, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    start = 0
    for text in texts:
        shown = "\n" + prefix_lines(text)
        start = prompt.index(shown, start)
        yield start, start + len(shown)
        start += len(shown)
