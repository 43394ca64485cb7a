"""Edit crystals: plan, write, check, compare with the parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from crystalicl_jobflow.comparison.matching import UNIQUE, match_structures
from crystalicl_jobflow.editing.parents import Parent, read_parents
from crystalicl_jobflow.editing.planning import PlannedEdit, plan
from crystalicl_jobflow.generation import GenerationError, Writing
from crystalicl_jobflow.generation.constraints.constraint import CONSTRAINED_FORMATS
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.loading import templates_needed
from crystalicl_jobflow.generation.tasks import plan_tasks
from crystalicl_jobflow.pipeline import choose_demonstrations, loader
from crystalicl_jobflow.retrieval import DemonstrationIndex, open_pool
from crystalicl_jobflow.schemas import Candidate, Generation, Retrieval, Strategy
from crystalicl_jobflow.schemas.editing import EditRequest
from crystalicl_jobflow.text import parse_pattern
from crystalicl_jobflow.utils.progress import Progress, progress_bar
from crystalicl_jobflow.validation import build_candidates

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator, UnfinishedWork

LINE_LENGTH = 20
"""Characters of a text's line, prefix included; coordinates have 18, elements fewer."""

Loader = Callable[[], "TextGenerator"]


class PromptOptions(TypedDict, total=False):
    """How demonstrations are chosen; those left out have the defaults of `plan_edits`."""

    pool: DemonstrationIndex | str | None
    strategy: Strategy
    shots: int
    seed: int


def edit_crystals(
    parents: Any,
    request: EditRequest | Mapping[str, Any],
    *,
    model: TextGenerator | str | None = None,
    samples: int = 8,
    writing: Writing | None = None,
    **prompts: Unpack[PromptOptions],
) -> list[Candidate]:
    """Edit crystals and check what comes of them.

    Parameters
    ----------
    parents
        See `read_parents`.
    request
        What is to be changed.
    model
        A loaded model, or what `load_generator` takes; None: the one of the settings.
    samples
        Texts of each partial text.
    writing
        Temperature, text format, constraint and template. Its seed is not used.
    **prompts
        ``pool``, ``strategy``, ``shots``, ``seed``, see `plan_edits`.

    Returns
    -------
    list of Candidate
        One per text, valid or not; ``provenance.edit`` says what it was made of.

    Raises
    ------
    EditError, ConditionError, PatternError, ImpossibleConditionError
        If a crystal cannot be edited as asked; one line.
    GenerationError
        If the model cannot be loaded, or does not write under a constraint.

    Examples
    --------
    >>> from crystalicl_jobflow.editing import edit_crystals
    >>> request = {"substitute": {"Ti": ["Zr", "Hf"]}}
    >>> candidates = edit_crystals("CaTiO3.cif", request)  # doctest: +SKIP
    """
    if not isinstance(request, EditRequest):
        request = EditRequest.build(**request)
    if isinstance(model, str):
        check_writer(model)
    writing = writing or Writing()
    check_writing(writing)
    known = read_parents(parents, as_texts=request.complete)
    seed = prompts.get("seed", 0)
    retrievals = plan_edits(known, request, **prompts)
    writing = replace(writing, sampling=writing.sampling.model_copy(update={"seed": seed}))
    with progress_bar() as report:
        generations = write_edits(
            retrievals,
            loader(model, report) if model is None or isinstance(model, str) else model,
            writing=writing,
            samples=samples,
            progress=partial(report, "Edit"),
        )
    return compare_with_parents(build_candidates(generations), known)


def check_writer(model: str) -> None:
    """Refuse a model that substitutes by itself: it cannot be told what to keep.

    Raises
    ------
    GenerationError
        One line.
    """
    if templates_needed(model, 1):
        raise GenerationError(f"{model} cannot edit: name a language model alone")


def check_writing(writing: Writing) -> None:
    """Refuse a way of writing that cannot keep what is given.

    Raises
    ------
    GenerationError
        One line.
    """
    if writing.search is not None:
        raise GenerationError("a search does not edit: leave it out")
    if writing.constrain is False:
        raise GenerationError("an edit needs the constraint: it keeps what is given")
    if writing.text_format.lower() not in CONSTRAINED_FORMATS:
        raise GenerationError(
            f"edited crystals are written as {' or '.join(CONSTRAINED_FORMATS)}, not as"
            f" {writing.text_format}"
        )


