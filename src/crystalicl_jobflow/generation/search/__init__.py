"""Tree search: texts that are led to high rewards, by what was learned of earlier ones."""

from __future__ import annotations

from crystalicl_jobflow.generation.search.rewards import Verdict, rewards
from crystalicl_jobflow.generation.search.rollouts import RolloutWriter

__all__ = ["RolloutWriter", "Verdict", "rewards"]
