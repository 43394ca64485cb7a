"""Generate crystal texts from demonstrations: prompts, constraints, random streams, completions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

from crystalicl_jobflow.generation.base import (
    AcceptText,
    GenerationError,
    GenerationRequest,
    RowConstraint,
    TextGenerator,
)
from crystalicl_jobflow.generation.group_draws import Part, divide_task
from crystalicl_jobflow.generation.prompting import retrieval_prompt
from crystalicl_jobflow.generation.resuming import UnfinishedWork, draw_missing, task_content
from crystalicl_jobflow.generation.rows import severity
from crystalicl_jobflow.generation.search.search import JudgeTexts, Search, search_texts
from crystalicl_jobflow.generation.tasks import GenerationTask, _numbered, plan_tasks
from crystalicl_jobflow.generation.writing import Writing, WritingOptions
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    FailureReason,
    Generation,
    Retrieval,
)
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.text.pattern import parse_pattern
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

logger = logging.getLogger(__name__)


def generate_for_retrievals(
    retrievals: Sequence[Retrieval],
    generator: TextGenerator | Callable[[], TextGenerator],
    *,
    num_samples: int = 1,
    tasks: Sequence[GenerationTask] | None = None,
    progress: Progress | None = None,
    unfinished: UnfinishedWork | None = None,
    judge: JudgeTexts | None = None,
    **writing: Unpack[WritingOptions],
) -> list[Generation]:
    """Write crystal texts for retrieved demonstrations and their conditions.

    Parameters
    ----------
    retrievals
        Each holds a condition and its demonstrations; without demonstrations the prompt is
        zero-shot.
    generator
        The language model, or a function that loads it, called after all other checks have passed.
    num_samples
        Texts per retrieval. Not used where ``tasks`` are given or there is a search.
    tasks
        Generate only these samples, for a shard of a larger run; one task per retrieval, in the
        same order.
    progress
        Called with the number of finished samples and the total number.
    unfinished
        Stores every text as soon as it is written. Texts of a launch that was killed are found
        there, and only the missing ones are generated. The caller discards it once the result is
        saved. None stores nothing.
    judge
        Tells what the texts of a search are worth, given the index of each one's retrieval.
    **writing
        Fields of `Writing`: ``sampling`` (with ``best_of`` k, sample s is the most probable of
        the draws k s to k s + k - 1, draws that are not crystals last), ``text_format``,
        ``template``, ``constrain`` (what no constraint exists for, a text format or an empty
        vocabulary, is written freely), ``search`` and ``groups`` ('model', or with a search: groups
        of the retrievals are not drawn from).

    Returns
    -------
    list of Generation
        One per retrieval, in order. The texts depend only on model, prompt, sampling parameters,
        condition and sample number, not on the batch size or the other retrievals.

    Raises
    ------
    ImpossibleConditionError
        If no crystal can meet one of the conditions under its constraint. Raised before generation
        starts.
    ValueError
        If tasks and retrievals differ in number, text format or template are unknown, or a search
        has no judge or a task with a part of its texts.
    GenerationError
        If a search is asked of a generator that does not tell its tokens.

    Examples
    --------
    >>> from crystalicl_jobflow.generation import load_generator
    >>> from crystalicl_jobflow.schemas import Condition, Retrieval
    >>> asked = Condition(formula="CaTiO3", space_group=221)
    >>> zero_shot = Retrieval(condition=asked, strategy="C", shots=0, seed=0)
    >>> generation, = generate_for_retrievals([zero_shot], load_generator())  # doctest: +SKIP
    """
    from crystalicl_jobflow.generation import package_versions

    style = Writing.from_options(writing)
    sampling, text_format, template = style.sampling, style.text_format, style.template
    if style.search is not None:
        num_samples = style.search.simulations
        # a text is one simulation, whatever it is
        sampling = sampling.model_copy(update={"max_redraws": 0})
    if tasks is None:
        tasks = plan_tasks(
            [retrieval.condition for retrieval in retrievals],
            num_samples,
            [retrieval.edit for retrieval in retrievals],
        )
    if len(tasks) != len(retrievals):
        raise ValueError(f"{len(tasks)} tasks for {len(retrievals)} retrievals")
    search = None if style.search is None else Search.checked(style.search, judge, tasks)

    divided = [
        divide_task(retrieval, task, style.constrain, text_format)
        if style.groups == "pool" and search is None
        else [Part(retrieval, task, tuple(range(task.num_samples)))]
        for retrieval, task in zip(retrievals, tasks, strict=True)
    ]
    parts = [part for row in divided for part in row]
    conditions = [part.retrieval.condition for part in parts]
    # constraints of all conditions first: an impossible one is reported before hours of work
    constraints = build_constraints(
        conditions,
        style.constrain,
        text_format=text_format,
        template=template,
        edits=[part.retrieval.edit for part in parts],
    )
    best_of = sampling.best_of
    requests = [
        GenerationRequest(
            prompt=retrieval_prompt(part.retrieval, text_format, template),
            num_samples=part.task.num_samples * best_of,
            key=part.task.key,
            constraint=constraint,
            first_sample=part.task.first_sample * best_of,
            formula=part.retrieval.condition.formula,
            wyckoff=part.retrieval.condition.wyckoff,
            templates=tuple(part.retrieval.templates),
            demonstrations=tuple(part.retrieval.demonstrations),
            text_format=text_format,
            template=template,
        )
        for part, constraint in zip(parts, constraints, strict=True)
    ]
    if callable(generator):
        generator = generator()
    versions = {**package_versions(), **generator.versions}
    accept = accept_texts(requests, conditions, text_format)
    report = of_samples(progress, best_of)
    started = time.perf_counter()
    content = {
        **task_content(conditions, style.constrain, text_format=text_format, versions=versions),
        **({} if style.search is None else {"search": style.search.model_dump(mode="json")}),
    }
    if search is not None:
        answers = search_texts(
            generator, requests, sampling, search,
            accept=accept, work=unfinished, task=content, progress=progress,
        )  # fmt: skip
    elif unfinished is None:
        answers = generator.generate(requests, sampling, accept=accept, progress=report)
    else:
        answers = draw_missing(
            generator, requests, sampling, unfinished, task=content, accept=accept, progress=report
        )
    seconds = time.perf_counter() - started + (unfinished.seconds_before if unfinished else 0.0)

    written = _by_condition(divided, requests, answers, best_of)
    return [
        Generation(
            condition=retrieval.condition,
            prompt=retrieval_prompt(retrieval, text_format, template)
            if row[0].choice is not None
            else completions[0][1],
            text_format=text_format,
            strategy=retrieval.strategy if retrieval.demonstrations else None,
            demonstration_ids=[d.demonstration_id for d in retrieval.demonstrations],
            relaxed=list(retrieval.relaxed),
            completions=[
                _numbered(completion, task, number)
                for number, (completion, _) in enumerate(completions)
            ],
            sampling=sampling,
            search=style.search,
            edit=retrieval.edit,
            model=generator.info,
            versions=versions,
            seconds=seconds,
        )
        for retrieval, task, row, completions in zip(
            retrievals, tasks, divided, written, strict=True
        )
    ]


def _by_condition(
    divided: Sequence[Sequence[Part]],
    requests: Sequence[GenerationRequest],
    answers: Sequence[Sequence[Completion]],
    best_of: int,
) -> list[list[tuple[Completion, str]]]:
    """Return for each condition its texts with their prompts, in the order of its samples."""
    pairs = iter(zip(requests, answers, strict=True))
    found = []
    for row in divided:
        texts: dict[int, tuple[Completion, str]] = {}
        for part in row:
            request, completions = next(pairs)
            kept = keep_most_probable(completions, best_of)
            for place, completion in zip(part.places, kept, strict=True):
                texts[place] = part.mark(completion, request.prompt), request.prompt
        found.append([texts[place] for place in sorted(texts)])
    return found


def build_constraints(
    conditions: Sequence[Condition],
    constrain: bool | ConstraintOptions = True,
    *,
    text_format: str = "sgs",
    template: str = "crystalicl",
    edits: Sequence[Edit | None] | None = None,
) -> list[RowConstraint | None]:
    """Return the constraint of each condition, or None where there is no constraint.

    Parameters
    ----------
    conditions
        The requested conditions.
    constrain
        False for no constraints, True for the default options, or options.
    text_format
        Name of the crystal text.
    template
        Template of the prompt; decides the prefix of each line of the text.
    edits
        For each condition, what is given of its texts.

    Raises
    ------
    ImpossibleConditionError
        If no crystal can meet one of the conditions; one line.
    PatternError
        If none can have what is given of its text; one line.
    GenerationError
        If something is given of a text that is written without a constraint.
    """
    asked = edits or [None] * len(conditions)
    if constrain is False:
        if any(edit is not None for edit in asked):
            raise GenerationError("an edited crystal needs the constraint: it keeps what is given")
        return [None] * len(conditions)
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

    options = ConstraintOptions() if constrain is True else constrain
    if template == "alpaca":  # plain lines, and the prompt ends with a line end
        options = options.model_copy(update={"line_prefix": "", "text_prefix": ""})
    built: dict[str, RowConstraint | None] = {}
    constraints = []
    for condition, edit in zip(conditions, asked, strict=True):
        # benchmarks repeat conditions, and the feasibility tables are expensive to compute
        name = condition.model_dump_json() + ("" if edit is None else edit.model_dump_json())
        if name not in built:
            built[name] = _constraint_of(condition, edit, options, text_format)
        constraints.append(built[name])
    return constraints


def _constraint_of(
    condition: Condition, edit: Edit | None, options: ConstraintOptions, text_format: str
) -> RowConstraint | None:
    from crystalicl_jobflow.generation.constraints import build_constraint

    if edit is None:
        return build_constraint(condition, options, text_format)
    # as many atoms as the parent has are allowed in any case
    limit = max(options.max_atoms, edit.atoms)
    if limit != options.max_atoms:
        options = options.model_copy(update={"max_atoms": limit})
    found = build_constraint(condition, options, text_format, parse_pattern(edit.pattern))
    if found is None:
        raise GenerationError(f"edited crystals are written as sgs or sgsw, not as {text_format}")
    return found


def accept_texts(
    requests: Sequence[GenerationRequest],
    conditions: Sequence[Condition],
    text_format: str = "sgs",
) -> AcceptText:
    """Return the check that decides whether a text is drawn again.

    A text has to be one readable crystal. Under a constraint its crystal must also have the
    requested space group, or the declared one if none was requested: a constraint cannot detect
    coordinates that happen to be more symmetric. The check never raises for what a model wrote: an
    error in the programs gives the reason ``internal``.

    Parameters
    ----------
    requests, conditions
        Prompts and their conditions, of equal number.
    text_format
        Format of the texts.
    """
    from crystalicl_jobflow.text import TextError
    from crystalicl_jobflow.text.formats import get_text

    read = get_text(text_format).read
    judges: dict[str, AcceptText] = {}
    for request, condition in zip(requests, conditions, strict=True):
        if request.constraint is not None:
            from crystalicl_jobflow.generation.constraints import symmetry_accept

            judges[request.key] = symmetry_accept(condition, text_format=text_format)

    def accept(text: str, request: GenerationRequest) -> FailureReason | None:
        judge = judges.get(request.key)
        try:
            if judge is not None:  # reads the text, too
                return judge(text, request)
            read(text)
        except TextError as error:
            return error.reason
        except Exception as error:  # as in the validation: one text must not stop the whole run
            logger.warning("a text could not be judged: %s: %s", type(error).__name__, error)
            return FailureReason.INTERNAL
        return None

    return accept


def keep_most_probable(completions: Sequence[Completion], best_of: int) -> list[Completion]:
    """Keep one of every ``best_of`` texts: the most probable under the model.

    Texts without a fault rank before those with one, and less serious faults before serious ones.
    Then the total log-probability decides, not the mean over the tokens; of equal ones, the first
    is kept.

    Parameters
    ----------
    completions
        Texts for one prompt, in the order of their samples.
    best_of
        Number of texts of which one is kept.

    Returns
    -------
    list of Completion
        Each counts the draws and tokens of all texts that it was chosen from.

    Raises
    ------
    GenerationError
        If the engine does not report probabilities; one line.
    """
    if best_of == 1:
        return list(completions)
    if any(item.log_prob is None and item.error is None for item in completions):
        raise GenerationError(f"best of {best_of}: this engine does not tell log-probabilities")
    kept = []
    for start in range(0, len(completions), best_of):
        group = completions[start : start + best_of]
        best = min(group, key=lambda item: (severity(item.flaw), -(item.log_prob or 0.0)))
        totals = {
            "draws": sum(item.draws or item.attempts for item in group),
            "tokens_drawn": sum(item.tokens_drawn or item.num_tokens for item in group),
        }
        kept.append(best.model_copy(update=totals))
    return kept


def of_samples(progress: Progress | None, best_of: int) -> Progress | None:
    """Return a callback that converts the engine's counts of draws to counts of samples."""
    if progress is None or best_of == 1:
        return progress
    return lambda done, total: progress(done // best_of, total // best_of)
