"""New crystals of chemical systems by element substitution: the baseline of discovery."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from pymatgen.core import Composition

from crystalicl_jobflow.generation.substitution import (
    Proposal,
    SubstitutionGenerator,
    propose,
)
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.retrieval.criteria import excluded
from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    Condition,
    Generation,
    SamplingParams,
)
from crystalicl_jobflow.text.formats import crystal_text
from crystalicl_jobflow.validation.validate import build_candidates

MOST_TEMPLATES = 100
"""Known crystals drawn for a chemical system until one gives a formula and group that is new."""


def substituted(
    systems: Sequence[str], pool: DemonstrationIndex, *, seed: int = 0
) -> list[Candidate]:
    """Put the elements of chemical systems into known crystals: the baseline of discovery.

    For each system a known crystal of as many elements is drawn, and its elements are replaced by
    the most similar assignment (`propose`). A crystal whose formula and space group the pool has
    is drawn again, up to `MOST_TEMPLATES` times.

    Parameters
    ----------
    systems
        Chemical systems, e.g. ``Ca-O``.
    pool
        Known crystals.
    seed
        Seed of the draws; those of a system depend on its place alone.

    Returns
    -------
    list of Candidate
        One per system; one without a crystal says why.
    """
    vocabulary = pool.columns.chemsys.vocabulary
    sizes = np.array([len(system.split("-")) for system in vocabulary])
    counts = sizes[pool.columns.chemsys.codes]
    generations = []
    for place, system in enumerate(systems):
        elements = system.split("-")
        rows = np.flatnonzero(counts == len(elements))
        draw = np.random.default_rng([seed, place])
        proposal = None
        for _ in range(MOST_TEMPLATES if len(rows) else 0):
            proposal = _new_crystal(pool, int(draw.choice(rows)), elements)
            if proposal is not None:
                break
        generations.append(_generation(place, system, proposal, seed))
    return build_candidates(generations)


def _new_crystal(pool: DemonstrationIndex, row: int, elements: Sequence[str]) -> Proposal | None:
    """Return the most similar replacement of a known crystal's elements, if it is not known."""
    template = pool.demonstration(row)
    amounts = list(Composition(template.formula).get_el_amt_dict().values())
    formulas = sorted(
        {
            Composition(dict(zip(order, amounts, strict=True))).reduced_formula
            for order in permutations(elements)
        }
    )
    proposals = [
        (proposal.distance, formula, proposal)
        for formula in formulas
        for proposal in propose([template], formula, assignments=1)
    ]
    if not proposals:
        return None
    _, formula, best = min(proposals, key=lambda item: item[:2])
    asked = Condition(formula=formula, space_group=template.space_group)
    return None if len(excluded(pool, asked, ())) else best


def _generation(place: int, system: str, proposal: Proposal | None, seed: int) -> Generation:
    base: dict[str, Any] = {"request_index": place, "sample_index": 0, "num_tokens": 0}
    if proposal is None:
        why = "The pool has no crystal of so many elements that gives a new one."
        completion = Completion(**base, text="", finished=False, error=why)
    else:
        completion = Completion(
            **base,
            text=response_text(crystal_text(proposal.crystal), template="crystalicl"),
            finished=True,
            template_id=proposal.template_id,
            template_rank=0,
            template_distance=proposal.distance,
        )
    return Generation(
        condition=Condition(chemsys=system),
        prompt="",
        sampling=SamplingParams(seed=seed),
        model=SubstitutionGenerator().info,
        completions=[completion],
    )
