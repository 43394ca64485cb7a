"""What a notebook cell or a terminal shows of crystals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.report.wording import formula_html
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.utils.messages import counted, show_controls

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


def draws_sentence(found: int, valid: int, candidates: Sequence[Candidate]) -> str:
    """Return what was drawn, in one sentence.

    Parameters
    ----------
    found, valid
        Different crystals, and valid ones among them.
    candidates
        All draws; none where they are not known.
    """
    words = f"{counted(found, 'different crystal')}, {valid} valid"
    if not candidates:
        return words
    words += f", of {counted(len(candidates), 'draw')}"
    lost = [item.failure_reason for item in candidates if not item.valid]
    if not lost:
        return words
    ((reason, number),) = Counter(lost).most_common(1)
    name = "no reason given" if reason is None else reason.value.replace("_", " ")
    why = f": {name}" if number == len(lost) else f", most often {name} ({number})"
    return f"{words}; {counted(len(lost), 'draw')} not valid{why}"


def edit_cells(edit: Edit) -> dict[str, Any]:
    """Return what a table says of an edit."""
    told = {"parent": edit.parent_id, "change": edit.change}
    if edit.matches_parent is not None:
        told["new"] = "no, the parent" if edit.matches_parent else "yes"
    if edit.kind == "substitute":
        known = edit.substitution_probability
        told["ions"] = "unknown" if known is None else f"{known:.3g}"
    return told


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
