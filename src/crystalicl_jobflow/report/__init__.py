"""The report of a run: one HTML page that needs no network and no other file."""

from __future__ import annotations

from crystalicl_jobflow.evaluation.intervals import CONFIDENCE, wilson_interval
from crystalicl_jobflow.report.crystal_view import build_crystal_view
from crystalicl_jobflow.report.page import MOST_TOP, REPORT_FILE, TOP, build_page, write_report
from crystalicl_jobflow.report.reference import Reference, read_reference
from crystalicl_jobflow.report.run import Run, build_run, read_run

__all__ = [
    "CONFIDENCE",
    "MOST_TOP",
    "REPORT_FILE",
    "TOP",
    "Reference",
    "Run",
    "build_crystal_view",
    "build_page",
    "build_run",
    "read_reference",
    "read_run",
    "wilson_interval",
    "write_report",
]
