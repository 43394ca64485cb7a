"""What candidates are ranked by, for a more expensive step that cannot take them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.utils.hashing import text_hash


@dataclass(frozen=True)
class Contender:
    """What a ranking knows of one candidate.

    Parameters
    ----------
    candidate
        The candidate.
    place
        Its place among all candidates.
    times_drawn
        How many candidates are the same crystal.
    relaxation
        Its relaxation, where there was one.
    evidence
        Probability that the crystal is the right one of its condition, where it was asked for.
    evidence_without_energy
        The same as if no energy were known.
    """

    candidate: Candidate
    place: int
    times_drawn: int = 1
    relaxation: CandidateRelaxation | None = None
    evidence: float | None = None
    evidence_without_energy: float | None = None


Score = Callable[[Contender], float | None]


def _success(item: Contender) -> float:
    return {True: 1.0, None: 0.5, False: 0.0}[item.candidate.joint_success]


def _log_prob_per_token(item: Contender) -> float | None:
    found, tokens = item.candidate.provenance.log_prob, item.candidate.provenance.num_tokens
    return None if found is None or not tokens else found / tokens


def _similarity(item: Contender) -> float | None:
    return None if item.candidate.xrd is None else item.candidate.xrd.similarity


def _explained(item: Contender) -> float | None:
    found = _similarity(item)
    if found is None:
        return None
    # 1.02: no similarity is certain. Weight of the votes: chosen on 80 rows of other_test
    return math.log(max(found, 1e-3) / (1.02 - found)) + VOTES * math.log(item.times_drawn)


VOTES = 0.5
"""Weight of the logarithm of `Contender.times_drawn` beside the log-odds of the similarity."""


def _of_relaxation(name: str) -> Score:
    def score(item: Contender) -> float | None:
        return None if item.relaxation is None else getattr(item.relaxation, name)

    return score


EVIDENCE = "evidence"
"""The ranking that weighs all that speaks for a crystal, see `selection.evidence`."""

WITHOUT_ENERGY = "evidence_without_energy"
"""The same where energies are known and do not count, to compare with."""

PATTERN = "xrd"
"""The ranking by a measured powder pattern: similarity, and votes."""

SIMILARITY = "xrd_similarity"
"""The ranking by similarity to a measured powder pattern alone."""

RANKINGS: dict[str, tuple[Score, bool]] = {
    "success": (_success, True),
    "valid": (lambda item: item.candidate.valid, True),
    "times_drawn": (lambda item: item.times_drawn, True),
    EVIDENCE: (lambda item: item.evidence, True),
    WITHOUT_ENERGY: (lambda item: item.evidence_without_energy, True),
    PATTERN: (_explained, True),
    SIMILARITY: (_similarity, True),
    "log_prob": (lambda item: item.candidate.provenance.log_prob, True),
    "log_prob_per_token": (_log_prob_per_token, True),
    "num_sites": (lambda item: item.candidate.nsites_primitive, False),
    "order": (lambda item: item.place, False),
    "random": (lambda item: _hashed(item.candidate.candidate_id), False),
    "energy_above_hull": (_of_relaxation("energy_above_hull"), False),
    "formation_energy_per_atom": (_of_relaxation("formation_energy_per_atom"), False),
    "energy_per_atom": (_of_relaxation("energy_per_atom"), False),
}
"""What candidates can be ranked by → its score, and whether the highest comes first.

``success``
    1 where the whole condition is met, 0.5 where a part could not be judged, else 0;
    highest first.
``valid``
    Valid crystals before others.
``times_drawn``
    How often the crystal was drawn, most often first: the model's vote.
``evidence``
    Votes of the model and of element substitution, the text's probability and, where
    candidates have one, the energy, in one score: the probability that the crystal is the right
    one of its condition, highest first (:mod:`crystalicl_jobflow.selection.evidence`).
``evidence_without_energy``
    The same without the energy.
``xrd``
    Log-odds of the similarity to a measured powder pattern, with the cell refined, and half the
    logarithm of how often the crystal was drawn; highest first.
``xrd_similarity``
    That similarity alone.
``log_prob``, ``log_prob_per_token``
    Probability of the text under the model, most probable first.
``num_sites``
    Atoms in the primitive cell, fewest first.
``order``
    As the candidates come.
``random``
    An order that follows from the candidates' ids.
``energy_above_hull``, ``formation_energy_per_atom``, ``energy_per_atom``
    Of the relaxation, lowest first, eV/atom.

Besides these ``property:NAME`` is a property of the candidate, lowest first, and a leading
``-`` turns any of them round. What has no score comes last either way.
"""

BEFORE_RELAXATION = ("success", "times_drawn", "log_prob")
"""Default ranking of crystals that were not relaxed."""

WITH_PATTERN = ("success", PATTERN, "times_drawn", "log_prob")
"""Default ranking of crystals that were compared with a measured pattern, and not relaxed."""

AFTER_RELAXATION = ("energy_above_hull", "formation_energy_per_atom", "energy_per_atom")
"""Default ranking of relaxed crystals: the hull, where there is one."""


def parse_ranking(ranking: str | Sequence[str]) -> dict[str, tuple[Score, bool]]:
    """Return the score of each name, and whether the highest comes first.

    Raises
    ------
    ValueError
        If a name is not known; one line.
    """
    if not isinstance(ranking, str | Sequence) or not all(isinstance(n, str) for n in ranking):
        raise ValueError(f"a ranking is a name or several, got {ranking!r}")
    names = [ranking] if isinstance(ranking, str) else list(ranking)
    found: dict[str, tuple[Score, bool]] = {}
    for name in names:
        plain = name.removeprefix("-")
        if plain.startswith("property:"):
            score, highest = _of_property(plain.removeprefix("property:")), False
        elif plain in RANKINGS:
            score, highest = RANKINGS[plain]
        else:
            raise ValueError(
                f"no ranking {plain!r}; there are {', '.join(RANKINGS)} and property:NAME"
            )
        found[name] = (score, highest is (plain == name))
    return found


def rank_contenders(
    contenders: Sequence[Contender], scores: Mapping[str, tuple[Score, bool]]
) -> list[Contender]:
    """Return the contenders, the first in rank first.

    Parameters
    ----------
    contenders
        The contenders; where all scores are equal their places decide.
    scores
        As :func:`parse_ranking` returns them; a later one decides between equals.
    """

    def key(item: Contender) -> tuple[tuple[bool, float], ...]:
        values: list[tuple[bool, float]] = []
        for score, highest in scores.values():
            value = score(item)
            if value is None or math.isnan(value):
                values.append((True, 0.0))
            else:
                values.append((False, -value if highest else value))
        return (*values, (False, float(item.place)))

    return sorted(contenders, key=key)


def _of_property(name: str) -> Score:
    return lambda item: item.candidate.properties.get(name)


def _hashed(text: str) -> float:
    return int(text_hash(text)[:12], 16) / 16**12
