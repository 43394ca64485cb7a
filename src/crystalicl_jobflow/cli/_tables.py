"""Tables whose cells are shown as they are: no markup, no control characters."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from crystalicl_jobflow.utils.messages import show_controls

OUTCOME = "Outcome"
"""Heading of the column whose cells are coloured by what they say."""


class PlainTable(Table):
    """A table that stays readable at 80 columns, and shows every text as it is."""

    def __init__(self, title: str | None = None) -> None:
        super().__init__(
            title=None if title is None else Text(show_controls(title)),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row; texts are neither markup nor commands to the terminal."""
        plain = [Text(show_controls(cell)) if isinstance(cell, str) else cell for cell in cells]
        for column, cell in zip(self.columns, plain, strict=False):
            if column.header == OUTCOME and isinstance(cell, Text):
                cell.stylize(outcome_style(cell.plain))
        super().add_row(*plain, **options)


def outcome_style(words: str) -> str:
    """Return the colour of an outcome: green where all is well, yellow where it is not as asked.

    Parameters
    ----------
    words
        As `crystalicl_jobflow.candidates.shown.outcome` writes them.
    """
    if words == "not checked":
        return "dim"
    if words == "as asked" or words.startswith("valid"):
        return "yellow" if "differs" in words else "green"
    return "red"
