"""From demonstrations to texts: prompts, constraints, random streams, completions."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from crystalicl_jobflow.generation.base import (
    AcceptText,
    GenerationRequest,
    ProgressCallback,
    RowConstraint,
    TextGenerator,
)
from crystalicl_jobflow.generation.best_of import keep_most_probable, of_samples
from crystalicl_jobflow.generation.prompting import retrieval_prompt
from crystalicl_jobflow.generation.unfinished import UnfinishedWork, draw_missing, task_content
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    FailureReason,
    Generation,
    Retrieval,
    SamplingParams,
)

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions


class GenerationTask(BaseModel):
    """Some samples of one retrieval: what can be generated in another job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int = Field(
        ge=0, description="Place of the retrieval among all; becomes Completion.request_index."
    )
    key: str = Field(description="Name of the retrieval's random streams.")
    first_sample: int = Field(0, ge=0, description="Number of the first sample among all of its.")
    num_samples: int = Field(1, ge=1, description="Samples in this task.")


def request_keys(conditions: Sequence[Condition]) -> list[str]:
    """Name the random streams of each condition.

    The name depends on the condition and on how often it came before, so a condition has
    the same texts alone and in any company.

    Parameters
    ----------
    conditions
        Conditions in the order in which they are asked.

    Returns
    -------
    list of str
        A distinct name per condition.
    """
    seen: Counter[str] = Counter()
    keys = []
    for condition in conditions:
        content = condition.model_dump_json(exclude_defaults=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        keys.append(f"{digest}:{seen[digest]}")
        seen[digest] += 1
    return keys


def plan_tasks(conditions: Sequence[Condition], num_samples: int = 1) -> list[GenerationTask]:
    """Return one task per condition, with all of its samples.

    Raises
    ------
    ValueError
        If the number of samples is not positive.
    """
    if num_samples < 1:
        raise ValueError(f"number of samples must be at least 1, got {num_samples}")
    return [
        GenerationTask(index=index, key=key, num_samples=num_samples)
        for index, key in enumerate(request_keys(conditions))
    ]


def split_tasks(tasks: Sequence[GenerationTask], shard_size: int) -> list[list[GenerationTask]]:
    """Cut tasks into shards of at most ``shard_size`` samples each.

    The samples of one retrieval may fall into several shards; put together again by
    :func:`merge_generations` they are those of the uncut run.

    Raises
    ------
    ValueError
        If the shard size is not positive.
    """
    if shard_size < 1:
        raise ValueError(f"shard size must be at least 1, got {shard_size}")
    shards: list[list[GenerationTask]] = [[]]
    room = shard_size
    for task in tasks:
        done = 0
        while done < task.num_samples:
            if room == 0:
                shards.append([])
                room = shard_size
            count = min(room, task.num_samples - done)
            first = task.first_sample + done
            shards[-1].append(task.model_copy(update={"first_sample": first, "num_samples": count}))
            done += count
            room -= count
    return [shard for shard in shards if shard]


def merge_generations(shards: Sequence[Sequence[Generation]]) -> list[Generation]:
    """Put the generations of several shards together, one per retrieval.

    Parameters
    ----------
    shards
        What :func:`generate_for_retrievals` returned for each shard, in any order.

    Returns
    -------
    list of Generation
        In the order of the retrievals, completions in the order of their samples. The
        seconds of the shards are added.
    """
    merged: dict[int, Generation] = {}
    for generation in (item for shard in shards for item in shard):
        if not generation.completions:
            continue
        index = generation.completions[0].request_index
        known = merged.get(index)
        if known is None:
            merged[index] = generation.model_copy(deep=True)
            continue
        known.completions += generation.completions
        if known.seconds is not None and generation.seconds is not None:
            known.seconds += generation.seconds
    for generation in merged.values():
        generation.completions.sort(key=lambda completion: completion.sample_index)
    return [merged[index] for index in sorted(merged)]


def generate_for_retrievals(
    retrievals: Sequence[Retrieval],
    generator: TextGenerator | Callable[[], TextGenerator],
    *,
    sampling: SamplingParams | None = None,
    num_samples: int = 1,
    text_format: str = "sgs",
    template: str = "crystalicl",
    constrain: bool | ConstraintOptions = True,
    tasks: Sequence[GenerationTask] | None = None,
    progress: ProgressCallback | None = None,
    unfinished: UnfinishedWork | None = None,
) -> list[Generation]:
    """Write crystal texts for retrieved demonstrations and their conditions.

    Parameters
    ----------
    retrievals
        A condition and its demonstrations each; no demonstrations give a zero-shot prompt.
    generator
        The language model, or what loads it: called once everything else is in order.
    sampling
        Temperature, nucleus, limits and seed; the defaults where None. With ``best_of`` k,
        sample s is the most probable of the draws k s to k s + k - 1, those that are no
        crystal last.
    num_samples
        Texts per retrieval. Not used where ``tasks`` are given.
    text_format
        Name of the crystal text: 'sgs', 'sgsw', 'xyz' or 'cif'.
    template
        Words of the prompt: 'crystalicl' or 'alpaca', see `crystalicl_jobflow.prompts`.
    constrain
        Whether the texts are held to the condition as they are written, and how. What no
        constraint exists for (a text format, an empty vocabulary) is written freely.
    tasks
        Only these samples, of retrievals that belong to a larger run (a shard of it); as
        many as retrievals, in their order.
    progress
        Called with the number of samples that are done and the number asked for.
    unfinished
        Where every text is kept as soon as it is written, and where those of a launch that
        was killed are found: only what is missing is written then. To be discarded by the
        caller, once the result is safe. None keeps nothing.

    Returns
    -------
    list of Generation
        One per retrieval, in order. The texts depend on model, prompt, sampling
        parameters, condition and sample number only: neither on the batch size nor on the
        other retrievals.

    Raises
    ------
    ImpossibleConditionError
        If no crystal can meet one of the conditions under its constraint. Raised before
        anything is generated.
    ValueError
        If tasks and retrievals differ in number, or text format or template are unknown.

    Examples
    --------
    >>> from crystalicl_jobflow.generation import load_generator
    >>> from crystalicl_jobflow.schemas import Condition, Retrieval
    >>> asked = Condition(formula="CaTiO3", space_group=221)
    >>> zero_shot = Retrieval(condition=asked, strategy="C", shots=0, seed=0)
    >>> generation, = generate_for_retrievals([zero_shot], load_generator())  # doctest: +SKIP
    """
    from crystalicl_jobflow.generation import package_versions

    sampling = sampling or SamplingParams()
    conditions = [retrieval.condition for retrieval in retrievals]
    if tasks is None:
        tasks = plan_tasks(conditions, num_samples)
    if len(tasks) != len(retrievals):
        raise ValueError(f"{len(tasks)} tasks for {len(retrievals)} retrievals")

    # constraints of all conditions first: an impossible one is told before hours of work
    constraints = build_constraints(
        conditions, constrain, text_format=text_format, template=template
    )
    best_of = sampling.best_of
    requests = [
        GenerationRequest(
            prompt=retrieval_prompt(retrieval, text_format, template),
            num_samples=task.num_samples * best_of,
            key=task.key,
            constraint=constraint,
            first_sample=task.first_sample * best_of,
        )
        for retrieval, task, constraint in zip(retrievals, tasks, constraints, strict=True)
    ]
    if callable(generator):
        generator = generator()
    versions = package_versions() | dict(getattr(generator, "versions", {}))
    accept = accept_texts(requests, conditions, text_format)
    report = of_samples(progress, best_of)
    started = time.perf_counter()
    if unfinished is None:
        answers = generator.generate(requests, sampling, accept=accept, progress=report)
    else:
        task = task_content(conditions, constrain, text_format=text_format, versions=versions)
        answers = draw_missing(
            generator, requests, sampling, unfinished, task=task, accept=accept, progress=report
        )
    seconds = time.perf_counter() - started + (unfinished.seconds_before if unfinished else 0.0)

    return [
        Generation(
            condition=retrieval.condition,
            prompt=request.prompt,
            text_format=text_format,
            strategy=retrieval.strategy if retrieval.demonstrations else None,
            demonstration_ids=[d.demonstration_id for d in retrieval.demonstrations],
            relaxed=list(retrieval.relaxed),
            completions=[
                _numbered(completion, task, number)
                for number, completion in enumerate(keep_most_probable(completions, best_of))
            ],
            sampling=sampling,
            model=generator.info,
            versions=versions,
            seconds=seconds,
        )
        for retrieval, task, request, completions in zip(
            retrievals, tasks, requests, answers, strict=True
        )
    ]


def build_constraints(
    conditions: Sequence[Condition],
    constrain: bool | ConstraintOptions = True,
    *,
    text_format: str = "sgs",
    template: str = "crystalicl",
) -> list[RowConstraint | None]:
    """Return the constraint of each condition, or None where it is written freely.

    Parameters
    ----------
    conditions
        What is asked for.
    constrain
        False for no constraints, True for the default options, or options.
    text_format
        Name of the crystal text.
    template
        Template of the prompt: decides what stands before each line of the text.

    Raises
    ------
    ImpossibleConditionError
        If no crystal can meet one of the conditions; one line.
    """
    if constrain is False:
        return [None] * len(conditions)
    from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint

    options = ConstraintOptions() if constrain is True else constrain
    if template == "alpaca":  # plain lines, and the prompt ends with a line end
        options = options.model_copy(update={"line_prefix": "", "text_prefix": ""})
    built: dict[str, RowConstraint | None] = {}
    constraints = []
    for condition in conditions:
        # benchmarks ask the same condition often, and the feasibility tables are dear
        name = condition.model_dump_json()
        if name not in built:
            built[name] = build_constraint(condition, options, text_format)
        constraints.append(built[name])
    return constraints


def accept_texts(
    requests: Sequence[GenerationRequest],
    conditions: Sequence[Condition],
    text_format: str = "sgs",
) -> AcceptText:
    """Return the judge that asks for another draw of a text.

    A text has to be one readable crystal. Under a constraint its crystal must also have
    the space group asked for, or else declared: coordinates that happen to be more
    symmetric are the one thing that a constraint cannot see.
    """
    judges: dict[str, AcceptText] = {}
    for request, condition in zip(requests, conditions, strict=True):
        if request.constraint is not None:
            from crystalicl_jobflow.generation.constraints import symmetry_accept

            judges[request.key] = symmetry_accept(condition, text_format=text_format)

    def accept(text: str, request: GenerationRequest) -> FailureReason | None:
        judge = judges.get(request.key)
        if judge is not None:  # reads the text, too
            return judge(text, request)
        return _parse_failure(text, text_format)

    return accept


def _parse_failure(text: str, text_format: str) -> FailureReason | None:
    from crystalicl_jobflow.text import TextError, get_text

    try:
        get_text(text_format).decode(text)
    except TextError as error:
        return error.reason
    except Exception:
        # as in the validation: a reader's unforeseen failure must not lose the whole run
        return FailureReason.AMBIGUOUS
    return None


def _numbered(completion: Completion, task: GenerationTask, number: int) -> Completion:
    return completion.model_copy(
        update={"request_index": task.index, "sample_index": task.first_sample + number}
    )
