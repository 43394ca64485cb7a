"""Rewards of texts, by name: CrysText's, a match alone, an energy, or a user's function."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.comparison.matching import match_structures
from crystalicl_jobflow.crystal.formula import crystal_composition, whole_composition
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.parallel import parallel_map
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.reward import crystext_reward, group_advantages

logger = logging.getLogger(__name__)

NO_CRYSTAL = 1.0
"""How much less than the worst of its group a text is worth that has no reward."""


@dataclass(frozen=True)
class Attempt:
    """A text to be rewarded.

    Parameters
    ----------
    text
        What the model wrote.
    text_format
        Its format.
    finished
        Whether the model ended it.
    condition
        What was asked for.
    target
        The known crystal of which the condition was taken.
    """

    text: str
    text_format: str
    finished: bool
    condition: Condition
    target: Structure

    def structure(self) -> Structure | None:
        """Return the crystal of the text; None if it has none."""
        return read_text(self.text, self.text_format, finished=self.finished)[0]


RewardFunction = Callable[[Attempt], float | None]
"""Reward of a text; None for one that cannot be rewarded: it gets less than any of its group."""


def crystext(attempt: Attempt) -> float:
    """Return CrysText-RL's staged reward, see `validation.reward.crystext_reward`."""
    return crystext_reward(
        attempt.text,
        formula=attempt.condition.formula,
        target=attempt.target,
        text_format=attempt.text_format,
        finished=attempt.finished,
    ).total


def match(attempt: Attempt) -> float:
    """Return 1 for a text whose crystal matches the known one, otherwise 0."""
    structure = attempt.structure()
    return float(structure is not None and match_structures(structure, attempt.target).matched)


REWARDS: dict[str, RewardFunction] = {"crystext": crystext, "match": match}
"""Rewards by name."""


@dataclass(frozen=True)
class EnergyReward:
    """Minus the energy per atom (eV) under a potential, of the crystal as it is written.

    None for a text without a crystal, with another formula, or without an energy.

    Parameters
    ----------
    potential
        Its name, as in `crystalicl_jobflow.energies.loading.load_energy_model`.
    """

    potential: str

    def __call__(self, attempt: Attempt) -> float | None:
        """Return the reward of a text."""
        structure, formula = attempt.structure(), attempt.condition.formula
        if structure is None:
            return None
        if formula is not None and crystal_composition(structure) != whole_composition(
            Composition(formula)
        ):
            return None
        (energy,) = _potential(self.potential).energies([structure])
        return None if energy.energy_per_atom is None else -energy.energy_per_atom


@lru_cache(maxsize=1)
def _potential(name: str) -> EnergyModel:
    """Load a potential, once in each process."""
    return load_energy_model(name)


def find_reward(name: str) -> RewardFunction:
    """Return a reward by its name.

    Parameters
    ----------
    name
        'crystext', 'match', 'energy:POTENTIAL' (such as ``energy:chgnet``), or a function that
        can be imported, as ``module:function``: it gets an `Attempt` and returns a number, or
        None for a text that it cannot reward.

    Raises
    ------
    ValueError
        If there is no such reward or potential, or the function cannot be imported; one line.
    ImportError
        If the potential needs a package that is missing.
    """
    if name in REWARDS:
        return REWARDS[name]
    module, colon, function = name.partition(":")
    if not colon:
        known = ", ".join([*REWARDS, "energy:POTENTIAL", "MODULE:FUNCTION"])
        raise ValueError(f"reward {name!r} is not one of {known}")
    if module == "energy":
        _potential(function)  # an unknown one is reported before any work
        return EnergyReward(function)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"reward {name!r} cannot be imported: {first_line(error)}") from error
    if not callable(found):
        raise ValueError(f"reward {name!r} is not a function")
    return found  # type: ignore[no-any-return]  # a user's function


class Rewarder:
    """Rewards texts in worker processes; a text that was rewarded before costs nothing.

    Parameters
    ----------
    reward
        The reward.
    workers
        Processes, this one included.
    """

    def __init__(self, reward: RewardFunction, *, workers: int = 1) -> None:
        self._reward = reward
        self._workers = workers
        self._known: dict[tuple[str, str], float | None] = {}

    def rewards(self, attempts: Sequence[Attempt]) -> list[float | None]:
        """Return the reward of each text; None where the function failed or gave no number."""
        keys = [(attempt.condition.model_dump_json(), attempt.text) for attempt in attempts]
        new = dict(zip(keys, attempts, strict=True))
        for key in self._known.keys() & new.keys():
            del new[key]
        found = parallel_map(
            partial(_reward, self._reward),
            new.values(),
            processes=self._workers,
            batch_size=4,
            on_death=_no_reward,
        )
        self._known.update(zip(new, found, strict=True))
        return [self._known[key] for key in keys]


def _no_reward(attempt: Attempt) -> None:
    logger.warning("%s: the process that rewarded a text ended", attempt.condition.formula)


def _reward(function: RewardFunction, attempt: Attempt) -> float | None:
    try:
        reward = function(attempt)
    except Exception as error:  # a text that a user's function fails on must not end a training
        logger.warning("a text was not rewarded: %s: %s", type(error).__name__, first_line(error))
        return None
    return float(reward) if reward is not None and math.isfinite(reward) else None


def advantages(rewards: Sequence[float | None]) -> list[float]:
    """Return the rewards of one group, normalised: (reward - mean) / standard deviation.

    Parameters
    ----------
    rewards
        One per text; None is worth `NO_CRYSTAL` less than the least of the others.
    """
    known = [reward for reward in rewards if reward is not None]
    least = min(known, default=0.0) - NO_CRYSTAL
    return group_advantages([least if reward is None else reward for reward in rewards])
