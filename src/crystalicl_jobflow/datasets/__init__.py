"""Known crystals, from any source."""

from __future__ import annotations

from crystalicl_jobflow.datasets.records import Record
from crystalicl_jobflow.datasets.sources import Source, open_source

__all__ = [
    "Record",
    "Source",
    "open_source",
]
