"""Flow Makers that compose the steps."""

from __future__ import annotations

from crystalicl_jobflow.flows.generate import CrystalGenerationFlowMaker

__all__ = ["CrystalGenerationFlowMaker"]
