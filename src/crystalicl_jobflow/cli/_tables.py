"""Tables whose cells are shown as they are: no markup, no control characters."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from crystalicl_jobflow.utils.messages import show_controls


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
        plain = (Text(show_controls(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain, **options)
