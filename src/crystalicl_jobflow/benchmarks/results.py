"""What a benchmark measured: the result of a run, its speed, its match rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.schemas import Candidate, Evaluation
from crystalicl_jobflow.schemas.benchmark import Comparison, SamplePart


@dataclass
class BenchmarkResult:
    """What a benchmark measured.

    Parameters
    ----------
    evaluation
        Rates with their denominators, against the data set's true crystals.
    candidates
        One per condition and sample.
    material_ids
        The data set's rows that were asked for, in order.
    failed
        Id and reason of the drawn rows that could not be read.
    impossible
        Id and reason of the rows that no text can meet under the constraint; they were
        written freely.
    seconds
        Wall time of each stage; of a resumed run, of all its parts.
    parts
        The run's parts, as they were written.
    truths
        Place of a condition → the true crystal.
    """

    evaluation: Evaluation
    candidates: list[Candidate]
    material_ids: list[str]
    failed: list[tuple[str, str]] = field(default_factory=list)
    impossible: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    parts: list[SamplePart] = field(default_factory=list)
    truths: dict[int, Structure] = field(default_factory=dict)

    @property
    def with_template(self) -> set[int]:
        """Places of the conditions for which the pool has a crystal of their structure's kind."""
        return {place for part in self.parts for place in part.with_template}

    @property
    def in_pool(self) -> dict[int, bool]:
        """Place of a condition → whether the pool has a crystal of its formula and group."""
        return {place: held for part in self.parts for place, held in part.in_pool.items()}

    @property
    def speed(self) -> dict[str, float | None]:
        """Tokens, draws and crystals per second of writing, loading not counted.

        ``tokens`` are those of the texts that were kept, ``tokens_drawn`` and ``draws`` all,
        also those of texts that were drawn again or were less probable.
        """
        seconds = self.seconds.get("generate", 0.0)
        known = [candidate.provenance for candidate in self.candidates]
        tokens = sum(item.num_tokens for item in known)
        tokens_drawn = sum(item.tokens_drawn or item.num_tokens for item in known)
        draws = sum(item.draws or item.attempts for item in known)
        crystals = sum(candidate.parsed for candidate in self.candidates)

        def per_second(count: int) -> float | None:
            return round(count / seconds, 3) if seconds else None

        return {
            "seconds": round(seconds, 3),
            "tokens": tokens,
            "tokens_drawn": tokens_drawn,
            "draws": draws,
            "tokens_per_second": per_second(tokens),
            "tokens_drawn_per_second": per_second(tokens_drawn),
            "draws_per_second": per_second(draws),
            "crystals_per_second": per_second(crystals),
        }


def prediction_rates(
    candidates: Sequence[Candidate],
    comparisons: Sequence[Comparison | None],
    n: int,
    *,
    places: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return match rate and RMS with 1, 2, … n samples of each condition.

    Parameters
    ----------
    candidates
        The samples, named by ``provenance.request_index`` and ``sample_index``.
    comparisons
        Each one beside the true crystal; those without one do not count.
    n
        Samples of a condition, at most.
    places
        Which sample of its condition each one counts as, from 0; its ``sample_index`` by
        default. See :func:`~crystalicl_jobflow.selection.select.ranked_places`.

    Returns
    -------
    list of dict
        For each number of samples k: ``n``; ``conditions``, those with a true crystal;
        ``matched``, those with a match among the first k samples; ``match_rate``;
        ``rms``, the mean over the matched ones of the lowest RMS. The same with the
        suffix ``_valid`` for samples that pass CDVAE's gate (distance, volume,
        composition), ``_reduced`` for matches that the matcher's reduction to primitive
        cells finds.
    """
    kinds: Mapping[str, Callable[[Candidate, Comparison], bool]] = {
        "": lambda _candidate, found: found.matched,
        "_valid": lambda candidate, found: (
            found.matched
            and bool(candidate.checks.structure_valid and candidate.checks.composition_valid)
        ),
        "_reduced": lambda _candidate, found: found.matched and found.reduced,
    }
    best: dict[str, list[dict[int, float]]] = {kind: [{} for _ in range(n)] for kind in kinds}
    conditions: set[int] = set()
    if places is None:
        places = [candidate.provenance.sample_index for candidate in candidates]
    for candidate, found, place in zip(candidates, comparisons, places, strict=True):
        if found is None:
            continue
        asked = candidate.provenance.request_index
        conditions.add(asked)
        for kind, counts in kinds.items():
            if not counts(candidate, found) or found.rms is None:
                continue
            for lowest in best[kind][place:]:
                lowest[asked] = min(found.rms, lowest.get(asked, found.rms))
    rows = []
    for k in range(n):
        row: dict[str, Any] = {"n": k + 1, "conditions": len(conditions)}
        for kind in kinds:
            lowest = best[kind][k]
            row[f"matched{kind}"] = len(lowest)
            row[f"match_rate{kind}"] = len(lowest) / len(conditions) if conditions else None
            row[f"rms{kind}"] = sum(lowest.values()) / len(lowest) if lowest else None
        rows.append(row)
    return rows
