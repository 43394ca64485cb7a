"""Energies as evidence: of the crystals of a condition for which most speaks already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crystalicl_jobflow.comparison.novelty import unique_crystals
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.energies.loading import DEFAULT_MODEL, load_energy_model
from crystalicl_jobflow.energies.volume_scan import Relaxed, best_energies
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.selection.evidence import (
    EVIDENCE_ENERGY,
    condition_key,
    count_drawn,
    evidence_by_place,
)
from crystalicl_jobflow.utils.progress import Progress

MOST_CRYSTALS = 8
"""Different crystals of a condition that get an energy, by default."""


@dataclass(frozen=True)
class EvidenceEnergies:
    """How energies are computed for the ranking by evidence.

    Parameters
    ----------
    model
        Name of the potential, see :func:`~crystalicl_jobflow.energies.load_energy_model`.
    relaxed
        What is relaxed before the energy counts: 'nothing', 'volume' or 'all'.
    crystals
        Different crystals of a condition that get one at most, those for which most speaks
        without it; None for all.
    seconds
        Time for one condition, after which no further crystal of it is begun; None for no limit.
    cache
        File (``.sqlite``) or store where energies are kept by structure hash; None for none.
    """

    model: str = DEFAULT_MODEL
    relaxed: Relaxed = "volume"
    crystals: int | None = MOST_CRYSTALS
    seconds: float | None = None
    cache: Any = None

    def load(self, *, device: str = "cpu") -> EnergyModel:
        """Load the potential."""
        return load_energy_model(self.model, device=device)


def add_energies(
    candidates: Sequence[Candidate],
    options: EvidenceEnergies | None = None,
    *,
    model: EnergyModel | None = None,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with energies as the property `EVIDENCE_ENERGY`.

    Parameters
    ----------
    candidates
        Candidates of any conditions. Those that are the same crystal get one energy, that of the
        most probable text, or the first.
    options
        How energies are computed; None for the default.
    model
        A loaded potential instead of the named one.
    progress
        Called with (conditions done, of).

    Returns
    -------
    list of Candidate
        In their order; a candidate whose crystal has no energy is as it was. Energies of an
        earlier call are dropped.
    """
    options = options or EvidenceEnergies()
    model = model or options.load()
    found = [_without_energy(candidate) for candidate in candidates]
    by_condition: dict[tuple[int, str], list[int]] = {}
    for place, candidate in enumerate(found):
        if candidate.structure is not None:
            key = (candidate.provenance.request_index, condition_key(candidate))
            by_condition.setdefault(key, []).append(place)
    for done, places in enumerate(by_condition.values(), start=1):
        _add_to_condition(found, places, options, model)
        if progress is not None:
            progress(done, len(by_condition))
    return found


def _without_energy(candidate: Candidate) -> Candidate:
    if EVIDENCE_ENERGY not in candidate.properties:
        return candidate
    left = {k: v for k, v in candidate.properties.items() if k != EVIDENCE_ENERGY}
    return candidate.model_copy(update={"properties": left})


def _add_to_condition(
    candidates: list[Candidate],
    places: Sequence[int],
    options: EvidenceEnergies,
    model: EnergyModel,
) -> None:
    """Add the energies of one condition's crystals, in place."""
    members: dict[int, list[int]] = {}
    groups = unique_crystals([candidates[place].structure for place in places])
    for place, group in zip(places, groups, strict=True):
        members.setdefault(-1 if group is None else group, []).append(place)
    score = evidence_by_place(
        {place: candidates[place] for place in places},
        {place: group for group, found in members.items() for place in found},
        count_drawn([candidates[place] for place in places]),
    )
    crystals = sorted(members.values(), key=lambda found: (-score[found[0]], found[0]))
    crystals = crystals[: options.crystals]
    energies = best_energies(
        [candidates[_speaker(candidates, found)].structure for found in crystals],
        model,
        relaxed=options.relaxed,
        cache=options.cache,
        seconds=options.seconds,
    )
    for found, energy in zip(crystals, energies, strict=True):
        if energy.energy_per_atom is not None:
            for place in found:
                properties = candidates[place].properties
                more = {EVIDENCE_ENERGY: energy.energy_per_atom}
                candidates[place] = candidates[place].model_copy(
                    update={"properties": {**properties, **more}}
                )


def _speaker(candidates: Sequence[Candidate], places: Sequence[int]) -> int:
    """Return the place of the most probable text, or the first."""

    def key(place: int) -> tuple[float, int]:
        log_prob = candidates[place].provenance.log_prob
        return float("inf") if log_prob is None else -log_prob, place

    return min(places, key=key)
