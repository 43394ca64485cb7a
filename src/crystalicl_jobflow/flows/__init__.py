"""Flow Makers that compose the steps."""

from __future__ import annotations

from crystalicl_jobflow.flows.benchmark.flow import BenchmarkFlowMaker
from crystalicl_jobflow.flows.discovery import DiscoveryFlowMaker
from crystalicl_jobflow.flows.generate import CrystalGenerationFlowMaker
from crystalicl_jobflow.flows.train import TrainFlowMaker
from crystalicl_jobflow.flows.workers import assign_workers, check_workers, worker_of, workers_of

__all__ = [
    "BenchmarkFlowMaker",
    "CrystalGenerationFlowMaker",
    "DiscoveryFlowMaker",
    "TrainFlowMaker",
    "assign_workers",
    "check_workers",
    "worker_of",
    "workers_of",
]
