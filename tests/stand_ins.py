"""Stand-ins for what tutorials use and the continuous integration does not have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure


def _perovskite(a_site: str, b_site: str, length: float) -> Structure:
    return Structure(
        Lattice.cubic(length),
        [a_site, b_site, "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


class RecordedProject:
    """An ``MPRester`` that answers a search with three crystals, in the fields asked for."""

    def __init__(self) -> None:
        self.materials = self
        self.summary = self

    def search(self, *, fields: list[str], **criteria: Any) -> list[dict[str, Any]]:
        """Return the crystals; a criterion that mp-api does not know is refused as there."""
        from inspect import signature

        from mp_api.client.routes.materials.summary import SummaryRester

        signature(SummaryRester.search).bind(None, **criteria)
        answers = []
        crystals = (("Ca", "Ti", 3.9), ("Sr", "Ti", 3.94), ("Ba", "Ti", 4.03))
        for number, (a_site, b_site, length) in enumerate(crystals):
            known = {
                "material_id": f"mp-{number + 1}",
                "structure": _perovskite(a_site, b_site, length),
                "formation_energy_per_atom": -3.5,
                "energy_above_hull": 0.01 * number,
                "band_gap": 2.0,
                "last_updated": datetime(2024, 5, 6, tzinfo=UTC),
            }
            answers.append({name: known[name] for name in fields})
        return answers


def materials_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer searches in the Materials Project from a recording, without network or key."""
    from crystalicl_jobflow.retrieval import sources

    monkeypatch.setattr(sources, "_open_rester", RecordedProject)
