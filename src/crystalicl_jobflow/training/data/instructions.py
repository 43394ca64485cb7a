"""Hybrid instruction sets for training.

For each training crystal there are the zero-shot instruction, few-shot instructions with mixed
strategies of choosing demonstrations, and property-prediction instructions (CrystalICL, section
3.3).
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from crystalicl_jobflow.prompts import (
    check_template,
    crystal_prompt,
    demonstration_sentences,
    property_prompt,
    property_response,
    response_text,
    shown_text,
)
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.retrieval.strategies import select
from crystalicl_jobflow.schemas import PROPERTIES, Condition, Demonstration
from crystalicl_jobflow.text import SGSCrystal
from crystalicl_jobflow.text.alignment import align_all
from crystalicl_jobflow.text.formats import WRITTEN_FORMATS, crystal_text
from crystalicl_jobflow.training.data.augmentation import equivalent_description
from crystalicl_jobflow.training.data.crystals import TrainingCrystal
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.data.made_up_pairs import MADE_UP, made_up_pair, substitute
from crystalicl_jobflow.training.data.mixtures import (
    ABLATIONS,
    BASE_MIXTURE,
    COPY_MIXTURE,
    FEW_SHOT_MIXTURE,
    HYBRID_MIXTURE,
    MIXTURES,
    Mixture,
    Variation,
    ablate,
    draw,
    draw_condition,
)

_FALLBACKS = {"F": "R", "FR": "R", "CF": "C", "CFR": "CR"}
"""Replacements of strategies that need fingerprints, where there are none."""


LEARNED_FIRST = 0.3
"""Share of the aligned few-shot instructions in which the first crystal shown is learned too.
It cannot be known in advance, while the others are copies of it; with a higher share, the loss of
what cannot be known hides what is to be learned."""


class InstructionSet:
    """Instructions about training crystals, drawn anew for every epoch.

    What is drawn for a crystal depends on the seed, the epoch, its id and the set of all
    crystals, not on their order.

    Parameters
    ----------
    crystals
        The target crystals; also used as demonstrations. Their ids are unique.
    text_format
        'sgs', 'sgsw', 'xyz' or 'cif'.
    mixture
        Shares of kinds, conditions, strategies and shots.
    seed
        Seed of all draws; the same seed gives the same instructions.
    weights
        By source: the share of its crystals that are targets in each epoch (0 to 1); 1 for sources
        not named.
    pool
        Index of the same crystals; None to build it from them, with the fingerprints in their
        demonstrations. Without any, F is drawn as R and CF as C, and the kind of the instruction
        says so ('few-shot R for F').
    variation
        Which instructions are about varied or made-up crystals; None for none.
    template
        'crystalicl' or 'alpaca', see `crystalicl_jobflow.prompts`.

    Attributes
    ----------
    fallbacks
        Strategies of the mixture that are impossible with these crystals, and their replacements.

    Raises
    ------
    ValueError
        If format or template is unknown, or an id occurs twice; one line.
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
        variation: Variation | None = None,
        template: str = "crystalicl",
    ) -> None:
        check_template(template)
        if text_format not in WRITTEN_FORMATS:
            raise ValueError(
                f"text format {text_format!r} is not one of {', '.join(WRITTEN_FORMATS)}"
            )
        self.variation = variation or Variation()
        self.aligned = self.variation.aligned and text_format in ("sgs", "sgsw")
        self.crystals = list(crystals)
        self.text_format = text_format
        self.mixture = mixture
        self.seed = seed
        self.weights = dict(weights or {})
        self.template = template
        self._texts: dict[int, str] = {}
        self._order: tuple[int, list[int]] | None = None
        documents = [item.demonstration for item in self.crystals]
        self._places = {item.demonstration_id: place for place, item in enumerate(documents)}
        if len(self._places) < len(documents):
            counts = Counter(item.demonstration_id for item in documents)
            raise ValueError(f"crystal {counts.most_common(1)[0][0]} comes twice")
        self.pool = pool or DemonstrationIndex.from_documents(
            (document.model_dump() for document in documents), label="training crystals"
        )
        self._compounds: dict[tuple[str, int], list[str]] = defaultdict(list)
        for item in documents:
            self._compounds[item.formula, item.space_group].append(item.demonstration_id)
        self.fallbacks: dict[str, str] = {}
        if not self.pool.num_fingerprints:
            asked = {name for name, share in mixture.strategies.items() if share > 0}
            self.fallbacks = {name: used for name, used in _FALLBACKS.items() if name in asked}

    def require_fingerprints(self) -> None:
        """Raise an error for strategies that need fingerprints where there are none.

        Raises
        ------
        ValueError
            If there is such a strategy; one line.
        """
        if self.fallbacks:
            raise ValueError(
                f"strategy {next(iter(self.fallbacks))} needs fingerprints and the crystals have"
                " none; build a pool with them (crystalicl pool build DATA --store POOL.json)"
                " and give that"
            )

    def order(self, epoch: int) -> list[int]:
        """Return the crystals of an epoch, shuffled, as places in ``crystals``."""
        if self._order is None or self._order[0] != epoch:
            ranked = []
            for index, item in enumerate(self.crystals):
                name = f"{self.seed}:{epoch}:{item.demonstration.demonstration_id}"
                digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
                share = int.from_bytes(digest[:8], "little") / 2**64
                if share < self.weights.get(item.demonstration.source, 1.0):
                    ranked.append((digest[8:], index))
            self._order = (epoch, [index for _, index in sorted(ranked)])
        return self._order[1]

    def epoch(self, epoch: int) -> Iterator[Instruction]:
        """Yield one instruction for each crystal of an epoch."""
        for index in self.order(epoch):
            yield self.instruction(index, epoch)

    def full(self) -> Iterator[Instruction]:
        """Yield the paper's whole set: every kind of instruction for each crystal.

        For each crystal the zero-shot instruction, a few-shot instruction for every
        strategy of the mixture, and a property-prediction instruction for every property
        known of it; kinds and strategies with a share of 0 are left out.
        """
        for index in self.order(0):
            yield from self.all_about(index)

    def all_about(self, index: int) -> Iterator[Instruction]:
        """Yield every kind of instruction about one crystal; see `full`."""
        demonstration = self.crystals[index].demonstration
        kinds = {name for name, share in self.mixture.kinds.items() if share > 0}

        def stream(what: str) -> random.Random:
            # one per kind, so that an ablation does not change the other kinds
            return random.Random(f"{self.seed}:full:{demonstration.demonstration_id}:{what}")

        if "zero-shot" in kinds:
            yield self._crystal(index, stream("zero-shot"))
        if "few-shot" in kinds:
            for strategy in (s for s, share in self.mixture.strategies.items() if share > 0):
                instruction = self._crystal(index, stream(strategy), strategy)
                if instruction.demonstration_ids:
                    yield instruction
        if "property" in kinds:
            for name in sorted(demonstration.properties):
                yield self._property(index, stream(name), name)

    def instruction(self, index: int, epoch: int) -> Instruction:
        """Return the instruction about one crystal in one epoch."""
        demonstration = self.crystals[index].demonstration
        rng = random.Random(f"{self.seed}:{epoch}:{demonstration.demonstration_id}")
        kind = draw(self.mixture.kinds, rng)
        if kind == "property" and demonstration.properties:
            return self._property(index, rng, rng.choice(sorted(demonstration.properties)))
        strategy = draw(self.mixture.strategies, rng) if kind == "few-shot" else None
        return self._crystal(index, rng, strategy)

    def text(self, index: int) -> str:
        """Return a crystal's text in this set's format."""
        if index not in self._texts:
            self._texts[index] = crystal_text(self.crystals[index].crystal, self.text_format)
        return self._texts[index]

    def _crystal(self, index: int, rng: random.Random, strategy: str | None = None) -> Instruction:
        """Build an instruction for a crystal, with demonstrations if a strategy finds some."""
        asked = self.crystals[index]
        made_up, replaced = self.variation.made_up, self.variation.substitute
        if strategy is not None and made_up and rng.random() < made_up:
            pair = made_up_pair(asked, rng, aligned=self.aligned)
            if pair is not None:
                return self._made_up(*pair, strategy, rng)
        other_elements = None
        if strategy is not None and replaced and rng.random() < replaced:
            other_elements = substitute(asked, rng)
        demonstration = (other_elements or asked).demonstration
        condition = draw_condition(demonstration, draw(self.mixture.conditions, rng), rng)
        shown: list[int] = []
        kind = "zero-shot"
        if strategy is not None:
            used = self.fallbacks.get(strategy, strategy)
            shots = draw(self.mixture.shots, rng)
            shown = self._choose(demonstration, condition, used, shots, rng)
            if shown:
                kind = f"few-shot {used}" + (f" for {strategy}" if used != strategy else "")
            elif other_elements is not None:
                return self._crystal(index, rng)
        documents = [self.crystals[other].demonstration for other in shown]
        if shown and self.aligned:
            crystals = [self.crystals[other].crystal for other in shown]
            *texts, text = self._alike([*crystals, (other_elements or asked).crystal], rng)
        else:
            texts = [self.text(other) for other in shown]
            if shown and other_elements is not None:
                text = crystal_text(other_elements.crystal, self.text_format)
            else:
                text = self.text(index) if shown else self._described(index, rng)
        pairs = list(zip(documents, texts, strict=True))
        first = not self.aligned or rng.random() < LEARNED_FIRST
        return self._asked(demonstration, condition, text, kind, pairs, first=first)

    def _alike(self, crystals: Sequence[SGSCrystal], rng: random.Random) -> list[str]:
        """Return the texts of crystals in one description, as far as they have one structure."""
        first, *others = crystals
        if self.variation.augment and rng.random() < self.variation.augment:
            first = equivalent_description(first, rng, order=rng.random() < 0.5)
        return [crystal_text(item, self.text_format) for item in align_all([first, *others])]

    def _made_up(
        self, shown: TrainingCrystal, asked: TrainingCrystal, strategy: str, rng: random.Random
    ) -> Instruction:
        """Build an instruction for a made-up crystal, with one of its structure as an example."""
        condition = draw_condition(asked.demonstration, "group", rng)
        used = self.fallbacks.get(strategy, strategy)
        # the only example in half of them: rows are short and the pattern is clear
        shots = draw(self.mixture.shots, rng) if rng.random() < 0.5 else 1
        others = self._choose(asked.demonstration, condition, used, shots, rng)
        examples = [self.crystals[other] for other in others]
        examples.insert(rng.randrange(max(1, len(examples))), shown)
        del examples[max(1, len(others)) :]
        crystals = [item.crystal for item in (*examples, asked)]
        if self.aligned:
            texts = [crystal_text(item, self.text_format) for item in align_all(crystals)]
        else:
            texts = [crystal_text(item, self.text_format) for item in crystals]
        documents = [item.demonstration for item in examples]
        return self._asked(
            asked.demonstration,
            condition,
            texts[-1],
            "few-shot made up",
            list(zip(documents, texts[:-1], strict=True)),
        )

    def _asked(
        self,
        demonstration: Demonstration,
        condition: Condition,
        text: str,
        kind: str,
        shown: Sequence[tuple[Demonstration, str]],
        *,
        first: bool = True,
    ) -> Instruction:
        """Put an instruction together.

        ``shown`` are the examples and their texts, ``first`` tells whether the first one is
        to be learned as well as the others.
        """
        pairs = [
            (demonstration_sentences(other, condition, template=self.template), written)
            for other, written in shown
        ]
        prompt = crystal_prompt(
            condition, pairs, text_format=self.text_format, template=self.template
        )
        spans = list(
            _spans(prompt, [shown_text(item, template=self.template) for _, item in pairs])
        )
        return Instruction(
            prompt,
            response_text(text, template=self.template),
            kind,
            demonstration.demonstration_id,
            tuple(other.demonstration_id for other, _ in shown),
            # with made-up crystals, only the response is to be learned
            () if demonstration.source == MADE_UP else tuple(spans if first else spans[1:]),
        )

    def _described(self, index: int, rng: random.Random) -> str:
        """Return a crystal's text, in another description with the configured probability."""
        if self.variation.augment and rng.random() < self.variation.augment:
            other = equivalent_description(self.crystals[index].crystal, rng)
            return crystal_text(other, self.text_format)
        return self.text(index)

    def _choose(
        self,
        asked: Demonstration,
        condition: Condition,
        strategy: str,
        shots: int,
        rng: random.Random,
    ) -> list[int]:
        """Return the places of the demonstrations."""
        chosen = select(
            self.pool,
            condition,
            strategy=strategy,  # type: ignore[arg-type]
            shots=shots,
            seed=rng.getrandbits(32),
            # the same compound from another source would reveal the answer
            exclude_ids=self._compounds[asked.formula, asked.space_group],
        )
        ids = (self.pool.columns.ids[row] for row in chosen.rows)
        return [self._places[name] for name in ids if name in self._places]

    def _property(self, index: int, rng: random.Random, name: str) -> Instruction:
        demonstration = self.crystals[index].demonstration
        value = PROPERTIES[name].format(demonstration.properties[name])
        return Instruction(
            property_prompt(name, self._described(index, rng), template=self.template),
            property_response(value, template=self.template),
            "property",
            demonstration.demonstration_id,
        )


def _spans(prompt: str, shown: Sequence[str]) -> Iterator[tuple[int, int]]:
    start = 0
    for text in shown:
        start = prompt.index(text, start)
        yield start, start + len(text)
        start += len(text)


__all__ = [
    "ABLATIONS",
    "BASE_MIXTURE",
    "COPY_MIXTURE",
    "FEW_SHOT_MIXTURE",
    "HYBRID_MIXTURE",
    "MIXTURES",
    "InstructionSet",
    "Mixture",
    "ablate",
    "crystal_text",
    "draw_condition",
]
