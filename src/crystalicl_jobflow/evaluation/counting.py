"""Other papers' ways of counting, beside ours: each under its own name, with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.comparison.matching import match_many
from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.evaluation.metrics import Part
from crystalicl_jobflow.evaluation.structure_prediction import passes_gate
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.thresholds import MATCH_STOL
from crystalicl_jobflow.validation.composition import OXIDATION_SETS, composition_valid
from crystalicl_jobflow.validation.summary import find_space_group

COUNTING_RULES: dict[str, str] = {
    "unique-alone": "unique_alone: crystals that no other one of the set is the same as /"
    " samples, as PLaID counts (Xu et al. 2025); `unique` counts one of each group, as"
    " MatterGen does (Zeni et al. 2025)",
    "gate-truth": "match_valid_truth: matches of true crystals that pass CDVAE's checks /"
    " samples with a true crystal",
    "gate-both": "match_valid_both: matches where prediction and true crystal pass CDVAE's"
    " checks / samples with a true crystal, as DiffCSP's code counts (Jiao et al. 2023)",
    "metre": "metre: reference crystals that any sample of their formula matches / reference"
    " crystals, every one counted, also polymorphs and doubled ones; metre_rms: mean of the"
    " lowest RMS, matches that fail counted as stol, which its authors call cRMSE; matches are"
    " those of primitive cells (Martirossyan et al., All that structure matches does not"
    " glitter, arXiv:2509.12178, 2025, who draw as many samples as there are references)",
    "symprec=N": "space_group_at_N, symmetry_adherence_at_N: group found at symprec N Å is the one"
    " asked for (or else declared) / candidates with one; PLaID takes 0.01, the Materials Project"
    " 0.1",
    "smact=SET": "composition_valid_SET: charge-neutral with another of SMACT's sets of oxidation"
    f" states ({', '.join(OXIDATION_SETS)}) / candidates",
}
"""Rule → the rates that it adds, what they divide, and whose way it is."""


def check_rules(rules: Sequence[str], *, truths: bool, reference: bool) -> None:
    """Refuse rules that are not known, or lack what they need.

    Parameters
    ----------
    rules
        Names as in `COUNTING_RULES`.
    truths, reference
        Whether true crystals and a reference set are there.

    Raises
    ------
    ValueError
        One line.
    """
    for rule in rules:
        name, _, value = rule.partition("=")
        form = name if not value else f"{name}={'N' if name == 'symprec' else 'SET'}"
        if form not in COUNTING_RULES:
            raise ValueError(f"no counting rule {rule!r}; there are {', '.join(COUNTING_RULES)}")
        if name == "symprec" and not _positive(value):
            raise ValueError(f"{rule}: symprec is a length in Å above 0")
        if name == "smact" and value not in OXIDATION_SETS:
            raise ValueError(f"{rule}: SMACT's sets are {', '.join(OXIDATION_SETS)}")
        if name.startswith("gate-") and not truths:
            raise ValueError(f"{rule} needs the true crystals of the conditions")
        if name == "metre" and not (truths or reference):
            raise ValueError(f"{rule} needs true crystals or a reference set")


def counting_part(
    candidates: Sequence[Candidate],
    rules: Sequence[str],
    results: Sequence[Mapping[str, Any]],
    *,
    truths: Sequence[Structure | None] | None = None,
    reference: Sequence[Structure] | None = None,
    processes: int = 1,
) -> Part:
    """Count by other rules.

    Parameters
    ----------
    candidates
        All candidates.
    rules
        Names as in `COUNTING_RULES`.
    results
        What the evaluation found of each candidate: ``match``, ``unique``, ``duplicate_of``.
    truths
        True crystal of each candidate; None for none.
    reference
        Reference set; the distinct documents of the truths by default.
    processes
        Worker processes.

    Raises
    ------
    ValueError
        If a rule is not known, or lacks what it needs; one line.
    """
    check_rules(rules, truths=truths is not None, reference=reference is not None)
    part = Part()
    for rule in rules:
        name, _, value = rule.partition("=")
        if name == "unique-alone":
            part.rates["unique_alone"] = _alone(candidates, results)
        elif name == "symprec":
            part.rates.update(_groups_at(candidates, float(value), value))
        elif name == "smact":
            valid = [_composition_valid(candidate, value) for candidate in candidates]
            part.rates[f"composition_valid_{value}"] = Rate.from_counts(sum(valid), len(valid))
        elif name == "metre":
            known = reference if reference is not None else _distinct(truths or ())
            _metre(part, candidates, known, processes)
        else:
            assert truths is not None
            both = name == "gate-both"
            part.rates[f"match_valid_{name.removeprefix('gate-')}"] = _gated(
                candidates, results, truths, both=both
            )
    part.tolerances["counting_rules"] = ", ".join(rules)
    return part


def rule_meaning(rate: str) -> str | None:
    """Return what a rate of a counting rule divides by what; None for other rates."""
    for text in COUNTING_RULES.values():
        names, _, meaning = text.partition(": ")
        for name in names.split(", "):
            stem = name.removesuffix("_N").removesuffix("_SET")
            if rate == name or (stem != name and rate.startswith(f"{stem}_")):
                return meaning
    return None


def _alone(candidates: Sequence[Candidate], results: Sequence[Mapping[str, Any]]) -> Rate:
    """Return how many crystals have no twin; the groups are those of ``unique``."""
    if not any("unique" in row for row in results):
        raise ValueError("unique-alone needs the comparison of candidates with each other")
    twins = {row["duplicate_of"] for row in results if row.get("duplicate_of") is not None}
    alone = sum(
        row.get("unique") is True and candidate.candidate_id not in twins
        for candidate, row in zip(candidates, results, strict=True)
    )
    return Rate.from_counts(alone, len(candidates))


def _groups_at(candidates: Sequence[Candidate], symprec: float, text: str) -> dict[str, Rate]:
    asked: list[bool] = []
    adherent: list[bool] = []
    for candidate in candidates:
        wanted = candidate.condition.space_group
        groups = wanted if isinstance(wanted, tuple) else () if wanted is None else (wanted,)
        declared = candidate.declared_space_group
        if not groups and declared is None:
            continue
        found = None
        if candidate.structure is not None:
            found = find_space_group(candidate.structure, symprec=symprec)[0]
        if groups:
            asked.append(found in groups)
        adherent.append(found in (groups or (declared,)))
    return {
        f"space_group_at_{text}": Rate.from_counts(sum(asked), len(asked)),
        f"symmetry_adherence_at_{text}": Rate.from_counts(sum(adherent), len(adherent)),
    }


def _composition_valid(candidate: Candidate, states: str) -> bool:
    if candidate.structure is None:
        return False
    composition = crystal_composition(candidate.structure)
    return composition_valid(composition, oxidation_states_set=states)


def _gated(
    candidates: Sequence[Candidate],
    results: Sequence[Mapping[str, Any]],
    truths: Sequence[Structure | None],
    *,
    both: bool,
) -> Rate:
    passes: dict[int, bool] = {}
    count = of = 0
    for candidate, row, truth in zip(candidates, results, truths, strict=True):
        if truth is None:
            continue
        of += 1
        if id(truth) not in passes:
            passes[id(truth)] = passes_gate(truth)
        count += bool(
            row.get("match") and passes[id(truth)] and (not both or passes_gate(candidate))
        )
    return Rate.from_counts(count, of)


def _metre(
    part: Part, candidates: Sequence[Candidate], reference: Sequence[Structure], processes: int
) -> None:
    samples: dict[str, list[Structure]] = {}
    for candidate in candidates:
        if candidate.structure is not None:
            formula = crystal_composition(candidate.structure).reduced_formula
            samples.setdefault(formula, []).append(candidate.structure)
    pairs: list[tuple[Structure, Structure]] = []
    places: list[int] = []
    for place, known in enumerate(reference):
        for sample in samples.get(crystal_composition(known).reduced_formula, ()):
            pairs.append((sample, known))
            places.append(place)
    best: dict[int, float] = {}
    for place, answer in zip(places, match_many(pairs, processes=processes), strict=True):
        if answer.rms is not None and answer.reduced:  # as the authors' code has the matcher
            best[place] = min(answer.rms, best.get(place, math.inf))
    part.rates["metre"] = Rate.from_counts(len(best), len(reference))
    lowest = [best.get(place, MATCH_STOL) for place in range(len(reference))]
    part.metrics["metre_rms"] = sum(lowest) / len(lowest) if lowest else None


def _distinct(truths: Sequence[Structure | None]) -> list[Structure]:
    """Return the true crystals, each document once however many samples it has."""
    return list({id(truth): truth for truth in truths if truth is not None}.values())


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False
