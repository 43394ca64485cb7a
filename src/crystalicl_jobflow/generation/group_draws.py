"""Space groups drawn for the texts of a condition that asks for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crystalicl_jobflow.generation.tasks import GenerationTask
from crystalicl_jobflow.schemas import Completion, Retrieval
from crystalicl_jobflow.schemas.generation import DrawnGroup
from crystalicl_jobflow.schemas.retrieval import GroupChoice

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions


@dataclass(frozen=True)
class Part:
    """Samples of one condition that are written for the same space group.

    Parameters
    ----------
    retrieval
        What their prompt states and shows, the group included.
    task
        Their random streams.
    places
        Their places among the samples of the condition's task, ascending.
    choice
        The group that was drawn; None where the condition decides.
    """

    retrieval: Retrieval
    task: GenerationTask
    places: tuple[int, ...]
    choice: GroupChoice | None = None

    def mark(self, completion: Completion, prompt: str) -> Completion:
        """Return a completion that says which group it was written for, and how."""
        if self.choice is None:
            return completion
        shown = self.retrieval.demonstrations
        drawn = DrawnGroup(
            space_group=self.choice.space_group,
            share=self.choice.share,
            prompt=prompt,
            strategy=self.retrieval.strategy if shown else None,
            demonstration_ids=[item.demonstration_id for item in shown],
            relaxed=list(self.retrieval.relaxed),
        )
        return completion.model_copy(update={"drawn": drawn})


def group_sequence(shares: Sequence[float], count: int) -> list[int]:
    """Return which of several groups each sample is written for.

    Parameters
    ----------
    shares
        Probabilities, largest first; their sum need not be 1.
    count
        Samples.

    Returns
    -------
    list of int
        Place of each sample's group. Each is the one that is most behind its share of the samples
        so far, so the first is the most probable group, any beginning of the sequence is in
        proportion, and more samples do not change those before.
    """
    wanted = np.asarray(shares, dtype=float) / sum(shares)
    given = np.zeros(len(wanted))
    sequence = []
    for number in range(1, count + 1):
        place = int(np.argmax(wanted * number - given))
        given[place] += 1
        sequence.append(place)
    return sequence


def divide_task(
    retrieval: Retrieval,
    task: GenerationTask,
    constrain: bool | ConstraintOptions = True,
    text_format: str = "sgs",
) -> list[Part]:
    """Divide the samples of a condition among the space groups of its retrieval.

    Parameters
    ----------
    retrieval
        The condition and, where it asks for no group, the groups to draw from.
    task
        The samples.
    constrain, text_format
        As `Writing` has them: groups that the constraint makes impossible are left out.

    Returns
    -------
    list of Part
        One for each group that is drawn; one in all where there is nothing to draw from.
    """
    choices = _possible(retrieval, constrain, text_format)
    everything = tuple(range(task.num_samples))
    if not choices:
        return [Part(retrieval, task, everything)]
    first = task.first_sample
    sequence = group_sequence([item.share for item in choices], first + task.num_samples)
    parts = []
    for number, choice in enumerate(choices):
        before = sequence[:first].count(number)
        places = tuple(place for place in everything if sequence[first + place] == number)
        if places:
            own = {
                "key": f"{task.key}:group {choice.space_group}",
                "first_sample": before,
                "num_samples": len(places),
            }
            parts.append(
                Part(retrieval.in_group(choice), task.model_copy(update=own), places, choice)
            )
    return parts


def _possible(
    retrieval: Retrieval, constrain: bool | ConstraintOptions, text_format: str
) -> list[GroupChoice]:
    """Return the groups to draw from, without those in which no crystal of the formula can be."""
    if constrain is False or not retrieval.groups:
        return retrieval.groups
    from crystalicl_jobflow.generation.constraints import ImpossibleConditionError
    from crystalicl_jobflow.generation.constraints.constraint import (
        CONSTRAINED_FORMATS,
        check_feasible,
    )

    if text_format.lower() not in CONSTRAINED_FORMATS:
        return retrieval.groups
    numbers = tuple(sorted(item.space_group for item in retrieval.groups))
    asked = retrieval.condition.model_copy(update={"space_group": numbers})
    try:
        possible = check_feasible(asked, None if constrain is True else constrain)
    except ImpossibleConditionError:
        return []
    return [item for item in retrieval.groups if item.space_group in possible]
