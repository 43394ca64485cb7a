"""Candidates against the true crystals of their conditions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.comparison.matching import NO_MATCH, MatchResult
from crystalicl_jobflow.comparison.polymorphs import match_polymorphs
from crystalicl_jobflow.evaluation.structure_prediction import (
    SAMPLES,
    SampleMatch,
    best_rms,
    compare_samples,
    passes_gate,
    rates_at,
)
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.utils.progress import Progress

References = Mapping[Any, Structure] | Sequence[Structure | None]
"""True structures by candidate id or request index, or one (or None) per candidate."""


def match_rates(
    candidates: Sequence[Candidate],
    references: References,
    *,
    matches: Sequence[MatchResult | None] | None = None,
    n: Iterable[int] | None = None,
    metre: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[dict[str, Rate], dict[str, float | None], dict[int, dict[str, Any]]]:
    """Compare candidates with the true crystals of their conditions.

    Parameters
    ----------
    candidates
        Validated candidates. Those of one request and condition are samples of one another.
    references
        True structures, see :data:`References`.
    matches
        Comparisons that were made before, one per candidate.
    n
        Numbers of samples at which to report; by default 1, and 20 where there are so many.
    metre
        Whether to look for all true crystals of a candidate's composition, too.
    processes
        Processes for the comparisons.
    progress
        Called with (compared, to be compared).

    Returns
    -------
    tuple
        Rates, figures, and columns by place of the candidate, for those with a reference.

    Raises
    ------
    ValueError
        If a sequence of references is not as long as the candidates.
    """
    truths = aligned(candidates, references)
    places = [i for i, truth in enumerate(truths) if truth is not None]
    known = [truth for truth in truths if truth is not None]
    keys = _keys([candidates[i] for i in places])
    compared: dict[tuple[int, int], float | None] = {}
    if matches is None:
        rows, compared = compare_samples(
            [candidates[i] for i in places],
            known,
            keys=keys,
            processes=processes,
            progress=progress,
        )
    else:
        rows = [
            SampleMatch(
                key=key,
                sample=sample,
                parsed=candidates[i].parsed,
                valid=passes_gate(candidates[i]),
                match=matches[i] or NO_MATCH,
            )
            for i, (key, sample) in zip(places, keys, strict=True)
        ]
        compared = {(at, id(known[at])): row.match.rms for at, row in enumerate(rows) if row.parsed}
    rates, metrics = _sums(rows)
    most = max((row.sample + 1 for row in rows), default=0)
    for count in sorted(n if n is not None else {1, *(s for s in SAMPLES if s <= most)}):
        more_rates, more_metrics = rates_at(count, rows, {row.key for row in rows})
        rates.update(more_rates)
        metrics.update(more_metrics)
    columns = {
        i: {"match": r.match.matched, "match_reduced": r.match.reduced, "rms": r.match.rms}
        for i, r in zip(places, rows, strict=True)
    }
    if metre:
        distinct = list({id(truth): truth for truth in known}.values())
        found = match_polymorphs(
            [candidates[i].structure for i in places], distinct, compared=compared,
            processes=processes,
        )  # fmt: skip
        rates.update(found.rates)
        metrics["num_polymorphs"] = float(found.num_polymorphs)
    return rates, metrics, columns


def aligned(candidates: Sequence[Candidate], references: References) -> list[Structure | None]:
    """Return the true crystal of each candidate, or None.

    Raises
    ------
    ValueError
        If a sequence of references is not as long as the candidates.
    """
    if isinstance(references, Mapping):
        return [
            references.get(c.candidate_id, references.get(c.provenance.request_index))
            for c in candidates
        ]
    if len(references) != len(candidates):
        raise ValueError(
            f"{len(references)} references for {len(candidates)} candidates:"
            " a sequence has one (or None) per candidate"
        )
    return list(references)


def _keys(candidates: Sequence[Candidate]) -> list[tuple[Hashable, int]]:
    """Return each candidate's condition and its place among the samples of that condition."""
    groups: dict[tuple[int, str], list[int]] = {}
    for at, candidate in enumerate(candidates):
        key = (candidate.provenance.request_index, candidate.condition.model_dump_json())
        groups.setdefault(key, []).append(at)
    keys: dict[int, tuple[Hashable, int]] = {}
    for key, members in groups.items():
        members.sort(key=lambda at: candidates[at].provenance.sample_index)
        keys.update({at: (key, sample) for sample, at in enumerate(members)})
    return [keys[at] for at in range(len(candidates))]


def _sums(rows: Sequence[SampleMatch]) -> tuple[dict[str, Rate], dict[str, float | None]]:
    """Return the rates over all samples, and over conditions with all their samples."""
    rates: dict[str, Rate] = {}
    metrics: dict[str, float | None] = {}
    keys = {row.key for row in rows}
    for suffix, gated in (("", False), ("_valid", True)):

        def rms_of(row: SampleMatch, gated: bool = gated) -> float | None:
            return row.match.rms if row.valid or not gated else None

        single = [rms for rms in map(rms_of, rows) if rms is not None]
        best = best_rms(rows, keys, rms_of=rms_of)
        lowest = [rms for rms in best.values() if rms is not None]
        rates[f"match{suffix}"] = Rate.from_counts(len(single), len(rows))
        rates[f"match_any{suffix}"] = Rate.from_counts(len(lowest), len(best))
        metrics[f"rms{suffix}"] = sum(single) / len(single) if single else None
        metrics[f"rms_any{suffix}"] = sum(lowest) / len(lowest) if lowest else None
    return rates, metrics
