"""Prompts for known crystals, whose texts can be rewarded."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.generation.base import GenerationRequest
from crystalicl_jobflow.generation.generate import build_constraints
from crystalicl_jobflow.generation.prompting import retrieval_prompt
from crystalicl_jobflow.retrieval.choosing import retrieve
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training.data.crystals import TrainingCrystal
from crystalicl_jobflow.training.grpo.policy import DrawnText
from crystalicl_jobflow.training.grpo.rewards import Attempt
from crystalicl_jobflow.training.grpo.settings import GRPOSettings


class Prompts:
    """Prompts for known crystals, by formula and space group.

    Parameters
    ----------
    crystals
        Crystals that are asked for.
    pool
        Where demonstrations are taken from; the compound itself is never shown.
    settings
        Shots, strategy and constraint.
    text_format, template
        As in `crystalicl_jobflow.prompts.crystal_prompt`.
    """

    def __init__(
        self,
        crystals: Sequence[TrainingCrystal],
        pool: DemonstrationIndex,
        settings: GRPOSettings,
        *,
        text_format: str = "sgs",
        template: str = "crystalicl",
    ) -> None:
        self.crystals = list(crystals)
        self.text_format = text_format
        self._pool, self._settings, self._template = pool, settings, template
        self._compounds: dict[str, list[str]] = {}
        columns = pool.columns
        for row in range(len(pool)):
            formula = columns.formula.vocabulary[int(columns.formula.codes[row])]
            self._compounds.setdefault(formula, []).append(columns.ids[row])

    def condition(self, place: int) -> Condition:
        """Return the condition for a crystal."""
        known = self.crystals[place].demonstration
        return Condition(formula=known.formula, space_group=known.space_group)

    def request(self, place: int, samples: int, *, seed: int) -> GenerationRequest:
        """Return the prompt for a crystal.

        Parameters
        ----------
        place
            Of the crystal.
        samples
            Texts to write.
        seed
            Of the choice of demonstrations.
        """
        condition = self.condition(place)
        retrieval = retrieve(
            self._pool,
            condition,
            strategy=self._settings.strategy,  # type: ignore[arg-type]  # checked in there
            shots=self._settings.shots,
            seed=seed,
            exclude_ids=self._compounds.get(condition.formula or "", []),
        )
        (constraint,) = build_constraints(
            [condition],
            self._settings.constrained,
            text_format=self.text_format,
            template=self._template,
        )
        return GenerationRequest(
            prompt=retrieval_prompt(retrieval, self.text_format, self._template),
            num_samples=samples,
            key=f"{seed}:{self.crystals[place].demonstration.demonstration_id}",
            constraint=constraint,
            formula=condition.formula,
            text_format=self.text_format,
            template=self._template,
        )

    def attempt(self, place: int, text: DrawnText) -> Attempt:
        """Return a text for a crystal as its reward needs it."""
        target = SGS.build(self.crystals[place].crystal)
        condition = self.condition(place)
        return Attempt(text.text, self.text_format, text.finished, condition, target)
