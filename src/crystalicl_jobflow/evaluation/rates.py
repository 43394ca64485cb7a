"""Rates over a set of candidates, each with its denominator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crystalicl_jobflow.comparison.matching import MatchResult, unique_groups
from crystalicl_jobflow.comparison.novelty import DISCOVERY_MEANINGS
from crystalicl_jobflow.evaluation.counting import rule_meaning
from crystalicl_jobflow.evaluation.match_rates import References, match_rates
from crystalicl_jobflow.evaluation.metrics import PART_MEANINGS
from crystalicl_jobflow.evaluation.structure_prediction import PREDICTION_MEANINGS
from crystalicl_jobflow.schemas import (
    PROPERTIES,
    Candidate,
    Condition,
    Evaluation,
    FailureReason,
    Rate,
)
from crystalicl_jobflow.schemas.structure_table import SUCCESS_PREFIX
from crystalicl_jobflow.thresholds import MIN_DISTANCE, check_tolerances, evaluation_tolerances
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation.given import as_candidates
from crystalicl_jobflow.validation.provenance import check_versions
from crystalicl_jobflow.validation.reading import declares_space_group
from crystalicl_jobflow.validation.success import asked_for

_READABLE = frozenset(
    {
        FailureReason.ATOMS_OVERLAP,
        FailureReason.SYMMETRY_DIFFERS,
        FailureReason.SYMMETRY_NOT_FOUND,
    }
)
"""Reasons for which a draw is rejected although it can be read as a crystal."""

RATE_MEANINGS: dict[str, str] = {
    "parsed": "read as one crystal / candidates",
    "finished": "ended by the model itself / candidates",
    "redrawn": "drawn more than once / candidates",
    "parsed_per_draw": "read as one crystal / draws made, rejected ones included",
    "valid": "both structural rules and composition / candidates",
    "structure_valid": "CDVAE's rule: distances of 0.5 Å or more, volume / candidates",
    "structure_valid_radii": "no two atoms closer than half their radii's sum / candidates",
    "composition_valid": "charge-neutral (SMACT) / candidates",
    "overlap": "atoms closer than half their radii's sum / parsed candidates",
    "symmetry_adherence": "found group is the asked, else declared one / candidates asked for a"
    " group or of a format that declares one",
    "unique": "different crystals / candidates",
    "joint": "everything asked for at once / candidates with a condition",
    "match": "matches its reference / candidates with a reference",
    "match_valid": "matches, and valid by CDVAE's rules / candidates with a reference",
    "match_any": "references with at least one matching candidate / references",
    "match_any_valid": "the same with valid candidates only / references",
    **PREDICTION_MEANINGS,
}
"""Numerator and denominator of each rate. A rate named after a part of the condition (``formula``,
``band_gap``, …) is: met / candidates for which it was requested."""


_TITLES = {
    "sun": "S.U.N.",
    "metastable_sun": "metastable S.U.N.",
    "sun_of_all": "S.U.N., of all candidates",
    "metastable_sun_of_all": "metastable S.U.N., of all candidates",
    "structure_valid": f"structure valid, {MIN_DISTANCE:g} Å alone",
    "structure_valid_radii": "structure valid, atomic radii",
    "crystext_valid": "CrysText valid",
    "crystallm_valid": "CrystaLLM valid",
}
"""Rates whose name says too little as words."""


_PARTS = ("formula", "space_group", "composition_valid", "structure_valid")
"""Rates that a table shows where there are few others."""


def rate_title(name: str) -> str:
    """Return a rate's name as people are shown it.

    Examples
    --------
    >>> rate_title("structure_valid")
    'structure valid, 0.5 Å alone'
    >>> rate_title("composition_valid")
    'composition valid'
    """
    return _TITLES.get(name) or name.replace("_", " ").replace(":", ": ")


def main_rates(rates: Mapping[str, Rate], *, most: int = 6) -> list[str]:
    """Return the names of the few rates that a page or a table begins with, in order.

    Without known crystals to be novel against there is no S.U.N., and stability stands for it.
    A rate of no cases is left out, but for that of stability: it tells that none was judged.

    Parameters
    ----------
    rates
        All rates by name.
    most
        How many at most.
    """
    sun = ("sun", "metastable_sun") if "sun" in rates else ("stable", "metastable")
    wanted = ("valid", "joint", "match", *sun, "novel", "unique", "parsed", *_PARTS)
    found = [name for name in wanted if name in rates]
    return [name for name in found if rates[name].of or name == sun[0]][:most]


def rate_meaning(name: str) -> str | None:
    """Return numerator and denominator of a rate in words, or None for an unknown name.

    Examples
    --------
    >>> rate_meaning("composition_valid")
    'charge-neutral (SMACT) / candidates'
    >>> rate_meaning("formula")
    'formula as asked for / candidates for which it was asked'
    """
    for meanings in (RATE_MEANINGS, PART_MEANINGS, DISCOVERY_MEANINGS):
        if name in meanings:
            return meanings[name]
    stem, _, count = name.rpartition("_at_")
    if count.isdigit() and f"{stem}_at_{{n}}" in RATE_MEANINGS:
        return RATE_MEANINGS[f"{stem}_at_{{n}}"].replace("{n}", count)
    if name in Condition.model_fields or name in PROPERTIES:
        words = name.replace("_", " ")
        return f"{words} as asked for / candidates for which it was asked"
    return rule_meaning(name)


def evaluate(
    candidates: Sequence[Any] | str | Path,
    *,
    references: References | None = None,
    matches: Sequence[MatchResult | None] | None = None,
    unique: bool = True,
    metre: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Compute every rate that needs no energy.

    Parameters
    ----------
    candidates
        Validated candidates, see `validate_completion`; or crystals of other making, see
        :func:`~crystalicl_jobflow.validation.given.as_candidates`.
    references
        True structures: by candidate id or by request index, or a sequence aligned with the
        candidates. Candidates without one are not included in the match rates.
    matches
        Comparisons with the references where they were made before, one per candidate.
    unique
        Whether to compare the candidates with each other, which takes most of the time if many
        have the same formula.
    metre
        Whether to compare candidates with all references of their composition as well.
    processes
        Number of processes for the comparisons.
    progress
        Called with (matched, to be matched) while references are compared.

    Returns
    -------
    Evaluation
        Rates as defined in :data:`RATE_MEANINGS`, each with count and of; a text without a
        readable crystal counts as a failure in every rate. If no candidate could be judged (a
        property without predictions), the rate is None and its denominator 0; if only some
        candidates could not be judged, they count as failures, and
        ``metrics["not_judged:<name>"]`` is their number.

    Raises
    ------
    ValueError
        If a sequence of references is not as long as the candidates.
    """
    candidates = as_candidates(candidates)
    rows = [structure_row(candidate) for candidate in candidates]
    rates = _validity_rates(candidates)
    metrics: dict[str, float | None] = {}
    for name in _all_asked(candidates):
        outcomes = [c.success.get(name) for c in candidates if name in c.success]
        parsed = [c.parsed for c in candidates if name in c.success]
        rates[name] = _success_rate(name, outcomes, parsed, metrics)
    conditioned = [c for c in candidates if c.success]
    if conditioned:
        outcomes = [c.joint_success for c in conditioned]
        parsed = [c.parsed for c in conditioned]
        rates["joint"] = _success_rate("joint", outcomes, parsed, metrics)
    if unique:
        rates["unique"] = _unique_rate(candidates, rows, processes)
    if references is not None:
        more_rates, more_metrics, columns = match_rates(
            candidates,
            references,
            matches=matches,
            metre=metre,
            processes=processes,
            progress=progress,
        )
        rates.update(more_rates)
        metrics.update(more_metrics)
        for place, cells in columns.items():
            rows[place].update(cells)
    metrics["draws"] = float(sum(c.provenance.attempts for c in candidates))
    rejected: Counter[str] = Counter()
    for candidate in candidates:
        rejected.update(candidate.provenance.rejected)
    metrics.update({f"rejected:{reason}": float(n) for reason, n in sorted(rejected.items())})
    reasons = Counter(str(c.failure_reason) for c in candidates if c.failure_reason is not None)
    tolerances: dict[str, float | str] = {**check_tolerances(), **evaluation_tolerances()}
    for candidate in candidates:  # the settings of the checks, not the current defaults
        tolerances.update(candidate.provenance.tolerances)
    return Evaluation(
        num_candidates=len(candidates),
        rates=rates,
        reasons={str(r): reasons[str(r)] for r in FailureReason if str(r) in reasons},
        metrics=metrics,
        results=rows,
        tolerances=tolerances,
        versions=check_versions(),
    )


