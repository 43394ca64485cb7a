"""Flow Makers that compose the steps."""

from __future__ import annotations

from crystalicl_jobflow.flows.benchmark import BenchmarkFlowMaker
from crystalicl_jobflow.flows.discovery import DiscoveryFlowMaker
from crystalicl_jobflow.flows.generate import CrystalGenerationFlowMaker
from crystalicl_jobflow.flows.train import TrainFlowMaker

__all__ = [
    "BenchmarkFlowMaker",
    "CrystalGenerationFlowMaker",
    "DiscoveryFlowMaker",
    "TrainFlowMaker",
]
