"""What a page shows of crystals: each a card, with a place where it turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from pymatgen.core import Structure

from crystalicl_jobflow.candidates.metadata_fields import as_structure
from crystalicl_jobflow.candidates.shown import SHOWN_DIGITS, outcome
from crystalicl_jobflow.notebook import GeneratedCrystal
from crystalicl_jobflow.report.crystal_view import stage_html
from crystalicl_jobflow.report.picture import gradients_svg
from crystalicl_jobflow.report.scene import Scene, crystal_scene, viewer_data
from crystalicl_jobflow.report.wording import formula_html, number, pretty_symbol
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.utils.messages import one_line, show_controls
from crystalicl_jobflow.web.limits import Limits

MAX_TEXT = 4_000
"""Characters shown of a text; the JSON lines hold all."""

_FACTS = (
    ("energy_above_hull", "above the hull (eV/atom)"),
    ("formation_energy_per_atom", "formation energy (eV/atom)"),
    ("energy_method", "energies by"),
    ("band_gap", "band gap (eV)"),
    ("density", "density (g/cm³)"),
    ("nsites_primitive", "atoms in the primitive cell"),
)


@dataclass
class Card:
    """One crystal of a page.

    Parameters
    ----------
    formula
        With lowered amounts; escaped.
    group
        Symbol and number of its space group.
    verdict, good
        What became of it, and whether that is what was wanted.
    facts
        Names and values.
    text, text_format
        What the model wrote.
    cif
        Where its CIF is; None for no crystal.
    more
        Where there is more about it.
    stage
        Where it turns; None where it cannot be drawn.
    remark
        Why it cannot be drawn.
    """

    formula: Markup
    group: str = ""
    verdict: str = ""
    good: bool = False
    facts: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    text_format: str = ""
    cif: str | None = None
    more: str | None = None
    stage: Markup | None = None
    remark: str = ""


@dataclass
class Gallery:
    """The crystals of one page, and what the viewer's script needs.

    Parameters
    ----------
    limits
        Most atoms in a cell that is drawn.
    """

    limits: Limits
    cards: list[Card] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        """What the viewer's script reads."""
        return viewer_data(self.scenes)

    @property
    def gradients(self) -> Markup:
        """The colours of the still pictures."""
        return gradients_svg(symbol for scene in self.scenes for symbol in scene.elements)

    def draw(self, card: Card, structure: Structure, title: str) -> None:
        """Give a card its place where the crystal turns, and the facts of its cell."""
        if len(structure) > self.limits.drawn_atoms:
            card.remark = f"Not drawn: its cell has {len(structure)} atoms."
            return
        scene = crystal_scene(structure)
        card.stage = stage_html(scene, len(self.scenes), title=title)
        self.scenes.append(scene)
        lengths, angles = structure.lattice.abc, structure.lattice.angles
        card.facts += [
            ("a, b, c (Å)", ", ".join(f"{value:.2f}" for value in lengths)),
            ("α, β, γ (°)", ", ".join(f"{value:.1f}" for value in angles)),
        ]


def generated_gallery(crystals: Sequence[GeneratedCrystal], place: str, limits: Limits) -> Gallery:
    """Return the cards of an answer.

    Parameters
    ----------
    crystals
        The best first; those beyond the limit are left out.
    place
        Address of the run.
    limits
        How many, and how large.
    """
    gallery = Gallery(limits)
    for count, item in enumerate(crystals[: limits.shown], start=1):
        candidate = item.candidate
        card = Card(
            formula_html(item.formula),
            _group(candidate.space_group, candidate.space_group_symbol),
            item.outcome if item.valid else f"not valid: {item.outcome}",
            good=item.valid and candidate.joint_success is not False,
            text=candidate.text[:MAX_TEXT],
            text_format=candidate.text_format,
            cif=f"{place}/{count}.cif",
        )
        if item.valid and candidate.joint_success is False:
            card.verdict = "valid, not as asked for"
        card.facts = [
            ("drawn", f"{item.times_drawn} ×"),
            ("density (g/cm³)", f"{item.structure.density:.2f}"),
        ]
        distance = candidate.checks.min_distance
        if distance is not None:
            card.facts.append(("shortest contact (Å)", f"{distance:.2f}"))
        gallery.draw(card, item.structure, item.formula)
        gallery.cards.append(card)
    return gallery


def stored_gallery(documents: Sequence[Mapping[str, Any]], limits: Limits) -> Gallery:
    """Return the cards of stored candidates; a record that cannot be read costs itself only.

    Parameters
    ----------
    documents
        As a store has them: nothing in them is trusted.
    limits
        How large.
    """
    gallery = Gallery(limits)
    for document in documents:
        name = str(document.get("candidate_id", ""))
        try:
            card = _stored_card(document, gallery)
        except Exception as error:  # a store may hold anything
            card = Card(
                Markup("{}").format(f"candidate {name[:SHOWN_DIGITS]}"),
                remark=f"This record cannot be shown: {one_line(error)}",
            )
        card.more = f"/store/{quote(name, safe='')}"
        gallery.cards.append(card)
    return gallery


def _stored_card(document: Mapping[str, Any], gallery: Gallery) -> Card:
    symmetry = document.get("symmetry") or {}
    formula = str(document.get("formula_pretty") or "no crystal")[:200]
    valid = document.get("valid") is True
    checked = document.get("stage") != "generated"
    reason = document.get("failure_reason")
    card = Card(
        formula_html(formula),
        _group(symmetry.get("number"), symmetry.get("symbol")),
        outcome(
            valid=valid,
            reason=None if reason is None else str(reason),
            as_asked=document.get("joint_success"),
            stable=document.get("is_stable"),
        )
        if checked
        else "not checked",
        good=valid and document.get("joint_success") is not False,
        text=str(document.get("text") or "")[:MAX_TEXT],
        text_format=str(document.get("text_format") or ""),
    )
    card.facts = [("asked", _label(document))]
    for name, title in _FACTS:
        value = document.get(name)
        if value is not None:
            card.facts.append((title, number(value)[:100]))
    if document.get("is_novel") is not None:
        card.facts.append(("known crystal", "no" if document["is_novel"] else "yes"))
    runs = document.get("run_ids")
    if isinstance(runs, list) and runs:
        card.facts.append(("runs", ", ".join(str(run)[:60] for run in runs[:3])))
    if document.get("structure") is not None:
        name = quote(str(document.get("candidate_id", "")), safe="")
        try:
            gallery.draw(card, as_structure(document["structure"]), formula)
            card.cif = f"/store/{name}.cif"
        except Exception as error:  # the record's own fields are shown all the same
            card.remark = f"Its crystal cannot be read: {one_line(error)}"
    return card


def _group(group: Any, symbol: Any) -> str:
    if group is None:
        return ""
    return f"{pretty_symbol(str(symbol or ''))} ({group})".strip()


def asked_html(condition: Condition) -> Markup:
    """Return a condition's label with the amounts of its formula lowered; escaped."""
    label, formula = show_controls(condition.label()), condition.formula or ""
    if not formula or not label.startswith(formula):
        return Markup("{}").format(label)
    return formula_html(formula) + label.removeprefix(formula)


def _label(document: Mapping[str, Any]) -> str:
    given = document.get("condition")
    if not isinstance(given, Mapping):
        return "not told"
    known = {k: v for k, v in given.items() if v is not None and not str(k).startswith("@")}
    try:
        return asked_html(Condition.parse(known))
    except ValueError:
        return "cannot be read"
