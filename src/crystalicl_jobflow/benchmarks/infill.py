"""How often a masked orbit of a known crystal is found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystalicl_jobflow.comparison.matching import UNIQUE, match_structures
from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.editing import EditError, Parent, plan_edits, write_edits
from crystalicl_jobflow.editing.edit import Loader, compare_with_parents
from crystalicl_jobflow.editing.parents import orbit_name
from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.generation.constraints.landing import landing
from crystalicl_jobflow.generation.substitution import propose
from crystalicl_jobflow.pipeline import choose_demonstrations
from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.schemas import Candidate, Retrieval, Strategy
from crystalicl_jobflow.schemas.editing import EditRequest
from crystalicl_jobflow.text import SGS, SGSCrystal, TextError
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation import build_candidates
from crystalicl_jobflow.validation.distances import min_distance

TRIED = 20
"""Random places of which the baseline takes the roomiest."""

TEMPLATES = 20
"""Pool crystals of which the baseline takes the most similar."""

BASELINES = ("substitution", "random place", "roomiest place")


@dataclass(frozen=True)
class InfillRow:
    """One crystal of which an orbit was masked.

    Parameters
    ----------
    parent_id, orbit
        The crystal, and the orbit in words.
    draws
        Whether each draw of the model is the crystal again, in their order.
    baselines
        The same for each of `BASELINES`.
    """

    parent_id: str
    orbit: str
    draws: tuple[bool, ...]
    baselines: Mapping[str, bool]


def infill_benchmark(
    parents: Sequence[Parent],
    generator: Loader,
    *,
    pool: DemonstrationIndex,
    writing: Writing,
    samples: int = 1,
    shots: int = 3,
    strategy: Strategy = "C",
    progress: Progress | None = None,
) -> list[InfillRow]:
    """Mask one orbit of each crystal, drawn at random, and fill it within the formula.

    Parameters
    ----------
    parents
        The crystals; those that cannot be edited or have a single orbit are passed over.
    generator
        Loads the model.
    pool
        Of the demonstrations and templates; crystals of a parent's own formula and group are
        never used.
    writing
        How texts are written; its seed also draws the orbits and the random places.
    samples
        Texts of each crystal.
    shots, strategy
        Demonstrations of each prompt, and how they are chosen.
    progress
        Called with (texts written, texts in all).

    Returns
    -------
    list of InfillRow
        One for each crystal that could be masked. A crystal is found again where it matches its
        parent under the tolerances of novelty.
    """
    seed = writing.sampling.seed
    chosen: list[tuple[Parent, int]] = []
    retrievals: list[Retrieval] = []
    for parent in parents:
        try:
            number = len(parent.crystal.sites)
            if number < 2:
                continue
            place = int(np.random.default_rng([seed, len(chosen)]).integers(number))
            request = EditRequest.build(mask=[place + 1])
            retrievals += plan_edits(
                [parent], request, pool=pool, strategy=strategy, shots=shots, seed=seed
            )
        except EditError:
            continue
        chosen.append((parent, place))
    if not chosen:
        return []
    generations = write_edits(
        retrievals, generator, writing=writing, samples=samples, progress=progress
    )
    with_templates = choose_demonstrations(
        [item.condition for item in retrievals], pool, shots=0, seed=seed, templates=TEMPLATES
    )
    rows = []
    for number, (parent, place) in enumerate(chosen):
        found = compare_with_parents(build_candidates([generations[number]]), [parent])
        rng = np.random.default_rng([seed, number, 1])
        rows.append(
            InfillRow(
                parent.parent_id,
                orbit_name(parent.crystal.sites[place]),
                tuple(_is_parent(candidate) for candidate in found),
                {
                    "substitution": _substituted(parent, with_templates[number]),
                    "random place": _at_random(parent, place, rng, 1),
                    "roomiest place": _at_random(parent, place, rng, TRIED),
                },
            )
        )
    return rows


def _is_parent(candidate: Candidate) -> bool:
    edit = candidate.provenance.edit
    return edit is not None and bool(edit.matches_parent)


def _matches(crystal: SGSCrystal, parent: Parent) -> bool:
    assert parent.structure is not None
    try:
        return match_structures(SGS.build(crystal), parent.structure, tolerances=UNIQUE).matched
    except TextError:
        return False


def _substituted(parent: Parent, retrieval: Retrieval) -> bool:
    """Return whether the most similar pool crystal, with these elements, is the parent."""
    proposals = propose(retrieval.templates, parent.formula)
    return bool(proposals) and _matches(proposals[0].crystal, parent)


def _at_random(parent: Parent, place: int, rng: np.random.Generator, tried: int) -> bool:
    """Return whether the orbit, at the roomiest of random places for its atoms, is the parent."""
    crystal = parent.crystal
    number = crystal.space_group_number
    masked = crystal.sites[place]
    positions = wyckoff.wyckoff_positions(number)
    others = [site for i, site in enumerate(crystal.sites) if i != place]
    table = landing(number)
    indices = table.rows[table.row_ids]
    fixed = {site.wyckoff_letter for site in others}
    free = [
        points
        for index, position in enumerate(positions)
        if position.multiplicity == masked.multiplicity
        and len(points := np.argwhere(indices == index))
        and not (len(points) <= position.multiplicity and position.letter in fixed)
    ]
    best, room = None, -1.0
    for _ in range(tried):
        points = free[rng.integers(len(free))]
        x, y, z = (points[rng.integers(len(points))] / 100).tolist()
        site = replace(masked, frac_coords=(x, y, z), wyckoff_letter=None, multiplicity=None)
        sites = [*others[:place], site, *others[place:]]
        try:
            made = SGS.parse(SGS.format(replace(crystal, sites=tuple(sites))))
            distance = min_distance(SGS.build(made))
        except TextError:
            continue
        if distance > room:
            best, room = made, distance
    return best is not None and _matches(best, parent)
