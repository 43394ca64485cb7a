"""Names, numbers and symbols as the page shows them."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from crystalicl_jobflow.utils.messages import show_controls

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def pretty_symbol(symbol: str) -> str:
    """Return a Hermann–Mauguin symbol as printed: screw axes lowered, bars above digits."""
    lowered = re.sub(r"_(\d)", lambda found: found[1].translate(_SUBSCRIPTS), symbol)
    return re.sub(r"-(\d)", "\\1\u0305", lowered)


def words(name: str) -> str:
    """Return a field's name as words."""
    return name.replace("_", " ").replace(":", ": ")


def number(value: Any) -> str:
    """Return a number with few digits, or anything else as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.4g}"
    return str(value)


def formula_html(formula: str | None) -> Markup:
    """Return a formula with its amounts lowered; everything else escaped and written out."""
    shown = str(escape(show_controls(formula or "")))
    return Markup(re.sub(r"(?<=[A-Za-z)\]])(\d+\.?\d*)", r"<sub>\1</sub>", shown))