def _validity_rates(candidates: Sequence[Candidate]) -> dict[str, Rate]:
    parsed = [c for c in candidates if c.parsed]
    with_group = [c for c in candidates if _has_group_to_adhere_to(c)]
    draws = sum(c.provenance.attempts for c in candidates)
    read_again = sum(_read_before(c) for c in candidates)
    return {
        "parsed": Rate.from_counts(len(parsed), len(candidates)),
        "valid": _share(candidates, lambda c: c.valid),
        "structure_valid": _share(candidates, lambda c: c.checks.structure_valid),
        "structure_valid_radii": _share(candidates, lambda c: c.checks.structure_valid_radii),
        "composition_valid": _share(candidates, lambda c: c.checks.composition_valid),
        "overlap": _share(parsed, lambda c: c.checks.structure_valid_radii is False),
        "symmetry_adherence": _share(with_group, lambda c: c.checks.symmetry_adherent),
        "finished": _share(candidates, lambda c: c.provenance.finished),
        "redrawn": _share(candidates, lambda c: c.provenance.attempts > 1),
        "parsed_per_draw": Rate.from_counts(len(parsed) + read_again, draws),
    }


def _read_before(candidate: Candidate) -> int:
    """Return how many of the draws thrown away could be read as a crystal."""
    made = candidate.provenance
    count = sum(n for reason, n in made.rejected.items() if reason in _READABLE)
    return min(count, made.attempts - 1)  # substitution once counted the text that it kept


