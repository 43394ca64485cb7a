"""The job that edits crystals: what is kept is kept, the model writes the rest."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from jobflow import Job, Maker
from pymatgen.core import Structure

from crystalicl_jobflow.generation.writing import Writing
from crystalicl_jobflow.jobs._fields import check_fields
from crystalicl_jobflow.jobs._inputs import MakeT, log_progress, without_secrets
from crystalicl_jobflow.jobs._job import MAX_NAME, add_to_name, crystal_job
from crystalicl_jobflow.jobs.generate import GenerateMaker
from crystalicl_jobflow.jobs.retrieve import lasting_store
from crystalicl_jobflow.retrieval.opening import PROTOTYPES
from crystalicl_jobflow.retrieval.strategies import check_choice
from crystalicl_jobflow.schemas import Strategy
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.candidate import EditDoc
from crystalicl_jobflow.schemas.editing import EditRequest
from crystalicl_jobflow.utils.numbers import whole_number

logger = logging.getLogger(__name__)


def _named_after_parents(make: MakeT) -> MakeT:
    """Let the job's name tell what is edited, and how."""

    @wraps(make)
    def named(self: EditMaker, parents: Any) -> Job:
        made: Job = make(self, parents)
        add_to_name(made, self, f"{self.request().kind}{_parent_words(parents)} ×{self.samples}")
        return made

    return named  # type: ignore[return-value]  # it has make's signature


def _parent_words(parents: Any) -> str:
    if isinstance(parents, list | tuple):
        more = f" and {len(parents) - 1} more" if len(parents) > 1 else ""
        return f"{_parent_words(parents[0])}{more}" if parents else ""
    if isinstance(parents, Structure):
        return f" {parents.composition.reduced_formula}"
    if isinstance(parents, Path) or (isinstance(parents, str) and "\n" not in parents):
        return f" {Path(parents).name[:MAX_NAME]}"
    return ""


@dataclass
class EditMaker(Maker):
    """Edit crystals: substitute elements, fill masked orbits, mutate, or complete a text.

    Exactly one of ``substitute``, ``mask``, ``mutate`` and ``complete`` is given. A job that was
    killed and is launched again writes only the texts that are missing, as generation does.

    Parameters
    ----------
    name
        Name of the job.
    substitute
        Element to the elements that take its place, each in turn: ``{"Ti": ["Zr", "Hf"]}``;
        'any' in their place stands for ions of the same charge, and 'any' alone tries every
        element.
    mask
        Orbits that the model fills: elements ("Cl"), numbers from 1, or elements with their
        Wyckoff letter ("O 4c").
    mutate
        Whether cell and coordinates are drawn again, with group and orbits kept.
    complete
        Whether the parents are beginnings of SGS texts.
    formula, elements
        Formula or elements of what is filled or completed; of a mutation, the formula that takes
        the parent's place.
    redraw
        'cell' and 'coordinates', where the model writes them anew; both for mutations.
    number
        Substitutions by 'any', and assignments of a new formula's elements, at most.
    samples
        Texts of each edit.
    pool, strategy, shots, seed
        How demonstrations are chosen, see `RetrieveMaker`.
    generate
        How texts are written: model, sampling, batch size. Its number of samples,
        seed and shards are not used.
    processes
        Processes that share the checks.

    Raises
    ------
    ValueError, GenerationError
        If the options do not make one edit, or the model or its way of writing cannot edit; one
        line.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import EditMaker
    >>> job = EditMaker(substitute={"Ti": ["Zr", "Hf"]}).make("CaTiO3.cif")
    >>> job.name
    'edit substitute CaTiO3.cif ×8'
    >>> job.output.structures  # doctest: +ELLIPSIS
    OutputReference(..., .structures)
    """

    name: str = "edit"
    substitute: Any = None
    mask: Any = None
    mutate: bool = False
    complete: bool = False
    formula: str | None = None
    elements: Any = None
    redraw: list[str] | None = None
    number: int = 10
    samples: int = 8
    pool: Any = PROTOTYPES
    strategy: Strategy = "C"
    shots: int = 3
    seed: int = 0
    generate: GenerateMaker = field(default_factory=GenerateMaker)
    processes: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        self.processes = whole_number(self.processes, "processes")
        from crystalicl_jobflow.editing.edit import check_writer, check_writing

        self.shots = check_choice(self.strategy, self.shots)
        self.pool = lasting_store(self.pool)
        check_writer(self.generate.base_model)
        check_writing(self.writing())
        self.samples = whole_number(self.samples, "samples")
        self.request()

    def request(self) -> EditRequest:
        """Return what is to be changed.

        Raises
        ------
        ConditionError
            If it makes no sense; one line.
        """
        return EditRequest.build(
            substitute=self.substitute,
            mask=self.mask,
            mutate=self.mutate,
            complete=self.complete,
            formula=self.formula,
            elements=self.elements,
            redraw=self.redraw,
            number=self.number,
        )

    def writing(self) -> Writing:
        """Return how the texts are written: as ``generate`` says, with this Maker's seed."""
        maker = self.generate
        return Writing(
            maker.sampling.model_copy(update={"seed": self.seed}),
            maker.text_format,
            maker.constraint_options(),
            maker.template,
            maker.search,
        )

    @_named_after_parents
    @without_secrets("parents")
    @crystal_job(output_schema=EditDoc, data=DATA)
    def make(self, parents: Any) -> EditDoc:
        """Edit the crystals.

        Parameters
        ----------
        parents
            A crystal or several: structures, candidates, files, a store or CSV, or texts that
            are to be completed.

        Returns
        -------
        EditDoc
            One candidate per text, valid or not; ``provenance.edit`` says what it was made of.
        """
        from crystalicl_jobflow.editing import plan_edits, read_parents, write_edits
        from crystalicl_jobflow.editing.edit import compare_with_parents
        from crystalicl_jobflow.validation.validate import build_candidates

        request = self.request()
        known = read_parents(parents, as_texts=request.complete)
        retrievals = plan_edits(
            known,
            request,
            pool=self.pool,
            strategy=self.strategy,
            shots=self.shots,
            seed=self.seed,
        )
        maker = self.generate
        progress, unfinished = log_progress(logger, self.name), maker.unfinished()
        generations = write_edits(
            retrievals,
            maker.loader(),
            writing=self.writing(),
            samples=self.samples,
            progress=progress,
            unfinished=unfinished,
        )
        candidates = build_candidates(generations, processes=self.processes, progress=progress)
        document = EditDoc.from_candidates(compare_with_parents(candidates, known))
        if unfinished is not None:
            unfinished.discard()
        return document
