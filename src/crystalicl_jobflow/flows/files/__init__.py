"""Flows described by YAML files, for those who do not want to write Python."""

from __future__ import annotations

from crystalicl_jobflow.flows.files.building import DescribedFlow, load_flow_file
from crystalicl_jobflow.flows.files.submitting import (
    assign_described,
    job_rows,
    run_here,
    submit_fireworks,
    submit_jobflow_remote,
)
from crystalicl_jobflow.flows.files.yaml_text import FlowFileError

__all__ = [
    "DescribedFlow",
    "FlowFileError",
    "assign_described",
    "job_rows",
    "load_flow_file",
    "run_here",
    "submit_fireworks",
    "submit_jobflow_remote",
]
