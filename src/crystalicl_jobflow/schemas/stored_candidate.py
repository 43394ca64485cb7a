"""The document of one candidate as it is stored and queried, from condition to hull."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, model_validator
from pymatgen.core import Structure

from crystalicl_jobflow.schemas.base import Batched, Crystal, Document, utcnow
from crystalicl_jobflow.schemas.candidate import Checks, Provenance
from crystalicl_jobflow.schemas.condition import Condition
from crystalicl_jobflow.schemas.crystal_metadata import CellMetadata, CrystalMetadata, Symmetry
from crystalicl_jobflow.schemas.diffraction import PatternFit
from crystalicl_jobflow.schemas.properties import ByProperty
from crystalicl_jobflow.schemas.reasons import FailureReason

LEVELS = ("forcefield", "custom", "dft")
"""Levels of a relaxation, from low to high; custom: a user's own Maker, of unknown theory."""

FOLLOWS = "follows"
"""Metadata of this package's jobs: uuids of the jobs whose outputs they read."""

ENDED_AT = "ended_at"
"""Metadata of this package's jobs: when they ended, in UTC."""

RELAX_MAKER = "relax_maker"
"""Metadata of a job that relaxes a candidate: the class of its Maker."""


def relaxation_precedence(
    *, has_structure: bool, level: str, converged: bool | None, judged: bool = False
) -> tuple[bool, int, bool, bool]:
    """Return what decides which of a candidate's relaxations counts: the largest.

    One with a crystal before one without, the higher level before the lower, converged (or
    not known) before not converged, one with a formation energy before one without (such as
    that with which a user's elastic constants begin). Between equals the latest counts.

    Parameters
    ----------
    has_structure
        Whether the relaxation gave a crystal.
    level
        One of `LEVELS`; any other is below them.
    converged
        Whether it converged; None where that is not known.
    judged
        Whether it has a formation energy, on the scale of the hull.
    """
    rank = LEVELS.index(level) if level in LEVELS else -1
    return has_structure, rank, converged is not False, judged


class Origin(Document):
    """One job that has given something to a candidate."""

    name: str = Field(
        description="What the job did: generate, validate, select, relax, calculate or evaluate."
    )
    job_uuid: str
    job_index: int = 1
    job_name: str = ""
    completed_at: str = Field(
        "", description="When it ended, as jobflow writes it: the worker's own time, without zone."
    )
    ended_at: datetime | None = Field(
        None, description="The same in UTC; None where the zone is not known."
    )
    follows: list[str] = Field(
        default_factory=list, description="Uuids of the jobs whose outputs it has read."
    )
    hosts: list[str] = Field(
        default_factory=list, description="Uuids of the Flows it was part of, the innermost first."
    )
    tags: list[str] = Field(default_factory=list, description="Of the job and of its output.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="What the user has written on the job."
    )


class CandidateRelaxation(Document):
    """What one relaxation has made of one candidate, also where it failed."""

    candidate_id: str
    structure: Crystal | None = Field(None, description="The relaxed crystal.")
    energy_per_atom: float | None = Field(None, description="eV/atom, on the method's scale.")
    formation_energy_per_atom: float | None = Field(None, description="eV/atom")
    energy_above_hull: float | None = Field(None, description="eV/atom; negative below the hull.")
    no_hull_reason: str | None = Field(
        None, description="Why there is no energy above the hull, e.g. no competing phase."
    )
    converged: bool | None = Field(None, description="Whether it converged; None: not known.")
    steps: int | None = None
    level: str = Field("forcefield", description="forcefield, dft, or custom: a user's own Maker.")
    task_type: str = Field(
        "",
        description="What its energy is of, as emmet names it: Structure Optimization, or Static "
        "for a static calculation of the relaxed cell by the same method.",
    )
    functional: str = Field("", description="Functional or potential, e.g. GGA+U.")
    method: str = Field(
        "",
        description="Program and functional, potential and version, or a user's Maker; energies "
        "of two methods are not comparable.",
    )
    corrections: str = Field(
        "",
        description="Corrections in formation energy and energy above hull, e.g. MP2020; '' for "
        "none. energy_per_atom has none.",
    )
    corrected_energy_per_atom: float | None = Field(
        None, description="eV/atom, with the Materials Project's corrections (MP2020); DFT only."
    )
    source_uuid: str | None = Field(None, description="Job whose output it was read from.")
    dir_name: str | None = Field(None, description="Folder of the calculation.")
    failure_reason: str | None = Field(None, description="Why it does not count; a code.")
    failure_message: str | None = None

    @property
    def counts(self) -> bool:
        """Whether its energies may decide: it has a crystal, converged, and did not fail."""
        return (
            self.structure is not None
            and self.failure_reason is None
            and self.converged is not False
        )