def plan_edits(
    parents: Sequence[Parent],
    request: EditRequest,
    *,
    pool: DemonstrationIndex | str | None = None,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int = 0,
) -> list[Retrieval]:
    """Return what is to be written for every parent, with its demonstrations.

    Parameters
    ----------
    parents
        The crystals.
    request
        What is to be changed.
    pool
        An opened pool, or what `open_pool` takes; None: the prototypes inside pymatgen.
    strategy, shots, seed
        How demonstrations are chosen, and how many a prompt shows (0 to 5). Where elements
        are replaced, the first is the parent itself.

    Returns
    -------
    list of Retrieval
        One per partial text, with its `Edit`.
    """
    planned: list[PlannedEdit] = []
    shown: list[Parent] = []
    for parent in parents:
        found = plan(parent, request)
        planned += found
        shown += [parent] * len(found)
    index = pool
    if shots and not isinstance(index, DemonstrationIndex):
        index = open_pool(index, strategy)
    retrievals = choose_demonstrations(
        [item.condition for item in planned],
        index if isinstance(index, DemonstrationIndex) else None,
        strategy=strategy,
        shots=shots,
        seed=seed,
    )
    return [
        _with_edit(retrieval, item, parent)
        for retrieval, item, parent in zip(retrievals, planned, shown, strict=True)
    ]


def _with_edit(retrieval: Retrieval, item: PlannedEdit, parent: Parent) -> Retrieval:
    changes: dict[str, Any] = {"edit": item.edit}
    if item.shows_parent and retrieval.shots:
        others = [
            other
            for other in retrieval.demonstrations
            if other.demonstration_id != parent.parent_id
        ]
        changes["demonstrations"] = [parent.demonstration(), *others[: retrieval.shots - 1]]
    return retrieval.model_copy(update=changes)


def write_edits(
    retrievals: Sequence[Retrieval],
    generator: TextGenerator | Loader,
    *,
    writing: Writing,
    samples: int = 8,
    progress: Progress | None = None,
    unfinished: UnfinishedWork | None = None,
) -> list[Generation]:
    """Write the texts of edits.

    Parameters
    ----------
    retrievals
        Of `plan_edits`.
    generator
        The language model, or what loads it: called once all edits are known to be possible.
    writing
        How texts are written.
    samples
        Texts of each edit.
    progress
        Called with (texts written, texts in all).
    unfinished
        Keeps each text as soon as it is written, see `generate_for_retrievals`.
    """
    check_writing(writing)
    given = max((_longest_text(item) for item in retrievals), default=0)
    if given > writing.sampling.max_new_tokens:  # as long a text as the parent's may be written
        sampling = writing.sampling.model_copy(update={"max_new_tokens": given})
        writing = replace(writing, sampling=sampling)
    tasks = plan_tasks(
        [item.condition for item in retrievals], samples, [item.edit for item in retrievals]
    )
    return generate_for_retrievals(
        retrievals,
        generator,
        tasks=tasks,
        progress=progress,
        unfinished=unfinished,
        **writing.options(),
    )


def _longest_text(retrieval: Retrieval) -> int:
    """Return how many characters, so at most tokens, the text of the parent's orbits has."""
    assert retrieval.edit is not None
    orbits = len(parse_pattern(retrieval.edit.pattern).orbits)
    return LINE_LENGTH * (3 + 2 * orbits)


def compare_with_parents(
    candidates: Sequence[Candidate], parents: Sequence[Parent]
) -> list[Candidate]:
    """Return the candidates with what is new about them against their parents.

    Parameters
    ----------
    candidates
        Of edits.
    parents
        The crystals that they were made from.
    """
    known = {parent.parent_id: parent for parent in parents}
    return [_compared(candidate, known) for candidate in candidates]


def _compared(candidate: Candidate, parents: Mapping[str, Parent]) -> Candidate:
    edit = candidate.provenance.edit
    parent = None if edit is None else parents.get(edit.parent_id)
    if edit is None or parent is None or parent.structure is None or candidate.structure is None:
        return candidate
    found = match_structures(candidate.structure, parent.structure, tolerances=UNIQUE)
    told = edit.model_copy(update={"matches_parent": found.matched, "rms_from_parent": found.rms})
    return candidate.model_copy(
        update={"provenance": candidate.provenance.model_copy(update={"edit": told})}
    )
