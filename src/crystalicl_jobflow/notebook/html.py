"""What a notebook cell or a terminal shows of crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.report import build_crystal_view
from crystalicl_jobflow.report.wording import formula_html
from crystalicl_jobflow.utils.messages import show_controls

if TYPE_CHECKING:
    from crystalicl_jobflow.notebook.crystals import Crystals

MOST_SHOWN = 12
"""Crystals in a table; the rest are counted."""

HEADINGS = {
    "formula": "formula",
    "group": "space group",
    "sites": "sites",
    "density": "g/cm³",
    "shortest_contact": "shortest Å",
    "times_drawn": "drawn",
    "outcome": "outcome",
    "energy_per_atom": "eV/atom",
    "relaxed": "relaxed",
}
"""Column → its heading."""

HEIGHT = 470
"""Pixels of a crystal's view in a cell."""


class View:
    """One crystal to look at.

    Parameters
    ----------
    structure
        The crystal.
    title
        The crystal in words.
    """

    def __init__(self, structure: Structure, title: str) -> None:
        self.structure, self.title = structure, title

    def __repr__(self) -> str:
        return f"{self.title}\n{self.structure}"

    def _repr_html_(self) -> str:
        page = build_crystal_view(self.structure, title=self.title)
        return (
            f'<iframe srcdoc="{escape(page)}" title="{escape(self.title)}" sandbox="allow-scripts"'
            f' style="width:100%;max-width:380px;height:{HEIGHT}px;border:0"></iframe>'
        )


def summary(crystals: Crystals) -> str:
    """Return in one sentence what was drawn.

    Parameters
    ----------
    crystals
        The crystals.
    """
    valid = sum(item.valid for item in crystals)
    draws = len(crystals.candidates)
    words = f"{len(crystals)} different crystal{'' if len(crystals) == 1 else 's'}, {valid} valid"
    if draws:
        words += f", of {draws} draw{'' if draws == 1 else 's'}"
    lost = ", ".join(f"{number} × {reason}" for reason, number in crystals.failures.items())
    return f"{words}; no crystal: {lost}" if lost else words


def _rows(crystals: Crystals) -> tuple[list[str], list[Mapping[str, Any]]]:
    rows = [item.row() for item in crystals[:MOST_SHOWN]]
    names = [name for name in HEADINGS if any(name in row for row in rows)]
    return names, rows


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if name == "energy_per_atom" else f"{value:.2f}"
    return show_controls(str(value))


def text_table(crystals: Crystals) -> str:
    """Return the table as plain text.

    Parameters
    ----------
    crystals
        The crystals.
    """
    names, rows = _rows(crystals)
    lines = [[HEADINGS[name] for name in names]]
    lines += [[_cell(name, row.get(name)) for name in names] for row in rows]
    return "\n".join([summary(crystals), *_columns(lines), *_more(crystals)])


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    if len(lines) < 2:
        return []
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def html_table(crystals: Crystals) -> str:
    """Return the table as HTML; everything in it is escaped.

    Parameters
    ----------
    crystals
        The crystals.
    """
    names, rows = _rows(crystals)
    head = "".join(f"<th>{escape(HEADINGS[name])}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html_cell(name, row)}</td>" for name in names) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    more = "".join(f"<p>{escape(line)}</p>" for line in _more(crystals))
    return f"<div><p>{escape(summary(crystals))}</p>{table}{more}</div>"


def _html_cell(name: str, row: Mapping[str, Any]) -> str:
    return formula_html(row[name]) if name == "formula" else escape(_cell(name, row.get(name)))


def _more(crystals: Crystals) -> list[str]:
    left = len(crystals) - MOST_SHOWN
    return [f"and {left} more"] if left > 0 else []
