"""The optional parts of an evaluation: each gives rates, figures and columns of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.comparison.polymorphs import match_polymorphs
from crystalicl_jobflow.crystal.formula import crystal_composition, whole_composition
from crystalicl_jobflow.schemas import Candidate, Rate
from crystalicl_jobflow.thresholds import (
    METASTABLE_E_ABOVE_HULL,
    STABLE_E_ABOVE_HULL,
)
from crystalicl_jobflow.utils.progress import StageProgress

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.energies.assess import EnergyAssessment


PART_MEANINGS: dict[str, str] = {
    "crystallm_valid": "all of CrystaLLM's checks are met / candidates written as CIF",
    "formula_consistent": "the text's formulas agree / candidates written as CIF",
    "multiplicity_consistent": "multiplicities add up to the formula / candidates written as CIF",
    "space_group_consistent": "the group declared is the one found / candidates written as CIF",
    "bonds_reasonable": "every bond length is reasonable / candidates written as CIF",
    "crystext_valid": "CrysText: distances, volume and a group found / candidates",
    "coverage_recall": "reference crystals covered by a generated one / reference crystals",
    "coverage_precision": "candidates that cover a reference crystal / candidates",
    "coverage_recall_separate": "the same as coverage_recall, each cut-off asked of the nearest"
    " crystal by that fingerprint alone, as CDVAE's code does",
    "coverage_precision_separate": "the same as coverage_precision, likewise",
    "negative_formation_energy": "formation energy below 0 / candidates",
    "relaxed": "relaxation converged / candidates",
    "energy": "an energy that counts / candidates",
}
"""What each rate of the parts divides by what."""


@dataclass
class Part:
    """What one part of an evaluation adds to the whole.

    Parameters
    ----------
    rates, metrics
        As :class:`~crystalicl_jobflow.schemas.Evaluation` has them.
    columns
        Columns of the table of structures by place of the candidate.
    tolerances
        What the part's figures rest on.
    versions
        Versions of the packages that they rest on.
    """

    rates: dict[str, Rate] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    columns: dict[int, dict[str, Any]] = field(default_factory=dict)
    tolerances: dict[str, float | str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def polymorph_part(
    candidates: Sequence[Candidate], reference: CrystalData, *, processes: int = 1
) -> Part:
    """Which distinct reference crystals are matched, of the conditions' compositions.

    Where no condition has a formula, of the compositions that were generated.

    Parameters
    ----------
    candidates
        All candidates.
    reference
        The reference set.
    processes
        Worker processes.
    """
    formulas = {
        _reduced(c.condition.formula) for c in candidates if c.condition.formula is not None
    }
    wanted = formulas or {c.formula_pretty for c in candidates if c.formula_pretty is not None}
    places = [
        place
        for place, structure in enumerate(reference.structures)
        if crystal_composition(structure).reduced_formula in wanted
    ]
    found = match_polymorphs(
        [candidate.structure for candidate in candidates],
        [reference.structures[place] for place in places],
        processes=processes,
    )
    return Part(
        rates=found.rates,
        metrics={"num_polymorphs": float(found.num_polymorphs)},
        columns={
            at: {"matched_polymorph": reference.ids[places[best]]}
            for at, best in found.best.items()
        },
    )


def discovery_part(
    candidates: Sequence[Candidate],
    structures: Sequence[Structure | None],
    *,
    known: CrystalData | None,
    energy_above_hull: Sequence[float | None] | None,
    processes: int = 1,
    progress: StageProgress,
) -> Part:
    """Uniqueness, and, where possible, novelty, stability and S.U.N.

    Parameters
    ----------
    candidates
        All candidates.
    structures
        Crystals to compare, by place of the candidate; relaxed ones where there are.
    known
        Known crystals that novelty is against; None for none.
    energy_above_hull
        Energies above the hull in eV/atom by place, see
        :func:`~crystalicl_jobflow.comparison.novelty.discover`; None for none.
    processes
        Worker processes.
    progress
        Called with (stage, done, of).
    """
    from crystalicl_jobflow.comparison.novelty import discover

    found = discover(
        structures,
        references=None if known is None else known.structures,
        energy_above_hull=energy_above_hull,
        processes=processes,
        progress=lambda done, of: progress("Known crystals", done, of),
    )
    part = Part(rates=dict(found.rates))
    if energy_above_hull is not None:
        part.tolerances["stable_e_above_hull"] = STABLE_E_ABOVE_HULL
        part.tolerances["metastable_e_above_hull"] = METASTABLE_E_ABOVE_HULL
    if known is not None:
        part.tolerances["novel_against"] = f"{known.name}, {len(known)} crystals"
    for at, group in enumerate(found.groups):
        cells: dict[str, Any] = {}
        if group is not None:
            cells["unique"] = group == at
            cells["duplicate_of"] = None if group == at else candidates[group].candidate_id
        if found.novel is not None:
            cells["novel"] = bool(found.novel[at])
        for name in ("stable", "metastable", "sun", "metastable_sun"):
            values = getattr(found, name)
            if values is not None and found.judged is not None and found.judged[at]:
                cells[name] = bool(values[at])
        match = found.matched_reference[at]
        if match is not None and known is not None:
            cells["known_as"] = known.ids[match]
        part.columns[at] = cells
    return part


def coverage_part(
    candidates: Sequence[Candidate],
    reference: CrystalData,
    *,
    dataset: str,
    cache: Any = None,
    processes: int = 1,
    progress: StageProgress,
) -> Part:
    """Coverage of a reference set, with CDVAE's cut-offs of a data set.

    Parameters
    ----------
    candidates
        All candidates.
    reference
        The reference set.
    dataset
        Data set whose cut-offs apply.
    cache
        Where fingerprints are kept; None for nowhere.
    processes
        Worker processes.
    progress
        Called with (stage, done, of).
    """
    from crystalicl_jobflow.comparison.coverage import compare_coverage, coverage_cutoffs
    from crystalicl_jobflow.comparison.fingerprint_sets import crystal_fingerprints

    name = dataset.replace("-", "_")
    coverage_cutoffs(name)  # refuses an unknown name before the long work
    own = crystal_fingerprints(
        [candidate.structure for candidate in candidates],
        cache=cache,
        processes=processes,
        progress=lambda done, of: progress("Fingerprints", done, of),
    )
    theirs = crystal_fingerprints(
        reference.structures,
        cache=cache,
        processes=processes,
        progress=lambda done, of: progress("Reference fingerprints", done, of),
    )
    found = compare_coverage(own, theirs, dataset=name)
    part = Part(
        rates={
            "coverage_recall": found.recall,
            "coverage_precision": found.precision,
            "coverage_recall_separate": found.recall_separate,
            "coverage_precision_separate": found.precision_separate,
        },
        metrics={f"coverage_distance:{key}": value for key, value in found.mean_distances.items()},
        tolerances={
            "coverage_dataset": name,
            "coverage_structure_cutoff": found.structure_cutoff,
            "coverage_composition_cutoff": found.composition_cutoff,
            "coverage_reference": f"{reference.name}, {len(reference)} crystals",
        },
    )
    for at, error in enumerate(own.errors):
        cells: dict[str, Any] = {"covers": int(found.covers[at]) >= 0}
        if error is not None:
            cells["fingerprint_error"] = error
        else:
            cells["structure_distance"] = float(found.structure_distance[at])
            cells["composition_distance"] = float(found.composition_distance[at])
            nearest = int(found.nearest[at])
            cells["nearest_reference"] = reference.ids[nearest] if nearest >= 0 else None
        part.columns[at] = cells
    return part


def distribution_part(
    candidates: Sequence[Candidate],
    reference: CrystalData,
    *,
    formation_energies: Sequence[float | None] | None = None,
    reference_energies: Sequence[float | None] | None = None,
) -> Part:
    """Wasserstein distances between valid candidates and a reference set.

    Formation energies take part where both sets have those of one model.

    Parameters
    ----------
    candidates
        All candidates.
    reference
        The reference set.
    formation_energies
        Of the candidates, eV/atom; None for none.
    reference_energies
        Of the reference set, eV/atom; None for none.
    """
    from crystalicl_jobflow.comparison.distributions import property_distributions

    valid = [at for at, candidate in enumerate(candidates) if candidate.valid]
    crystals = [s for at in valid if (s := candidates[at].structure) is not None]
    mine: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    if formation_energies is not None and reference_energies is not None:
        mine["formation_energy_per_atom"] = [formation_energies[at] for at in valid]
        theirs["formation_energy_per_atom"] = list(reference_energies)
    found = property_distributions(
        crystals,
        reference.structures,
        generated_properties=mine,
        reference_properties=theirs,
    )
    part = Part(
        tolerances={
            "distributions_of": "valid candidates",
            "distributions_against": f"{reference.name}, {len(reference)} crystals",
        }
    )
    for name, item in found.items():
        part.metrics[f"wasserstein:{name}"] = item.distance
        part.metrics[f"wasserstein_generated:{name}"] = float(item.generated)
        part.metrics[f"wasserstein_reference:{name}"] = float(item.reference)
    return part


def energy_part(candidates: Sequence[Candidate], assessed: Sequence[EnergyAssessment]) -> Part:
    """Energies of candidates: columns, and rates in which a failure counts as one."""
    part = Part()
    relaxed = [item.converged for item in assessed if item.relaxed]
    for at, item in enumerate(assessed):
        part.columns[at] = {
            "energy_per_atom": item.energy_per_atom,
            "formation_energy_per_atom": item.formation_energy_per_atom,
            "energy_above_hull": item.energy_above_hull,
            "no_hull_reason": item.no_hull_reason,
            "relaxed": item.converged,
            "energy_error": item.message,
        }
    count = len(candidates)
    part.rates["energy"] = Rate.from_counts(sum(item.counts for item in assessed), count)
    part.rates["negative_formation_energy"] = negative_energies(
        [item.formation_energy_per_atom for item in assessed]
    )
    if relaxed:
        part.rates["relaxed"] = Rate.from_counts(sum(map(bool, relaxed)), count)
    return part


def negative_energies(energies: Iterable[float | None]) -> Rate:
    """Return how many formation energies are below 0; a missing one is not."""
    from crystalicl_jobflow.evaluation.realism import is_negative

    flags = [is_negative(energy) for energy in energies]
    return Rate.from_counts(sum(flags), len(flags))


def _reduced(composition: str | Composition | Mapping[str, float]) -> str:
    return str(whole_composition(Composition(composition)).reduced_formula)


__all__ = [
    "PART_MEANINGS",
    "Part",
    "coverage_part",
    "discovery_part",
    "distribution_part",
    "energy_part",
    "negative_energies",
    "polymorph_part",
]
