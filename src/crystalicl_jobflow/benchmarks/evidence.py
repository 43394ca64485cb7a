"""Fit the weights of the ranking by evidence on finished runs of structure prediction."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.benchmarks.run_folder import CANDIDATES, METRICS, STRUCTURES
from crystalicl_jobflow.comparison.novelty import unique_crystals
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.selection.evidence import (
    FEATURES,
    Evidence,
    count_drawn,
    evidence_features,
    softmax,
)
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress

PENALTY = 2.0
"""Weight of the squared weights (of features of unit variance) beside the log-likelihood: a normal
prior of standard deviation 1/2, which a hundred conditions outweigh and twenty do not."""

MET_WEIGHT = 5.0
"""Weight of a met condition where every crystal of the runs meets its own (under a constraint)."""

LEAST_SPREAD = 0.01
"""Standard deviation below which a feature is not scaled to unit variance."""

FOLDS = 5
"""Parts of the cross-validation."""

_OF_ENERGY = ("energy", "no_energy")


@dataclass(frozen=True)
class Case:
    """The different crystals of one condition, and which of them are right.

    Parameters
    ----------
    crystals
        What speaks for each.
    right
        Whether each matches the true crystal, shape (crystals,).
    drawn
        Texts that language models wrote for the condition.
    """

    crystals: list[Evidence]
    right: NDArray[np.bool_]
    drawn: int

    def features(self) -> NDArray[np.float64]:
        """Return the features of the crystals, shape (crystals, features)."""
        return evidence_features(self.crystals, drawn=self.drawn)


def read_cases(
    folder: str | Path, *, processes: int = 1, progress: Progress | None = None
) -> list[Case]:
    """Read the cases of a finished run of ``crystalicl benchmark prediction``.

    Parameters
    ----------
    folder
        The run's folder, with its candidates and their comparisons.
    processes
        Processes that tell crystals apart.
    progress
        Called with (conditions done, of).

    Raises
    ------
    ValueError
        If the folder holds no finished run; one line.
    """
    from crystalicl_jobflow.candidates.files import read_candidates

    place = Path(folder)
    for name in (METRICS, CANDIDATES, STRUCTURES):
        if not (place / name).is_file():
            raise ValueError(f"{place} holds no finished run: {name} is missing")
    candidates = read_candidates(place / CANDIDATES)
    with (place / STRUCTURES).open(encoding="utf-8", newline="") as file:
        matched = [row.get("match") == "True" for row in csv.DictReader(file)]
    if len(matched) != len(candidates):
        raise ValueError(f"{place}: {len(candidates)} candidates, {len(matched)} comparisons")
    by_request: dict[int, list[tuple[Candidate, bool]]] = {}
    for candidate, match in zip(candidates, matched, strict=True):
        by_request.setdefault(candidate.provenance.request_index, []).append((candidate, match))
    return map_list(
        _case,
        list(by_request.values()),
        processes=processes,
        progress=progress,
        on_death=_case_died,
    )


def _case(samples: Sequence[tuple[Candidate, bool]]) -> Case:
    crystals = [(item, right) for item, right in samples if item.structure is not None]
    groups = unique_crystals([item.structure for item, _ in crystals])
    members: dict[int | None, list[tuple[Candidate, bool]]] = {}
    for group, sample in zip(groups, crystals, strict=True):
        members.setdefault(group, []).append(sample)
    return Case(
        [Evidence.gather([item for item, _ in one]) for one in members.values()],
        np.array([any(right for _, right in one) for one in members.values()], dtype=bool),
        sum(count_drawn([item for item, _ in samples]).values()),
    )


def _case_died(samples: Sequence[tuple[Candidate, bool]]) -> Case:
    return Case([], np.zeros(0, dtype=bool), len(samples))


def runs_origin(folders: Sequence[str | Path]) -> dict[str, Any]:
    """Return what the runs were of, for the record: data sets, seeds, model, pool."""
    runs = []
    for folder in folders:
        metrics = json.loads((Path(folder) / METRICS).read_text(encoding="utf-8"))
        kept = ("dataset", "dataset_sha256", "condition", "seed", "samples", "shots", "strategy")
        run = {name: metrics.get(name) for name in (*kept, "num_conditions", "identity")}
        pool = metrics.get("pool")
        runs.append({**run, "pool": None if pool is None else Path(pool).name})
    return {"method": "conditional logit with a case for none of them, L2 penalty", "runs": runs}


def fit_evidence(
    cases: Sequence[Case], *, seed: int = 0, penalty: float = PENALTY
) -> dict[str, Any]:
    """Fit the weights, with and without energies, and measure them by cross-validation.

    Parameters
    ----------
    cases
        Conditions whose true crystals are known.
    seed
        Seed of the division into parts for the cross-validation.
    penalty
        Weight of the squared weights.

    Returns
    -------
    dict
        ``without_energy`` and ``with_energy``: weights by feature (the latter fitted on the
        conditions whose crystals have energies, as the former where none has);
        ``measured``: shares of the conditions whose first crystal is right.

    Raises
    ------
    ValueError
        If there are fewer conditions than parts of the cross-validation; one line.
    """
    cases = [case for case in cases if case.crystals]
    if len(cases) < FOLDS:
        raise ValueError(f"{len(cases)} conditions with crystals are too few to fit weights")
    plain = [name for name in FEATURES if name not in _OF_ENERGY]
    with_energies = [
        case for case in cases if any(item.energy is not None for item in case.crystals)
    ]
    measured: dict[str, Any] = {
        "conditions": len(cases),
        "a right crystal among all": _share(case.right.any() for case in cases),
        "first by evidence": _cross_validated(cases, plain, seed=seed, penalty=penalty),
        **{name: _first_by(cases, column, sign) for name, (column, sign) in _SINGLE.items()},
    }
    weights = {"without_energy": _fit(cases, plain, penalty=penalty)}
    if len(with_energies) >= FOLDS:
        weights["with_energy"] = _fit(with_energies, FEATURES, penalty=penalty)
        measured |= {
            "conditions with energies": len(with_energies),
            "first by evidence with energies": _cross_validated(
                with_energies, FEATURES, seed=seed, penalty=penalty
            ),
            "first by evidence, the same without": _cross_validated(
                with_energies, plain, seed=seed, penalty=penalty
            ),
            "first by energy": _first_by(with_energies, "energy", -1),
        }
    else:
        weights["with_energy"] = dict(weights["without_energy"])
    return {**weights, "measured": measured}


_SINGLE = {
    "first by draws": ("draws", 1),
    "first by log-probability": ("log_prob", 1),
    "first by template": ("first_template", 1),
}


def _fit(cases: Sequence[Case], names: Sequence[str], *, penalty: float) -> dict[str, float]:
    """Return the weights that make the right crystals most probable."""
    from scipy.optimize import minimize

    columns = [FEATURES.index(name) for name in names]
    tables = [case.features()[:, columns] for case in cases]
    together = np.concatenate(tables)
    spread = together.std(axis=0)
    scale = np.where(spread > LEAST_SPREAD, spread, 1.0)  # what hardly differs is left as it is
    scaled = [table / scale for table in tables]
    scaled_cases = list(zip(scaled, (case.right for case in cases), strict=True))

    def loss(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, none = vector[:-1], float(vector[-1])
        total = 0.0
        gradient = np.zeros_like(vector)
        for table, right in scaled_cases:
            shares = softmax(table @ weights, none=none)
            # where none is right, the further case is
            true = np.where(right, shares, 0.0)
            rest = 1.0 - shares.sum()
            reached = true.sum() if right.any() else rest
            total -= np.log(max(reached, 1e-300))
            wanted = true / max(reached, 1e-300) if right.any() else np.zeros_like(shares)
            gradient[:-1] += table.T @ (shares - wanted)
            gradient[-1] += rest - (0.0 if right.any() else 1.0)
        count = len(scaled_cases)
        value = (total + penalty * float(weights @ weights)) / count
        gradient[:-1] += 2 * penalty * weights
        gradient /= count
        return value, gradient

    start = np.zeros(len(names) + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights = dict(zip((*names, "none"), (*(found[:-1] / scale), found[-1]), strict=True))
    met = names.index("met")
    if spread[met] <= LEAST_SPREAD:  # nothing is learned of it; the probabilities stay
        weights["none"] += (MET_WEIGHT - weights["met"]) * together[:, met].mean()
        weights["met"] = MET_WEIGHT
    return {name: round(float(value), 4) for name, value in weights.items()}


def _cross_validated(
    cases: Sequence[Case], names: Sequence[str], *, seed: int, penalty: float
) -> float:
    """Return the share of conditions whose first crystal is right, with weights of the others."""
    parts = np.random.default_rng(seed).permutation(len(cases)) % FOLDS
    right = 0
    for part in range(FOLDS):
        weights = _fit(
            [case for case, at in zip(cases, parts, strict=True) if at != part],
            names,
            penalty=penalty,
        )
        held_out = [case for case, at in zip(cases, parts, strict=True) if at == part]
        right += sum(_first_is_right(case, weights) for case in held_out)
    return round(right / len(cases), 4)


def _first_is_right(case: Case, weights: Mapping[str, float]) -> bool:
    vector = np.array([weights.get(name, 0.0) for name in FEATURES])
    return bool(case.right[int(np.argmax(case.features() @ vector))])


def _first_by(cases: Sequence[Case], name: str, sign: int) -> float:
    return _share(
        case.right[int(np.argmax(sign * case.features()[:, FEATURES.index(name)]))]
        for case in cases
    )


def _share(flags: Any) -> float:
    found = [bool(flag) for flag in flags]
    return round(sum(found) / len(found), 4)