class RelaxDoc(Document):
    """Relaxations of candidates, as a job returns them."""

    relaxations: Batched[CandidateRelaxation] = Field(
        default_factory=list, description="In the store 'data'."
    )
    num_candidates: int = 0
    num_converged: int = 0
    num_failed: int = 0
    num_resumed: int = Field(
        0, description="Relaxations that earlier launches of a killed job had made."
    )
    hull: str = Field("", description="What energies above the hull are against, in words.")

    @property
    def structures(self) -> list[Structure]:
        """The relaxed crystals that count, in order."""
        return [
            item.structure
            for item in self.relaxations
            if item.counts and item.structure is not None
        ]

    @property
    def candidate_ids(self) -> list[str]:
        """Their candidates' ids."""
        return [item.candidate_id for item in self.relaxations if item.counts]

    @classmethod
    def from_relaxations(
        cls, relaxations: list[CandidateRelaxation], *, hull: str = "", num_resumed: int = 0
    ) -> RelaxDoc:
        """Build the document with its counts."""
        return cls(
            hull=hull,
            num_resumed=num_resumed,
            relaxations=relaxations,
            num_candidates=len(relaxations),
            num_converged=sum(item.converged is True for item in relaxations),
            num_failed=sum(item.failure_reason is not None for item in relaxations),
        )


class StoredRelaxation(CandidateRelaxation):
    """A relaxation with the job that it comes from and the group of the relaxed crystal."""

    origin: Origin
    nsites: int | None = Field(None, description="Atoms in the cell of the relaxed crystal.")
    composition: dict[str, float] = Field(
        default_factory=dict, description="Element → atoms in the relaxed cell."
    )
    volume: float | None = Field(None, description="Of the relaxed cell, Å³.")
    density: float | None = Field(None, description="Of the relaxed crystal, g/cm³.")
    density_atomic: float | None = Field(None, description="Of the relaxed crystal, Å³ per atom.")
    symmetry: Symmetry | None = None


class StoredCalculation(Document):
    """A job of a candidate that is no relaxation of it: its energy is never taken for one."""

    origin: Origin
    name: str = Field("", description="Name of the job.")
    task_type: str = Field(
        "",
        description="As emmet names it (Static, NSCF Line, Deformation …), or the class of the "
        "output (ElasticDocument); '' where nothing is known.",
    )
    level: str = Field("", description="forcefield or dft; '' for other outputs.")
    functional: str = Field("", description="Functional or potential, e.g. GGA+U.")
    method: str = Field("", description="Program and functional, or potential and version.")
    energy_per_atom: float | None = Field(None, description="eV/atom, on the method's scale.")
    corrected_energy_per_atom: float | None = Field(None, description="eV/atom, with MP2020.")
    converged: bool | None = None
    structure: Crystal | None = Field(
        None, description="Of static DFT calculations, to tell whether it is the relaxed cell."
    )
    dir_name: str | None = Field(None, description="Folder of the calculation.")


class StoredEvaluation(Document):
    """What one evaluation has found about one candidate, or a selection has decided."""

    origin: Origin
    row: dict[str, Any] = Field(
        default_factory=dict, description="Columns of the table of structures that have a value."
    )


class GeneratedCrystal(CellMetadata):
    """The crystal as the text described it, before any relaxation."""

    structure: Crystal | None = Field(
        None, description="None where it is the document's own structure: not relaxed."
    )
    nsites_primitive: int | None = Field(None, description="Atoms in the primitive cell.")


