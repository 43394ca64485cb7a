"""The job that relaxes candidates with any Maker of atomate2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobflow import CURRENT_JOB, Flow, Job, JobConfig, Maker, OnMissing, Response

from crystalicl_jobflow.jobs._inputs import as_chosen, without_secrets
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.jobs._relax_makers import check_relax_maker, earlier_jobs, output_job
from crystalicl_jobflow.jobs.relaxations import HullSettings, gather_relaxations, relax_together
from crystalicl_jobflow.jobs.retrieve import lasting_store
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.discovery import ChosenCrystal
from crystalicl_jobflow.schemas.stored_candidate import (
    LEVELS,
    RELAX_MAKER,
    CandidateRelaxation,
    RelaxDoc,
)
from crystalicl_jobflow.utils.numbers import whole_number

Mode = Literal["auto", "each", "together", "list"]


@dataclass
class RelaxMaker(Maker):
    """Relax candidates with any Maker whose ``make`` takes a structure.

    The job replaces itself by the relaxations, and one job that gathers them and puts them
    against the convex hull. A relaxation that fails or does not converge is recorded with
    the reason, and the others continue.

    Parameters
    ----------
    relax_maker
        Of atomate2, for example ``ForceFieldRelaxMaker``, ``DoubleRelaxMaker`` or
        ``MPGGADoubleRelaxStaticMaker``; or your own, whose output has the fields ``structure``
        and ``energy`` (eV) or ``energy_per_atom``. It has to relax positions and cell: Makers of
        static calculations, equations of state, phonons, elastic constants or molecular
        dynamics are refused.
    name
        Name of this job; 'start forcefield' or 'start dft' by default.
    stage
        What the other jobs' names have after their first word, for name filters to send them
        to their workers; 'forcefield' or 'dft' by default. The relaxations are called 'relax
        dft 2/5: ' and what the Maker calls its jobs, or 'relax forcefield 1/1' where one job
        takes several crystals; the last one is 'gather dft' or 'gather forcefield'.
    mode
        ``each``: a job or Flow for each crystal. ``together``: one job relaxes one crystal
        after the other, and loads the force field once. ``list``: one job of the Maker's own
        that takes the list; if it fails, all of it has. ``auto``: ``together`` for force
        fields, else ``each``.
    batch_size
        Crystals in one job of ``together`` or ``list``, at most.
    num_threads
        Torch threads of ``together``: with several, force fields on a few atoms are tens of
        times slower on a busy machine. None leaves torch's own choice.
    max_seconds
        Wall time of one relaxation of ``together``, s, loading the force field included; one
        that takes longer is ended and recorded as a failure (``timed_out``). None for no
        limit. Jobs of their own have the limit of their queue.
    keep_unconverged
        Whether VASP jobs that did not converge leave their output, which is then
        recorded; else atomate2's setting counts, by which they fail without one.
    hull
        Source of the convex hull where it is not the known crystals, see
        :func:`crystalicl_jobflow.energies.hull.reference_hull`; read where the
        gathering runs. A relative path becomes absolute when the Maker is made.
    energy_model
        Energy model with the force field's weights, for the energies of the hull's
        crystals and of the elements; found for CHGNet. DFT needs none.
    references
        Elemental references: a kind, or a file.
    relax_known
        Whether the gathering relaxes the known crystals of the candidates' elements with
        ``energy_model`` too, before they make the hull: like is then compared with like, to
        a few meV/atom, for the time of as many more relaxations.

    Raises
    ------
    ValueError
        If the Maker cannot relax, the mode is not known or the batch size not positive; one
        line.
    TypeError
        If the relaxation Maker has no ``make``, or no one output; one line.

    Examples
    --------
    >>> from atomate2.forcefields.jobs import ForceFieldRelaxMaker
    >>> from crystalicl_jobflow.jobs import RelaxMaker
    >>> maker = RelaxMaker(ForceFieldRelaxMaker(force_field_name="CHGNet"))
    >>> maker.make([]).name
    'start forcefield'
    """

    relax_maker: Maker
    name: str = ""
    stage: str = ""
    mode: Mode = "auto"
    batch_size: int = 50
    num_threads: int | None = 1
    max_seconds: float | None = None
    keep_unconverged: bool = True
    hull: str | None = None
    energy_model: str | None = None
    references: str | None = None
    relax_known: bool = False

    def __post_init__(self) -> None:
        check_relax_maker(self.relax_maker)
        if self.mode not in ("auto", "each", "together", "list"):
            raise ValueError(f"mode {self.mode!r} is not one of auto, each, together, list")
        self.batch_size = whole_number(self.batch_size, "batch_size")
        if self.max_seconds is not None:
            if not self.max_seconds > 0:
                raise ValueError(f"max_seconds must be above 0, got {self.max_seconds}")
            if self._mode != "together":
                raise ValueError(
                    f"max_seconds is for mode together; with {self._mode} the queue's time limit"
                    " ends a job"
                )
        self.hull = None if self.hull is None else str(lasting_store(self.hull))
        self.stage = self.stage or self.level
        self.name = self.name or f"start {self.stage}"

    @property
    def _mode(self) -> Mode:
        if self.mode != "auto":
            return self.mode
        return "together" if is_force_field(self.relax_maker) else "each"

    @property
    def _maker_name(self) -> str:
        return type(self.relax_maker).__name__

    @property
    def level(self) -> str:
        """The level of theory: as ``stage`` says, else forcefield, or dft for all others."""
        if self.stage in LEVELS:
            return self.stage
        return "forcefield" if is_force_field(self.relax_maker) else "dft"

    @without_secrets("known")
    # Without pass_manager_config=False every relaxation would land on this job's worker.
    @crystal_job(
        output_schema=RelaxDoc,
        data=DATA,
        config=JobConfig(pass_manager_config=False, on_missing_references=OnMissing.NONE),
    )
    def make(self, crystals: Any, known: Any = None) -> RelaxDoc | Response[Any]:
        """Relax the crystals.

        Parameters
        ----------
        crystals
            The output of a `SelectMaker` or a `ValidateMaker` (valid ones are taken), or
            candidates.
        known
            Known crystals for the convex hull: structures or documents that hold one, or
            the name of a CSV or store. For DFT they have ``formation_energy_per_atom``.

        Returns
        -------
        RelaxDoc
            One relaxation per crystal, failed ones too, in order.
        """
        given = as_chosen(crystals)
        refused, usable = _refuse(given, self.level)
        if not usable:
            return RelaxDoc.from_relaxations(refused)
        jobs, sources = self._relaxations(usable)
        outputs = [source.pop("output") for source in sources]
        this = CURRENT_JOB.job
        gather = gather_relaxations(
            outputs,
            sources,
            {item.candidate_id: item.structure.volume / len(item.structure) for item in usable},
            refused,
            self.level,
            known if self.hull is None else self.hull,
            HullSettings(self.energy_model, self.references, self.relax_known),
        )
        gather.name = f"gather {self.stage}"
        # it takes this job's place itself, see GenerateMaker
        gather.set_uuid(this.uuid)
        gather.index = this.index + 1
        gather.metadata = {**gather.metadata, **this.metadata}
        return Response(replace=Flow([*jobs, gather], name=f"relax {self.stage}"))

    def _relaxations(
        self, usable: list[ChosenCrystal]
    ) -> tuple[list[Job | Flow], list[dict[str, Any]]]:
        mode = self._mode
        size = 1 if mode == "each" else self.batch_size
        batches = [usable[start : start + size] for start in range(0, len(usable), size)]
        jobs: list[Job | Flow] = []
        sources = []
        for number, batch in enumerate(batches, start=1):
            name = f"relax {self.stage} {number}/{len(batches)}"
            ids = [item.candidate_id for item in batch]
            structures = [item.structure for item in batch]
            made: Job | Flow
            earlier: list[Any] = []
            if mode == "together":
                made = relax_together(
                    self.relax_maker, ids, structures, self.num_threads, self.max_seconds
                )
                made.name = name
            else:
                made = self._own_maker().make(structures if mode == "list" else structures[0])
                made.append_name(f"{name}: ", prepend=True)
                # A job whose parent failed would wait for ever under FireWorks and
                # jobflow-remote, and the gathering with it; so it fails in its turn.
                made.update_config(
                    JobConfig(on_missing_references=OnMissing.NONE),
                    attributes=["on_missing_references"],
                )
                last = output_job(made, self._maker_name)
                last.metadata |= {RELAX_MAKER: self._maker_name} | (
                    {"candidate_ids": ids} if mode == "list" else {"candidate_id": ids[0]}
                )
                earlier = [item.output for item in earlier_jobs(made, last)]
            jobs.append(made)
            source = {"ids": ids, "uuid": made.output.uuid, "output": made.output}
            sources.append(source | {"maker": self._maker_name, "earlier": earlier})
        return jobs, sources

    def _own_maker(self) -> Maker:
        """Return the Maker, its VASP jobs told to leave the output of what did not converge."""
        try:
            from atomate2.vasp.jobs.base import BaseVaspMaker
        except ImportError:
            return self.relax_maker
        if not self.keep_unconverged:
            return self.relax_maker
        changed: Maker = self.relax_maker.update_kwargs(
            {"_set": {"stop_children_kwargs->handle_unsuccessful": False}},
            class_filter=BaseVaspMaker,
            dict_mod=True,
        )
        return changed


def is_force_field(maker: Maker) -> bool:
    """Return whether a Maker of atomate2 relaxes with a force field in one job."""
    try:
        from atomate2.ase.jobs import AseMaker
    except ImportError:
        return False
    return isinstance(maker, AseMaker)


def _refuse(
    crystals: Sequence[ChosenCrystal], level: str
) -> tuple[list[CandidateRelaxation], list[ChosenCrystal]]:
    """Part the crystals that no program should be asked about from the others."""
    from crystalicl_jobflow.energies.energy_model import refusal

    refused, usable = [], []
    for item in crystals:
        reason = refusal(item.structure)
        if reason is None:
            usable.append(item)
            continue
        refused.append(
            CandidateRelaxation(
                candidate_id=item.candidate_id,
                converged=False,
                level=level,
                failure_reason=str(reason.failure),
                failure_message=reason.message,
            )
        )
    return refused, usable
