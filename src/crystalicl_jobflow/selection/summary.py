"""What became of the candidates of a discovery."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from crystalicl_jobflow.energies.hull import NO_KNOWN_CRYSTALS
from crystalicl_jobflow.energies.relaxations import best_relaxations
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.schemas.discovery import DiscoveryDoc, FoundCrystal, SelectDoc
from crystalicl_jobflow.schemas.stored_candidate import LEVELS, CandidateRelaxation


def summarize(
    candidates: Sequence[Candidate],
    selections: Sequence[SelectDoc],
    relaxations: Sequence[CandidateRelaxation],
    *,
    rates: Mapping[str, Rate] | None = None,
) -> DiscoveryDoc:
    """Count the candidates that passed each step, and put the relaxed crystals in order.

    Parameters
    ----------
    candidates
        All candidates.
    selections
        What went on, selection by selection.
    relaxations
        All relaxations of all levels.
    rates
        Of an evaluation.

    Returns
    -------
    DiscoveryDoc
        Of each candidate the relaxation that counts rather than its others, where it
        converged: the highest level first, within it the lowest energy above the hull.
    """
    from crystalicl_jobflow.thresholds import (
        HULL_ROUNDING,
        METASTABLE_E_ABOVE_HULL,
        STABLE_E_ABOVE_HULL,
    )

    formulas = {item.candidate_id: item.formula_pretty or "" for item in candidates}
    found = [
        FoundCrystal(
            candidate_id=name,
            formula_pretty=formulas.get(name, ""),
            structure=item.structure,
            energy_per_atom=item.energy_per_atom,
            formation_energy_per_atom=item.formation_energy_per_atom,
            energy_above_hull=item.energy_above_hull,
            no_hull_reason=item.no_hull_reason,
            level=item.level,
            method=item.method,
        )
        for name, item in best_relaxations(relaxations).items()
        if item.counts and item.structure is not None
    ]
    found.sort(key=_best_first)
    counts: dict[str, int | None] = {
        "candidates": len(candidates),
        "parsed": sum(item.parsed for item in candidates),
        "valid": sum(item.valid for item in candidates),
    }
    for selection in selections[:1]:
        counts |= {"eligible": selection.num_eligible, "selected": selection.num_selected}
    for level in LEVELS:
        at_level = [item for item in relaxations if item.level == level]
        if at_level:
            counts[f"{level}_tried"] = len(at_level)
            counts[f"{level}_relaxed"] = sum(item.counts for item in at_level)
    above = [item.energy_above_hull for item in found if item.energy_above_hull is not None]
    counts["judged"] = len(above)
    for name, limit in (("stable", STABLE_E_ABOVE_HULL), ("metastable", METASTABLE_E_ABOVE_HULL)):
        counts[name] = sum(item <= limit + HULL_ROUNDING for item in above) if above else None
    unjudged = Counter(
        item.no_hull_reason or NO_KNOWN_CRYSTALS for item in found if item.energy_above_hull is None
    )
    return DiscoveryDoc(
        found=found,
        counts=counts,
        not_judged=dict(sorted(unjudged.items())),
        rates=dict(rates or {}),
        selections=[
            item.model_dump(mode="json", exclude={"chosen", "rows"}) for item in selections
        ],
    )


def _best_first(item: FoundCrystal) -> tuple[int, float, float, str]:
    level = LEVELS.index(item.level) if item.level in LEVELS else -1
    values = [
        math.inf if value is None else value
        for value in (item.energy_above_hull, item.formation_energy_per_atom)
    ]
    return -level, values[0], values[1], item.candidate_id
