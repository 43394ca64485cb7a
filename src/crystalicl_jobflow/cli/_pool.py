"""The pool that the options name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystalicl_jobflow.cli._common import stages

if TYPE_CHECKING:
    from crystalicl_jobflow.retrieval import DemonstrationIndex


def open_pool(spec: str | None, strategy: str = "C") -> DemonstrationIndex:
    """Open a pool as `crystalicl_jobflow.retrieval.open_pool` does, and show what it builds."""
    from crystalicl_jobflow import retrieval

    with stages() as report:
        return retrieval.open_pool(spec, strategy, progress=report)
