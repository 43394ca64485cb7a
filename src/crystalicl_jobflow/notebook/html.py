"""What a notebook cell or a terminal shows of crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.report.wording import formula_html
from crystalicl_jobflow.utils.messages import show_controls

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
    "parent": "parent",
    "change": "change",
    "new": "new",
    "log_prob": "log p (model)",
    "ions": "p (ions)",
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
        from crystalicl_jobflow.report import build_crystal_view

        page = build_crystal_view(self.structure, title=self.title)
        return (
            f'<iframe srcdoc="{escape(page)}" title="{escape(self.title)}" sandbox="allow-scripts"'
            f' style="width:100%;max-width:380px;height:{HEIGHT}px;border:0"></iframe>'
        )


def text_table(summary: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of crystals as plain text.

    Parameters
    ----------
    summary
        Sentence above it.
    rows
        One mapping per crystal, of the names in `HEADINGS`.
    """
    names, shown = _shown(rows)
    lines = [[HEADINGS[name] for name in names]]
    lines += [[_cell(name, row.get(name)) for name in names] for row in shown]
    return "\n".join([summary, *_columns(lines), *_more(rows)])


def html_table(summary: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table as HTML; everything in it is escaped.

    Parameters
    ----------
    summary, rows
        As in `text_table`.
    """
    names, shown = _shown(rows)
    head = "".join(f"<th>{escape(HEADINGS[name])}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html_cell(name, row)}</td>" for name in names) + "</tr>"
        for row in shown
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    more = "".join(f"<p>{escape(line)}</p>" for line in _more(rows))
    return f"<div><p>{escape(summary)}</p>{table}{more}</div>"


def _shown(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], Sequence[Mapping[str, Any]]]:
    shown = rows[:MOST_SHOWN]
    return [name for name in HEADINGS if any(name in row for row in shown)], shown


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    if len(lines) < 2:
        return []
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if name == "energy_per_atom" else f"{value:.2f}"
    return show_controls(str(value))


def _html_cell(name: str, row: Mapping[str, Any]) -> str:
    return formula_html(row[name]) if name == "formula" else escape(_cell(name, row.get(name)))


def _more(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    left = len(rows) - MOST_SHOWN
    return [f"and {left} more"] if left > 0 else []