def _has_group_to_adhere_to(candidate: Candidate) -> bool:
    if candidate.parsed:
        return candidate.checks.symmetry_adherent is not None
    return candidate.condition.space_group is not None or declares_space_group(
        candidate.text_format
    )


def _share(candidates: Sequence[Candidate], test: Callable[[Candidate], bool | None]) -> Rate:
    return Rate.from_counts(sum(bool(test(c)) for c in candidates), len(candidates))


def _all_asked(candidates: Iterable[Candidate]) -> list[str]:
    """Return all parts requested of any candidate, in the order of conditions."""
    names: dict[str, None] = {}
    for candidate in candidates:
        names.update(dict.fromkeys(asked_for(candidate.condition)))
        names.update(dict.fromkeys(candidate.success))
    return list(names)


def _success_rate(
    name: str,
    outcomes: Sequence[bool | None],
    parsed: Sequence[bool],
    metrics: dict[str, float | None],
) -> Rate:
    """Count successes, and those that could not be judged."""
    unjudged = sum(outcome is None for outcome in outcomes)
    if unjudged:
        metrics[f"not_judged:{name}"] = float(unjudged)
    judged_crystals = sum(
        outcome is not None and is_crystal
        for outcome, is_crystal in zip(outcomes, parsed, strict=True)
    )
    if unjudged and not judged_crystals:
        return Rate.from_counts(0, 0)  # no predictions: no rate, rather than a rate of 0
    return Rate.from_counts(sum(outcome is True for outcome in outcomes), len(outcomes))


def _unique_rate(
    candidates: Sequence[Candidate], rows: list[dict[str, Any]], processes: int
) -> Rate:
    members = [(i, c.structure) for i, c in enumerate(candidates) if c.structure is not None]
    founders = unique_groups([s for _, s in members], processes=processes)
    for (index, _), founder in zip(members, founders, strict=True):
        original = members[founder][0]
        rows[index]["unique"] = original == index
        rows[index]["duplicate_of"] = (
            None if original == index else candidates[original].candidate_id
        )
    return Rate.from_counts(len(set(founders)), len(candidates))


def structure_row(candidate: Candidate) -> dict[str, Any]:
    """Return the values known from a candidate alone, by column.

    Columns are those of :data:`crystalicl_jobflow.schemas.STRUCTURE_COLUMNS`; those of
    metrics that compare or compute more are absent.
    """
    checks, origin = candidate.checks, candidate.provenance
    reason = candidate.failure_reason
    model = origin.model
    row: dict[str, Any] = {
        "candidate_id": candidate.candidate_id,
        "request_index": origin.request_index,
        "sample_index": origin.sample_index,
        "asked": candidate.condition.label(),
        "text_format": candidate.text_format,
        "formula_pretty": candidate.formula_pretty,
        "formula_anonymous": candidate.formula_anonymous,
        "chemsys": candidate.chemsys,
        "nsites": candidate.nsites,
        "nsites_primitive": candidate.nsites_primitive,
        "density": candidate.density,
        "volume": checks.volume,
        "min_distance": checks.min_distance,
        "declared_space_group": candidate.declared_space_group,
        "space_group": candidate.space_group,
        "space_group_symbol": candidate.space_group_symbol,
        "parsed": candidate.parsed,
        "valid": candidate.valid,
        "structure_valid": checks.structure_valid,
        "structure_valid_radii": checks.structure_valid_radii,
        "composition_valid": checks.composition_valid,
        "symmetry_adherent": checks.symmetry_adherent,
        **{f"{SUCCESS_PREFIX}{name}": met for name, met in candidate.success.items()},
        "joint_success": candidate.joint_success,
        **candidate.properties,
        "strategy": origin.strategy,
        "num_demonstrations": len(origin.demonstration_ids),
        "model": None
        if model is None
        else "+".join(part for part in (model.base_model, model.adapter) if part),
        "seed": None if origin.sampling is None else origin.sampling.seed,
        "attempts": origin.attempts,
        "finished": origin.finished,
        "num_tokens": origin.num_tokens,
        "failure_reason": None if reason is None else str(reason),
        "failure_message": candidate.failure_message,
    }
    return row
