"""Rewards of the texts of a search, as CrystaLLM gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NO_CRYSTAL = -1.0
"""Reward of a text that is no crystal (CrystaLLM's, of any text that is not valid)."""

NOT_VALID = -0.5
"""Reward of a crystal that fails a check or the condition: between none and a valid one.
CrystaLLM grades these, too, by the share of their bonds that are too long or too short."""


@dataclass(frozen=True)
class Verdict:
    """What is known of one text.

    Parameters
    ----------
    is_crystal
        Whether it can be read.
    is_valid
        Whether it passes all checks and meets the condition.
    cost
        What is to be low, for valid ones: the energy per atom (eV), or minus the logarithm of
        the text's probability. None for a crystal without an energy, which counts as not valid.
    energy_model
        What gave the energy, with its version; None where the cost is not an energy.
    """

    is_crystal: bool
    is_valid: bool
    cost: float | None = None
    energy_model: str | None = None


def rewards(verdicts: Sequence[Verdict], scale: float) -> list[float]:
    """Return the rewards of all texts of a search so far.

    A valid text has 1 / (1 + exp(λ (E - μ) / σ)) with its cost E, the mean μ and the standard
    deviation σ of all costs so far: 0.5 at the mean, more below it. Source: CrystaLLM
    (Antunes, Butler and Grau-Crespo, Nature Communications 2024, methods and the program's
    ``_mcts.py``), λ = 2. There a text keeps the reward that it had when it was written; here
    all rewards follow the running mean, so that those of the first texts are no chance.

    Parameters
    ----------
    verdicts
        One per text.
    scale
        λ: how much the reward changes around the mean.

    Returns
    -------
    list of float
        One per text, from -1 to 1.
    """
    costs = [item.cost for item in verdicts if item.is_valid and item.cost is not None]
    mean = math.fsum(costs) / len(costs) if costs else 0.0
    spread = math.sqrt(math.fsum((cost - mean) ** 2 for cost in costs) / len(costs)) if costs else 0
    return [_reward(item, mean, spread, scale) for item in verdicts]


def _reward(verdict: Verdict, mean: float, spread: float, scale: float) -> float:
    if not verdict.is_crystal:
        return NO_CRYSTAL
    if not verdict.is_valid or verdict.cost is None:
        return NOT_VALID
    if spread < 1e-9:
        return 0.5
    exponent = scale * (verdict.cost - mean) / spread
    return 1 / (1 + math.exp(min(exponent, 700.0)))
