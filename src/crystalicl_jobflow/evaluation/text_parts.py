"""Parts of an evaluation about texts: CrystaLLM's and CrysText's validity, CrysText's reward."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation.match_rates import References, aligned
from crystalicl_jobflow.evaluation.metrics import Part
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.thresholds import BOND_TOLERANCE
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import StageProgress
from crystalicl_jobflow.validation.cif_validity import CifValidity, cif_validity
from crystalicl_jobflow.validation.reward import crystext_reward

logger = logging.getLogger(__name__)


def text_part(
    candidates: Sequence[Candidate], *, processes: int = 1, progress: StageProgress
) -> Part:
    """CrystaLLM's validity of CIF texts and CrysText's of all crystals.

    Parameters
    ----------
    candidates
        All candidates.
    processes
        Worker processes.
    progress
        Called with (stage, done, of).
    """
    part = Part()
    written = [at for at, c in enumerate(candidates) if c.text_format == "cif"]
    answers = map_list(
        _cif_validity,
        [(candidates[at].text, candidates[at].structure) for at in written],
        processes=processes,
        progress=lambda done, of: progress("CIF validity", done, of),
        on_death=_cif_died,
    )
    for at, found in zip(written, answers, strict=True):
        part.columns[at] = {
            "formula_consistent": found.formula_consistent,
            "multiplicity_consistent": found.multiplicity_consistent,
            "space_group_consistent": found.space_group_consistent,
            "bond_length_score": found.bond_length_score,
            "bonds_reasonable": found.bonds_reasonable,
            "crystallm_valid": found.valid,
        }
    if written:
        names = [name for name in part.columns[written[0]] if name != "bond_length_score"]
        for name in names:
            count = sum(bool(part.columns[at][name]) for at in written)
            part.rates[name] = Rate.from_counts(count, len(written))
        scores = [part.columns[at]["bond_length_score"] for at in written]
        known = [score for score in scores if score is not None]
        part.metrics["bond_length_score"] = sum(known) / len(known) if known else None
        part.tolerances["bond_length_tolerance"] = BOND_TOLERANCE
    for at, candidate in enumerate(candidates):
        # the checks of the candidate are CrysText's, too: no need to make them again
        valid = bool(candidate.checks.structure_valid and candidate.space_group is not None)
        part.columns.setdefault(at, {})["crystext_valid"] = valid
    count = sum(part.columns[at]["crystext_valid"] for at in range(len(candidates)))
    part.rates["crystext_valid"] = Rate.from_counts(count, len(candidates))
    return part


def reward_part(
    candidates: Sequence[Candidate],
    references: References | None,
    *,
    processes: int = 1,
    progress: StageProgress,
) -> Part:
    """CrysText-RL's reward, where the condition has a formula or the true crystal is known.

    Parameters
    ----------
    candidates
        All candidates.
    references
        True crystals by candidate or condition; None where there are none.
    processes
        Worker processes.
    progress
        Called with (stage, done, of).
    """
    truths = aligned(candidates, references) if references is not None else [None] * len(candidates)
    judged = [
        at
        for at, (candidate, truth) in enumerate(zip(candidates, truths, strict=True))
        if candidate.condition.formula is not None or truth is not None
    ]
    totals = map_list(
        _reward,
        [(candidates[at].structure, candidates[at].condition.formula, truths[at]) for at in judged],
        processes=processes,
        progress=lambda done, of: progress("Reward", done, of),
        on_death=_reward_died,
    )
    return Part(
        metrics={"crystext_reward": math.fsum(totals) / len(totals) if totals else None},
        columns={at: {"crystext_reward": total} for at, total in zip(judged, totals, strict=True)},
    )


def _cif_validity(task: tuple[str, Structure | None]) -> CifValidity:
    text, structure = task
    return CifValidity(False) if structure is None else cif_validity(text, structure=structure)


def _cif_died(task: tuple[str, Structure | None]) -> CifValidity:
    logger.warning("%s: the process that checked a CIF ended; not valid", _name(task[1]))
    return CifValidity(False)


def _reward_died(task: tuple[Structure | None, str | None, Structure | None]) -> float:
    logger.warning("%s: the process that rewarded a crystal ended; penalty", _name(task[0]))
    return crystext_reward(None).total


def _name(structure: Structure | None) -> str:
    return "a text" if structure is None else str(structure.formula)


def _reward(task: tuple[Structure | None, str | None, Structure | None]) -> float:
    structure, formula, target = task
    return crystext_reward(structure, formula=formula, target=target).total
