"""Measured figures in a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

SHOWN_RATES = (
    "parsed",
    "formula",
    "space_group",
    "joint",
    "valid",
    "structure_valid_radii",
    "composition_valid",
    "match",
)
"""Benchmark rates shown in a card, in this order.

Not ``structure_valid``: atoms 0.5 Å apart are no crystal that anybody believes.
"""

SHOWN_BEGINNINGS = ("match_at_",)
"""Prefixes of the rates of structure prediction that are shown as well."""

SHOWN_NUMBERS = {
    "rms": ("metrics", "rms"),
    "crystals/s": ("speed", "crystals_per_second"),
    "tokens/s": ("speed", "tokens_per_second"),
}
"""Numbers at the end, and where a ``metrics.json`` holds them; of repeats, the mean."""


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a document.

    Raises
    ------
    ValueError
        If there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a document")
    return content


def measurement(path: Path) -> dict[str, Any]:
    """Return a measurement, or the sum of those in a folder, with deviations."""
    if not path.is_dir():
        return read_document(path)
    found = [read_document(file) for file in sorted(path.rglob("metrics.json"))]
    if not found:
        raise ValueError(f"{path} holds no metrics.json")
    rates: dict[str, Any] = {}
    for name in found[0]["rates"]:
        each = [item["rates"][name] for item in found if name in item["rates"]]
        count, total = (sum(rate[part] for rate in each) for part in ("count", "of"))
        known = [rate["rate"] for rate in each if rate["rate"] is not None]
        rates[name] = {"rate": count / total if total else None, "count": count, "of": total}
        if len(known) > 1:
            rates[name]["deviation"] = stdev(known)
    merged: dict[str, Any] = {"rates": rates}
    for part, name in SHOWN_NUMBERS.values():
        values = [item[part][name] for item in found if name in item.get(part, {})]
        if values and None not in values:
            merged.setdefault(part, {})[name] = mean(values)
    return merged


def figure_table(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return measurements as a Markdown table, one row for each label."""
    measured: list[Mapping[str, Any]] = [item["rates"] for item in documents.values()]
    there = dict.fromkeys(name for rates in measured for name in rates)
    names = [name for name in SHOWN_RATES if name in there]
    # with one sample per condition, these equal the rate of all candidates
    names += [
        name
        for name in there
        if name.startswith(SHOWN_BEGINNINGS)
        and any(rates.get(name) != rates.get("match") for rates in measured)
    ]
    numbers = {
        label: place
        for label, place in SHOWN_NUMBERS.items()
        if any(place[1] in item.get(place[0], {}) for item in documents.values())
    }
    head = [*names, *numbers]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for label, document in documents.items():
        cells = [_cell(document["rates"].get(name)) for name in names]
        for part, name in numbers.values():
            value = document.get(part, {}).get(name)
            cells.append("-" if value is None else _short(value))
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cell(rate: Mapping[str, Any] | None) -> str:
    if rate is None or rate["rate"] is None:
        return "-"
    spread = f" ± {rate['deviation']:.3f}" if "deviation" in rate else ""
    return f"{rate['rate']:.3f}{spread} ({rate['count']}/{rate['of']})"
