"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a bar within a cell stays one.

    Parameters
    ----------
    heads
        Headings.
    rows
        As many cells each.
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(markdown_row(cells) for cells in lines) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
