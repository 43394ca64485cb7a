"""What the pages show and ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.limits import Limits
from crystalicl_jobflow.web.work import Work


@dataclass(frozen=True)
class Place:
    """What the pages show and ask.

    Parameters
    ----------
    work
        The queue with the model.
    model
        The model in words.
    database
        The store of past runs; None for none.
    limits
        Sizes and times.
    """

    work: Work
    model: str
    database: Database | None = None
    limits: Limits = field(default_factory=Limits)