class CandidateDoc(CrystalMetadata):
    """Everything about one candidate, in the manner of the Materials Project's documents.

    ``structure``, ``symmetry``, ``density`` and the energies are those of the relaxed crystal
    where there is one (of the highest level, converged before unconverged, with formation
    energy before without, the latest of those), else of the generated one. They are all of one
    method, that ``energy_method`` names.
    """

    candidate_id: str = Field(description="Hash of the draw: the same draw, the same id.")

    @model_validator(mode="before")
    @classmethod
    def _primitive_sites(cls, value: Any) -> Any:
        """Take the atoms in the primitive cell from where earlier versions put them: nsites."""
        if not isinstance(value, Mapping) or "nsites_primitive" in value:
            return value
        known = dict(value)
        known["nsites_primitive"] = known.pop("nsites", None)
        if isinstance(known.get("generated"), Mapping):
            generated = dict(known["generated"])
            generated["nsites_primitive"] = generated.pop("nsites", None)
            known["generated"] = generated
        return known

    # what it is: also the fields of CrystalMetadata
    structure: Crystal | None = None
    # how stable
    energy_per_atom: float | None = Field(None, description="eV/atom")
    formation_energy_per_atom: float | None = Field(None, description="eV/atom")
    energy_above_hull: float | None = Field(None, description="eV/atom")
    no_hull_reason: str | None = Field(
        None, description="Why there is no energy above the hull, e.g. no competing phase."
    )
    energy_method: str | None = Field(
        None, description="Program and functional, or potential and version, of these energies."
    )
    energy_corrections: str | None = Field(
        None,
        description="Corrections in formation energy and energy above hull, e.g. MP2020; '' for "
        "none, None where that is not known.",
    )
    is_stable: bool | None = Field(
        None,
        description="Energy above hull ≤ 0; False where the relaxation failed, None where nothing"
        " competes.",
    )
    is_metastable: bool | None = Field(None, description="Energy above hull ≤ 0.1 eV/atom.")
    is_relaxed: bool | None = Field(
        None, description="The relaxation converged; None where there was none."
    )
    band_gap: float | None = Field(None, description="eV; predicted, see provenance.versions.")
    relaxations: list[StoredRelaxation] = Field(default_factory=list)
    calculations: list[StoredCalculation] = Field(
        default_factory=list, description="The candidate's other jobs, e.g. of its phonons."
    )
    # whether it counts
    parsed: bool = False
    valid: bool = False
    checks: Checks = Field(default_factory=Checks)
    failure_reason: FailureReason | None = None
    failure_message: str | None = None
    is_unique: bool | None = None
    duplicate_of: str | None = None
    is_novel: bool | None = None
    known_as: str | None = Field(None, description="Id of the known crystal that it matches.")
    is_sun: bool | None = Field(None, description="Stable, unique and novel.")
    evaluations: list[StoredEvaluation] = Field(default_factory=list)
    # what was asked for, and what the model wrote
    condition: Condition = Field(default_factory=Condition.build)
    success: ByProperty[bool | None] = Field(default_factory=dict)
    joint_success: bool | None = None
    properties: ByProperty[float] = Field(default_factory=dict)
    xrd: PatternFit | None = Field(
        None, description="How well the generated crystal explains a measured pattern."
    )
    text: str = ""
    text_format: str = "sgs"
    declared_space_group: int | None = None
    generated: GeneratedCrystal | None = None
    provenance: Provenance | None = None
    # where it comes from
    stage: str = Field(
        "", description="What is known of the text: '' nothing yet, generated, validated."
    )
    stage_at: str = Field("", description="When the job that told it ended.")
    stage_job: str = Field("", description="That job, as uuid/index.")
    origins: list[Origin] = Field(default_factory=list, description="The jobs, by name and uuid.")
    run_ids: list[str] = Field(
        default_factory=list, description="Uuids of jobs and Flows, and names of runs."
    )
    hosts: list[str] = Field(default_factory=list, description="Uuids of the Flows of its jobs.")
    tags: list[str] = Field(default_factory=list, description="Tags of all its jobs, sorted.")
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="What the user has written on its jobs; of two values the later job's.",
    )
    completes: list[str] = Field(
        default_factory=list, description="Jobs of which this was the last candidate stored."
    )
    created_at: datetime | None = Field(None, description="When the text was checked.")
    last_updated: datetime = Field(
        default_factory=utcnow, description="When this document last changed."
    )
    revision: int = Field(0, description="Number of writes; two writers at once see each other.")
