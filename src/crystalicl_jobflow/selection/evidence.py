"""Ranking by evidence: all that speaks for each of the different crystals of a condition.

Votes of the language model, element substitution, the probability of the text and, where there
is one, the energy enter one score. Its weights are fitted on known crystals (a conditional logit,
McFadden 1974) and stand in ``evidence_weights.json`` with their origin.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.generation.substitution import SUBSTITUTION_MODEL
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.settings import SETTINGS

EVIDENCE_ENERGY = "volume_scan_energy_per_atom"
"""Property of a candidate that holds its energy (eV/atom, of one potential for all)."""

FEATURES = (
    "met",
    "draws",
    "template",
    "first_template",
    "template_votes",
    "template_distance",
    "log_prob",
    "energy",
    "no_energy",
)
"""What the score weighs, see :func:`evidence_features`."""

MAX_LOG_PROB_GAP = 30.0
"""A text this much less probable than the best one (natural logarithm) counts no worse still."""

MAX_ENERGY_GAP = 0.5
"""eV/atom above the lowest; a crystal higher than this counts no worse still."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for one of the different crystals of a condition.

    Parameters
    ----------
    met
        1 where the whole condition is met, 0.5 where a part could not be judged, else 0.
    draws
        Texts of language models that are this crystal.
    template_rank
        Its place among the crystals that substitution gives, from 0; None where it gives none
        such.
    template_votes
        Substitutions that give it.
    template_distance
        Sum of the differences of Mendeleev numbers of the replaced elements.
    log_prob
        Logarithm of the probability of its most probable text under the language model.
    energy
        Lowest energy of its texts in eV/atom.
    """

    met: float = 0.5
    draws: int = 0
    template_rank: int | None = None
    template_votes: int = 0
    template_distance: float | None = None
    log_prob: float | None = None
    energy: float | None = None

    @classmethod
    def gather(cls, members: Sequence[Candidate]) -> Evidence:
        """Return what speaks for a crystal.

        Parameters
        ----------
        members
            The candidates of one condition that are this crystal; at least one.
        """
        origins = [candidate.provenance for candidate in members]
        templates = [item for item in origins if item.template_id is not None]
        best = min(templates, key=lambda item: _or(item.template_rank, 10**6), default=None)
        log_probs = [item.log_prob for item in origins if item.log_prob is not None]
        energies = [
            energy
            for candidate in members
            if (energy := candidate.properties.get(EVIDENCE_ENERGY)) is not None
        ]
        return cls(
            met=max({True: 1.0, None: 0.5, False: 0.0}[item.joint_success] for item in members),
            draws=len(members) - len(templates),
            template_rank=None if best is None else best.template_rank,
            template_votes=sum(item.template_votes or 1 for item in templates),
            template_distance=None if best is None else best.template_distance,
            log_prob=max(log_probs, default=None),
            energy=min(energies, default=None),
        )


def evidence_features(crystals: Sequence[Evidence], *, drawn: int) -> NDArray[np.float64]:
    """Return the numbers that the score weighs, shape (crystals, features).

    Parameters
    ----------
    crystals
        The different crystals of one condition.
    drawn
        Texts that language models wrote for the condition, also those that are no crystals.

    Returns
    -------
    numpy.ndarray
        Columns as in :data:`FEATURES`: ``met``; ``draws``, log((draws + 1/2) / (drawn + 1));
        whether substitution gives it; whether first; log(1 + votes); log(1 + distance), 0 where
        substitution does not give it; ``log_prob`` minus that of the best, at least
        -`MAX_LOG_PROB_GAP` (the mean of the others where it is not known); energy above the
        lowest, eV/atom, at most `MAX_ENERGY_GAP`; whether others have an energy and it has none.
    """
    log_probs = _above(
        [None if item.log_prob is None else -item.log_prob for item in crystals], MAX_LOG_PROB_GAP
    )
    energies = _above([item.energy for item in crystals], MAX_ENERGY_GAP)
    known = [value for value in log_probs if value is not None]
    usual = sum(known) / len(known) if known else 0.0
    some = any(value is not None for value in energies)
    rows = [
        (
            item.met,
            math.log((item.draws + 0.5) / (drawn + 1)),
            float(item.template_rank is not None),
            float(item.template_rank == 0),
            math.log1p(item.template_votes),
            math.log1p(item.template_distance or 0.0),
            -_or(log_prob, usual),
            _or(energy, 0.0),
            float(some and energy is None),
        )
        for item, log_prob, energy in zip(crystals, log_probs, energies, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


@dataclass(frozen=True)
class EvidenceWeights:
    """Weights of the score.

    Parameters
    ----------
    without_energy, with_energy
        By feature; used where no crystal of the condition has an energy, and where one has.
        ``none`` is the score of the case that none of the crystals is right.
    origin
        How they were fitted.
    """

    without_energy: Mapping[str, float]
    with_energy: Mapping[str, float]
    origin: Mapping[str, Any]

    @classmethod
    def load(cls, path: str | Path | None = None) -> EvidenceWeights:
        """Read weights that ``crystalicl benchmark evidence`` wrote; the package's own by default.

        Raises
        ------
        ValueError
            If the file holds no such weights; one line.
        """
        if path is None:
            text = resources.files(__package__).joinpath("evidence_weights.json").read_text("utf-8")
        else:
            try:
                text = Path(path).expanduser().read_text(encoding="utf-8")
            except OSError as error:
                raise ValueError(f"evidence weights {path}: {error.strerror}") from None
        try:
            document = json.loads(text)
            sets = [document[name] for name in ("without_energy", "with_energy")]
            unknown = {name for one in sets for name in one} - {*FEATURES, "none"}
            found = [{name: float(value) for name, value in one.items()} for one in sets]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} holds no weights of a ranking by evidence") from None
        if unknown:
            raise ValueError(f"{path} weighs {min(unknown)!r}, which is no evidence")
        return cls(found[0], found[1], origin=document.get("origin", {}))

    def probabilities(self, crystals: Sequence[Evidence], *, drawn: int) -> list[float]:
        """Return for each crystal the probability that it is the right one.

        Parameters
        ----------
        crystals
            The different crystals of one condition.
        drawn
            Texts that language models wrote for the condition.
        """
        if not crystals:
            return []
        energies = any(item.energy is not None for item in crystals)
        weights = self.with_energy if energies else self.without_energy
        vector = np.array([weights.get(name, 0.0) for name in FEATURES])
        scores = evidence_features(crystals, drawn=drawn) @ vector
        return softmax(scores, none=weights.get("none", 0.0)).tolist()  # type: ignore[no-any-return]


def softmax(scores: NDArray[np.float64], *, none: float) -> NDArray[np.float64]:
    """Return the probability of each score beside that of a further case, which is left out."""
    every = np.append(scores, none)
    shares = np.exp(every - every.max())
    return shares[:-1] / shares.sum()  # type: ignore[no-any-return]


@cache
def shipped_weights(path: str | None = None) -> EvidenceWeights:
    """Return the weights of a file, read once; None: those of the package."""
    return EvidenceWeights.load(path)


def evidence_by_place(
    candidates: Mapping[int, Candidate],
    groups: Mapping[int, int],
    drawn: Mapping[str, int],
    *,
    energies: bool = True,
) -> dict[int, float]:
    """Return for each candidate the probability that its crystal is the right one.

    Parameters
    ----------
    candidates
        Crystals by place, of any conditions.
    groups
        Place to the number of the crystal that it is.
    drawn
        Condition (see :func:`condition_key`) to the texts that language models wrote for it.
    energies
        Whether energies count where there are any.
    """
    weights = shipped_weights(SETTINGS.EVIDENCE_WEIGHTS)
    by_condition: dict[str, dict[int, list[int]]] = {}
    for place, candidate in candidates.items():
        crystals = by_condition.setdefault(condition_key(candidate), {})
        crystals.setdefault(groups[place], []).append(place)
    found: dict[int, float] = {}
    for key, crystals in by_condition.items():
        members = list(crystals.values())
        evidence = [Evidence.gather([candidates[place] for place in one]) for one in members]
        if not energies:
            evidence = [replace(item, energy=None) for item in evidence]
        values = weights.probabilities(evidence, drawn=drawn.get(key, 0))
        for places, value in zip(members, values, strict=True):
            found.update(dict.fromkeys(places, value))
    return found


def condition_key(candidate: Candidate) -> str:
    """Return what names a candidate's condition."""
    return candidate.condition.model_dump_json()


def count_drawn(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Return by condition how many texts language models wrote, crystals or not."""
    counts: dict[str, int] = {}
    for candidate in candidates:
        origin = candidate.provenance
        engine = None if origin.model is None else origin.model.engine
        if origin.template_id is None and engine != SUBSTITUTION_MODEL:
            key = condition_key(candidate)
            counts[key] = counts.get(key, 0) + 1
    return counts


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _above(values: Sequence[float | None], limit: float) -> list[float | None]:
    """Return how far each value is above the lowest, at most so much."""
    lowest = min((value for value in values if value is not None), default=0.0)
    return [None if value is None else min(value - lowest, limit) for value in values]
