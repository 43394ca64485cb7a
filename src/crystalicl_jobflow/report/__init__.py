"""The report of a run: one HTML page that needs no network and no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystalicl_jobflow.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from crystalicl_jobflow.evaluation.intervals import CONFIDENCE, wilson_interval
    from crystalicl_jobflow.report.crystal_view import build_crystal_view
    from crystalicl_jobflow.report.page import MOST_TOP, REPORT_FILE, TOP, build_page, write_report
    from crystalicl_jobflow.report.reference import Reference, read_reference
    from crystalicl_jobflow.report.run import Run, build_run, read_run

_PLACES = {
    "CONFIDENCE": "evaluation.intervals",
    "MOST_TOP": "report.page",
    "REPORT_FILE": "report.page",
    "TOP": "report.page",
    "Reference": "report.reference",
    "Run": "report.run",
    "build_crystal_view": "report.crystal_view",
    "build_page": "report.page",
    "build_run": "report.run",
    "read_reference": "report.reference",
    "read_run": "report.run",
    "wilson_interval": "evaluation.intervals",
    "write_report": "report.page",
}
"""Public name to its module: a crystal in a notebook needs its view, not the whole page."""

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


__getattr__ = lazy_names(__name__, _PLACES)
