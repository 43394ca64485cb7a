"""Flows described by YAML files, and jobs on their workers."""

from __future__ import annotations

from crystalicl_jobflow.submission.build import DescribedFlow, load_flow_file
from crystalicl_jobflow.submission.submit import (
    assign_described,
    evaluation_of,
    job_rows,
    run_here,
    submit_fireworks,
    submit_jobflow_remote,
)
from crystalicl_jobflow.submission.workers import (
    assign_workers,
    check_workers,
    worker_of,
    workers_of,
)
from crystalicl_jobflow.submission.yaml_text import FlowFileError

__all__ = [
    "DescribedFlow",
    "FlowFileError",
    "assign_described",
    "assign_workers",
    "check_workers",
    "evaluation_of",
    "job_rows",
    "load_flow_file",
    "run_here",
    "submit_fireworks",
    "submit_jobflow_remote",
    "worker_of",
    "workers_of",
]
