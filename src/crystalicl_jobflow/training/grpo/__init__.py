"""Group-relative policy optimisation (GRPO): a model learns from rewards of its own texts.

For each prompt the model writes a group of texts; each is rewarded, and those that are better than
their group become more probable (Shao et al., DeepSeekMath, 2024; CrysText-RL for crystals). The
loop is our own: texts must be written under the constraint and with the random streams of the
generation, which trainers of other packages do not offer.
"""

from __future__ import annotations

from crystalicl_jobflow.training.grpo.rewards import Attempt, RewardFunction, find_reward
from crystalicl_jobflow.training.grpo.settings import GRPOSettings
from crystalicl_jobflow.training.grpo.tuning import GRPOResult, tune_with_rewards

__all__ = [
    "Attempt",
    "GRPOResult",
    "GRPOSettings",
    "RewardFunction",
    "find_reward",
    "tune_with_rewards",
]
