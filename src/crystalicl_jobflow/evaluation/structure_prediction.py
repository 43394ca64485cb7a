"""Structure prediction: how often the true crystal is among the first n samples."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.comparison.matching import NO_MATCH, MatchResult, match_many
from crystalicl_jobflow.comparison.polymorphs import match_polymorphs
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.thresholds import (
    MATCH_ANGLE_TOL,
    MATCH_LTOL,
    MATCH_STOL,
    MIN_DISTANCE,
    MIN_VOLUME,
)
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation.distances import min_distance

logger = logging.getLogger(__name__)

SAMPLES: tuple[int, ...] = (1, 20)
"""Numbers of samples per condition at which the field reports match rates (CrystaLLM)."""

Sample = Candidate | Structure | None
"""One answer to a condition: a candidate, its crystal alone, or None where there is none."""

PREDICTION_MEANINGS: dict[str, str] = {
    "match_at_{n}": "conditions whose true crystal is matched by one of the first n samples"
    " / conditions asked",
    "match_valid_at_{n}": "the same, samples that fail the validity gate match nothing",
    "match_reduced_at_{n}": "the same as match_at_{n} with the matcher's reduction to primitive"
    " cells only, as published figures have it",
    "polymorphs": "distinct reference crystals matched by any sample of their composition"
    " / distinct reference crystals",
    "polymorphs_of_many": "the same, for compositions with several distinct reference crystals",
}
"""What each rate of :func:`structure_prediction` divides by what."""


@dataclass(frozen=True)
class SampleMatch:
    """How one sample compares with the truth of its condition.

    Parameters
    ----------
    key
        The condition's key.
    sample
        The sample's place among those of its condition, from 0.
    parsed
        Whether there is a crystal at all.
    valid
        Whether it passes the validity gate, see :func:`passes_gate`.
    match
        The comparison with the true crystal.
    polymorph
        Founder of the distinct reference crystal that it matches best, as its index among
        the polymorphs given; None where it matches none of its composition.
    """

    key: Hashable
    sample: int
    parsed: bool
    valid: bool
    match: MatchResult
    polymorph: int | None = None


@dataclass(frozen=True)
class StructurePrediction:
    """Match rates over conditions, with every sample's comparison.

    Parameters
    ----------
    rows
        One per sample, in the order of conditions and samples.
    rates
        As :data:`PREDICTION_MEANINGS` says, with counts and denominators.
    metrics
        ``rms_at_{n}``, ``rms_valid_at_{n}``, ``rms_reduced_at_{n}``: mean over the matched
        conditions of the lowest RMS displacement among their first n samples, divided by
        (volume per atom)^(1/3); None without a match. ``short_at_{n}``: conditions with
        fewer than n samples. ``num_polymorphs``: distinct reference crystals.
    best
        Condition's key → lowest RMS of its matching samples, all samples counted, or None.
    tolerances
        The matcher's, and the gate's.
    """

    rows: list[SampleMatch]
    rates: dict[str, Rate]
    metrics: dict[str, float | None]
    best: dict[Hashable, float | None] = field(default_factory=dict)
    tolerances: dict[str, float | str] = field(default_factory=dict)


def structure_prediction(
    candidates: Mapping[Any, Sequence[Sample]] | Sequence[Candidate],
    references: Mapping[Any, Structure] | Sequence[Structure],
    *,
    n: int | Iterable[int] = SAMPLES,
    polymorphs: Sequence[Structure] | None = None,
    metre: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> StructurePrediction:
    """Compare samples with the true crystals of their conditions.

    Parameters
    ----------
    candidates
        Condition's key → its samples in the order in which they were drawn; or candidates
        in any order, whose key is ``provenance.request_index`` and whose order is
        ``provenance.sample_index``.
    references
        Condition's key → true crystal; a sequence has its places as keys. These are the
        conditions: each one stays in every denominator, with samples or without.
    n
        Numbers of samples to count a condition as matched by. A condition with fewer
        samples counts with what it has; ``metrics["short_at_{n}"]`` says how many those are.
    polymorphs
        Reference crystals among which those of a sample's composition are looked for; the
        true crystals by default.
    metre
        Whether to compare samples with all reference crystals of their composition (METRe,
        match everyone to reference: Martirossyan et al. 2025).
    processes
        Processes for the comparisons.
    progress
        Called with (compared, to be compared).

    Returns
    -------
    StructurePrediction
        Rates, figures, and one row per sample.

    Raises
    ------
    ValueError
        If a number of samples is below 1, or a sample belongs to no reference; one line.
    """
    counts = _sample_counts(n)
    truths = _keyed(references)
    samples = _by_condition(candidates)
    unknown = [key for key in samples if key not in truths]
    if unknown:
        raise ValueError(f"condition {unknown[0]!r} has samples, but no reference")
    places = [(key, i) for key in truths for i in range(len(samples.get(key, ())))]
    rows, pairs = compare_samples(
        [samples[key][i] for key, i in places],
        [truths[key] for key, _ in places],
        keys=places,
        processes=processes,
        progress=progress,
    )
    rates: dict[str, Rate] = {}
    metrics: dict[str, float | None] = {}
    for count in counts:
        more_rates, more_metrics = rates_at(count, rows, truths)
        rates.update(more_rates)
        metrics.update(more_metrics)
    if metre:
        known = list(truths.values()) if polymorphs is None else list(polymorphs)
        crystals = [_structure(samples[key][i]) for key, i in places]
        found = match_polymorphs(crystals, known, compared=pairs, processes=processes)
        rates.update(found.rates)
        metrics["num_polymorphs"] = float(found.num_polymorphs)
        rows = [
            replace(row, polymorph=found.best.get(at)) if at in found.best else row
            for at, row in enumerate(rows)
        ]
    best = best_rms(rows, truths)
    return StructurePrediction(rows, rates, metrics, best, prediction_tolerances())


def compare_samples(
    samples: Sequence[Sample],
    truths: Sequence[Structure],
    *,
    keys: Sequence[tuple[Hashable, int]],
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[list[SampleMatch], dict[tuple[int, int], float | None]]:
    """Compare each sample with its own true crystal.

    Parameters
    ----------
    samples, truths
        As many of one as of the other.
    keys
        Condition's key and place among its samples, of each sample.
    processes
        Processes for the comparisons.
    progress
        Called with (compared, to be compared).

    Returns
    -------
    tuple
        One row per sample; and the RMS found (None without a match) by the sample's place
        and the ``id`` of its truth, for :func:`match_polymorphs`.
    """
    valid = gate_many(samples, processes=processes)
    crystals = [_structure(sample) for sample in samples]
    comparable = [at for at, crystal in enumerate(crystals) if crystal is not None]
    answers = match_many(
        [(crystals[at], truths[at]) for at in comparable],  # type: ignore[misc]
        processes=processes,
        progress=progress,
    )
    matches = dict(zip(comparable, answers, strict=True))
    rows = [
        SampleMatch(
            key=key,
            sample=i,
            parsed=crystals[at] is not None,
            valid=valid[at],
            match=matches.get(at, NO_MATCH),
        )
        for at, (key, i) in enumerate(keys)
    ]
    return rows, {(at, id(truths[at])): result.rms for at, result in matches.items()}


def passes_gate(sample: Sample) -> bool:
    """Return whether a prediction is valid in CDVAE's sense, as match rates are gated.

    Minimum distance, volume and composition; of the prediction only, never of the
    reference.
    """
    if sample is None:
        return False
    if isinstance(sample, Candidate):
        return bool(sample.checks.structure_valid and sample.checks.composition_valid)
    from crystalicl_jobflow.crystal.formula import crystal_composition
    from crystalicl_jobflow.validation.composition import composition_valid

    try:
        near = min_distance(sample) < MIN_DISTANCE
    except ValueError:
        return False
    return (
        not near and sample.volume >= MIN_VOLUME and composition_valid(crystal_composition(sample))
    )


def gate_many(samples: Sequence[Sample], *, processes: int = 1) -> list[bool]:
    """Return :func:`passes_gate` of every sample."""
    if all(sample is None or isinstance(sample, Candidate) for sample in samples):
        processes = 1  # already checked: nothing to share
    return map_list(passes_gate, samples, processes=processes, on_death=_gate_died)


def _gate_died(sample: Sample) -> bool:
    crystal = sample.structure if isinstance(sample, Candidate) else sample
    what = "a text" if crystal is None else crystal.formula
    logger.warning("%s: the process that checked a prediction ended; not valid", what)
    return False


def prediction_tolerances() -> dict[str, float | str]:
    """Return the tolerances of structure prediction."""
    return {
        "match_stol": MATCH_STOL,
        "match_ltol": MATCH_LTOL,
        "match_angle_tol": MATCH_ANGLE_TOL,
        "match_reduction": "with or without primitive reduction",
        "match_gate": "prediction: distance, volume and composition (CDVAE)",
    }


def best_rms(
    rows: Iterable[SampleMatch],
    keys: Iterable[Hashable],
    *,
    count: int | None = None,
    rms_of: Callable[[SampleMatch], float | None] = lambda row: row.match.rms,
) -> dict[Hashable, float | None]:
    """Return each condition's lowest RMS among its first samples.

    Parameters
    ----------
    rows
        Comparisons of samples.
    keys
        The conditions, with samples or without.
    count
        How many samples of a condition count; None for all.
    rms_of
        Which samples count, and with what: None for a sample that does not match.
    """
    best: dict[Hashable, float | None] = dict.fromkeys(keys)
    for row in rows:
        rms = rms_of(row)
        if rms is None or (count is not None and row.sample >= count):
            continue
        known = best[row.key]
        best[row.key] = rms if known is None else min(known, rms)
    return best


def rates_at(
    count: int, rows: Sequence[SampleMatch], keys: Collection[Hashable]
) -> tuple[dict[str, Rate], dict[str, float | None]]:
    """Return match rates and mean RMS over conditions for their first ``count`` samples.

    Parameters
    ----------
    count
        Samples that count.
    rows
        Comparisons of samples.
    keys
        The conditions: the denominator.
    """
    rates: dict[str, Rate] = {}
    metrics: dict[str, float | None] = {}
    for suffix, rms_of in _KINDS.items():
        best = best_rms(rows, keys, count=count, rms_of=rms_of)
        lowest = [rms for rms in best.values() if rms is not None]
        rates[f"match{suffix}_at_{count}"] = Rate.from_counts(len(lowest), len(best))
        metrics[f"rms{suffix}_at_{count}"] = sum(lowest) / len(lowest) if lowest else None
    having = Counter(row.key for row in rows)
    metrics[f"short_at_{count}"] = float(sum(having[key] < count for key in keys))
    return rates, metrics


_KINDS: dict[str, Callable[[SampleMatch], float | None]] = {
    "": lambda row: row.match.rms,
    "_valid": lambda row: row.match.rms if row.valid else None,
    "_reduced": lambda row: row.match.rms if row.match.reduced else None,
}


def _sample_counts(n: int | Iterable[int]) -> list[int]:
    counts = sorted({n} if isinstance(n, int) else set(n))
    if not counts or counts[0] < 1:
        raise ValueError(f"numbers of samples must be at least 1, got {counts}")
    return counts


def _keyed(references: Mapping[Any, Structure] | Sequence[Structure]) -> dict[Hashable, Structure]:
    if isinstance(references, Mapping):
        return dict(references)
    return dict(enumerate(references))


def _by_condition(
    candidates: Mapping[Any, Sequence[Sample]] | Sequence[Candidate],
) -> dict[Hashable, Sequence[Sample]]:
    if isinstance(candidates, Mapping):
        return dict(candidates)
    groups: dict[Hashable, list[Candidate]] = {}
    for candidate in candidates:
        assert isinstance(candidate, Candidate)
        groups.setdefault(candidate.provenance.request_index, []).append(candidate)
    for members in groups.values():
        members.sort(key=lambda member: member.provenance.sample_index)
    return dict(groups)


def _structure(sample: Sample) -> Structure | None:
    return sample.structure if isinstance(sample, Candidate) else sample
