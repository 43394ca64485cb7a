"""CrysText's validity and the reward of CrysText-RL, part by part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.comparison.matching import MatchTolerances, match_structures
from crystalicl_jobflow.crystal.formula import crystal_composition, whole_composition
from crystalicl_jobflow.thresholds import (
    MIN_DISTANCE,
    MIN_VOLUME,
    REWARD_MATCH,
    REWARD_PARTS,
    REWARD_PENALTY,
    SYMPREC,
)
from crystalicl_jobflow.validation.distances import min_distance
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.summary import find_space_group

MAX_REWARD: Final = sum(REWARD_PARTS.values()) + sum(worth for *_, worth in REWARD_MATCH.values())
"""What a sample earns that has everything right: 3."""


@dataclass(frozen=True)
class CrystextValidity:
    """CrysText's checks of one crystal.

    Parameters
    ----------
    distance_ok
        No two atoms are closer than 0.5 Å.
    volume_ok
        The cell has 0.1 Å³ or more.
    space_group
        Number of the group found; None where there is none.
    """

    distance_ok: bool
    volume_ok: bool
    space_group: int | None

    @property
    def valid(self) -> bool:
        """Whether all three are met."""
        return self.distance_ok and self.volume_ok and self.space_group is not None


@dataclass(frozen=True)
class Reward:
    """The reward of one sample.

    Parameters
    ----------
    parts
        ``parse``, ``valid``, ``formula``, ``match_loose``, ``match_medium``, ``match_tight``,
        ``penalty`` → what each earned, 0 where it earned nothing.
    """

    parts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return math.fsum(self.parts.values())


def crystext_validity(structure: Structure, *, symprec: float = SYMPREC) -> CrystextValidity:
    """Check a crystal as CrysText does: distances, volume, and whether a group is found.

    Parameters
    ----------
    structure
        The crystal.
    symprec
        Symmetry tolerance in Å.
    """
    try:
        near = min_distance(structure) < MIN_DISTANCE
    except ValueError:  # no atoms, or a cell without volume
        return CrystextValidity(False, abs(structure.volume) >= MIN_VOLUME, None)
    group, _, _ = find_space_group(structure, symprec=symprec)
    return CrystextValidity(not near, structure.volume >= MIN_VOLUME, group)


def crystext_reward(
    sample: str | Structure | None,
    *,
    formula: str | Composition | None = None,
    target: Structure | None = None,
    text_format: str = "cif",
    finished: bool = True,
    symprec: float = SYMPREC,
) -> Reward:
    """Return CrysText-RL's reward of one sample.

    0.5 for a text that is a crystal, 0.5 for a valid one (see :func:`crystext_validity`),
    0.5 for the condition's reduced formula, and, one on top of the other, 0.25, 0.25 and 1.0
    for matching the true crystal at loose, medium and tight tolerances; a penalty alone for
    a text that is not a crystal. Source: CrysText-RL, figure 2 and the project's definitions;
    the penalty's size is a choice of this package.

    Parameters
    ----------
    sample
        The text, or its crystal where it has been read; None for a text that is none.
    formula
        The condition's formula; that of the target by default.
    target
        The true crystal; without one no match is rewarded.
    text_format
        Format of a text.
    finished
        Whether the model ended the text by itself.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    Reward
        Never an error.
    """
    parts = dict.fromkeys((*REWARD_PARTS, *REWARD_MATCH, "penalty"), 0.0)
    if isinstance(sample, str):
        sample, _, _ = read_text(sample, text_format, finished=finished)
    if sample is None:
        return Reward({**parts, "penalty": REWARD_PENALTY})
    parts["parse"] = REWARD_PARTS["parse"]
    if crystext_validity(sample, symprec=symprec).valid:
        parts["valid"] = REWARD_PARTS["valid"]
    wanted = formula if formula is not None else target.composition if target is not None else None
    if wanted is not None and _same_formula(sample, Composition(wanted)):
        parts["formula"] = REWARD_PARTS["formula"]
    if target is not None:
        earned = False
        # a tight match is a match at wider tolerances, too: from the tight end, one suffices
        for name, (stol, ltol, angle_tol, worth) in reversed(REWARD_MATCH.items()):
            earned = (
                earned
                or match_structures(
                    sample, target, tolerances=MatchTolerances(stol, ltol, angle_tol)
                ).matched
            )
            parts[name] = worth if earned else 0.0
    return Reward(parts)


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """Return rewards normalised within the samples of one prompt, as GRPO does.

    (reward - mean) / standard deviation of the population; all 0 where all rewards are
    equal, since nothing can be learned from those.

    Parameters
    ----------
    rewards
        One per sample of the prompt.
    """
    if not rewards:
        return []
    mean = math.fsum(rewards) / len(rewards)
    spread = math.sqrt(math.fsum((reward - mean) ** 2 for reward in rewards) / len(rewards))
    if spread < 1e-9:
        return [0.0] * len(rewards)
    return [(reward - mean) / spread for reward in rewards]


def _same_formula(structure: Structure, wanted: Composition) -> bool:
    return crystal_composition(structure) == whole_composition(wanted)
