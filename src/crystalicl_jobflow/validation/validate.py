"""From a text that a model wrote to a candidate document with every check made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.metadata import structure_metadata
from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    FailureReason,
    Generation,
)
from crystalicl_jobflow.schemas.crystal_metadata import Symmetry
from crystalicl_jobflow.text.formats import get_text
from crystalicl_jobflow.thresholds import SYMPREC
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation.checks import Failure, StructureReport, validate_structure
from crystalicl_jobflow.validation.provenance import candidate_id, provenance
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.success import joint_success, judge, note_misses

_LONGEST_MESSAGE = 500  # some libraries put a whole file into theirs


def validate_completion(
    completion: Completion,
    generation: Generation,
    *,
    properties: Mapping[str, float] | None = None,
    symprec: float = SYMPREC,
) -> Candidate:
    """Turn one text into a candidate: read it, check it, judge it.

    Never raises for what a model wrote: a text that is not a crystal becomes a candidate with
    a reason, one whose check fails in an unforeseen way a candidate with the reason ``internal``.

    Parameters
    ----------
    completion
        The text.
    generation
        The condition, prompt and model it was written under.
    properties
        Predicted or computed property values by name, where there are any.
    symprec
        Symmetry tolerance in Å.

    Raises
    ------
    ValueError
        If the generation names a text format that does not exist.
    """
    candidate = _validated(completion, generation, properties=properties, symprec=symprec)
    return _with_metadata(candidate)


def _validated(
    completion: Completion,
    generation: Generation,
    *,
    properties: Mapping[str, float] | None = None,
    symprec: float = SYMPREC,
) -> Candidate:
    get_text(generation.text_format)  # raises for an unknown format: the caller's mistake
    candidate = _unread(completion, generation, properties=properties, symprec=symprec)
    if completion.error is not None:
        return _failed(candidate, Failure(FailureReason.NOT_GENERATED, completion.error))
    try:
        return _check(candidate.model_copy(deep=True), completion, generation, symprec=symprec)
    except Exception as error:  # one text must not cost the others
        message = f"{type(error).__name__}: {first_line(error)}"
        return _failed(candidate, Failure(FailureReason.INTERNAL, message[:_LONGEST_MESSAGE]))


def _unread(
    completion: Completion,
    generation: Generation,
    *,
    properties: Mapping[str, float] | None = None,
    symprec: float = SYMPREC,
) -> Candidate:
    """Return the candidate of a text that has not been read."""
    success = judge(generation.condition, None)
    return Candidate(
        candidate_id=candidate_id(completion, generation),
        condition=generation.condition,
        text=completion.text,
        text_format=generation.text_format,
        properties=dict(properties or {}),
        success=success,
        joint_success=joint_success(success),
        provenance=provenance(completion, generation, symprec=symprec),
    )


def _failed(candidate: Candidate, failure: Failure) -> Candidate:
    candidate.failure_reason, candidate.failure_message = failure
    return candidate


def _check(
    candidate: Candidate, completion: Completion, generation: Generation, *, symprec: float
) -> Candidate:
    """Read a text and make all checks of its crystal."""
    structure, declared, failure = read_text(
        completion.text, generation.text_format, finished=completion.finished
    )
    candidate.declared_space_group = declared
    if structure is None:
        assert failure is not None
        return _failed(candidate, Failure(*failure))
    report = validate_structure(
        structure,
        condition=generation.condition,
        declared_space_group=declared,
        symprec=symprec,
    )
    return fill_candidate(candidate, structure, report)


def build_candidates(
    generations: Sequence[Generation],
    *,
    processes: int = 1,
    progress: Progress | None = None,
    symprec: float = SYMPREC,
) -> list[Candidate]:
    """Validate every completion of every generation, in order.

    Parameters
    ----------
    generations
        Texts by condition.
    processes
        Processes to share the work; 1 works in this one.
    progress
        Called with (candidates done, candidates in all) after each one.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    list of Candidate
        One per completion, none left out. A text at which a worker process ends costs that
        text only: its candidate has the reason ``internal``.
    """
    # a generation without its completions is small: it travels with each text
    bare = [generation.model_copy(update={"completions": []}) for generation in generations]
    tasks = [
        (completion, bare[index], symprec)
        for index, generation in enumerate(generations)
        for completion in generation.completions
    ]
    return map_list(_validate_task, tasks, processes=processes, progress=progress, on_death=_died)


def _validate_task(task: tuple[Completion, Generation, float]) -> Candidate:
    completion, generation, symprec = task
    return _with_metadata(_validated(completion, generation, symprec=symprec))


def _with_metadata(candidate: Candidate) -> Candidate:
    """Fill in what is known of the crystal, where there is one."""
    if candidate.structure is None:
        return candidate
    try:
        found = structure_metadata(candidate.structure, candidate.symmetry.model_dump())
    except Exception:  # a crystal out of the ordinary: what the checks found stays
        return candidate
    found["symmetry"] = candidate.symmetry
    return candidate.model_copy(update=found)


def _died(task: tuple[Completion, Generation, float]) -> Candidate:
    completion, generation, symprec = task
    message = "The process that checked it ended: a crash in compiled code, or no memory left."
    return _failed(
        _unread(completion, generation, symprec=symprec), Failure(FailureReason.INTERNAL, message)
    )


def fill_candidate(
    candidate: Candidate, structure: Structure, report: StructureReport
) -> Candidate:
    """Write a crystal and the report of its checks into its candidate.

    Parameters
    ----------
    candidate
        Changed.
    structure, report
        The crystal and what `validate_structure` says of it.

    Returns
    -------
    Candidate
        The candidate.
    """
    summary = report.summary
    candidate.parsed = True
    candidate.structure = structure
    candidate.formula_pretty = summary.formula
    candidate.formula_anonymous = summary.anonymous_formula
    candidate.chemsys = summary.chemsys
    candidate.elements = list(summary.elements)
    candidate.nsites_primitive = summary.num_sites
    candidate.density = summary.density
    candidate.symmetry = Symmetry(**summary.symmetry)
    candidate.checks = report.checks
    candidate.valid = report.valid
    candidate.success = judge(candidate.condition, summary, properties=candidate.properties)
    candidate.joint_success = joint_success(candidate.success)
    candidate.failure_reason = candidate.failure_message = None
    if report.failure is not None:
        candidate.failure_reason, candidate.failure_message = report.failure
    else:
        note_misses(candidate, summary)
    return candidate
