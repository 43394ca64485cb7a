"""Retrieve, write, check, in one call: from conditions to checked candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.energies.text_verdicts import search_judge
from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.loading import templates_needed
from crystalicl_jobflow.generation.search.search import JudgeTexts
from crystalicl_jobflow.generation.writing import Writing
from crystalicl_jobflow.retrieval import (
    MAX_GROUPS,
    DemonstrationIndex,
    open_pool,
    retrieve_many,
)
from crystalicl_jobflow.retrieval.strategies import check_choice
from crystalicl_jobflow.schemas import Candidate, Condition, Retrieval, Strategy
from crystalicl_jobflow.schemas.condition import one_or_many
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.progress import (
    LOADING,
    Clock,
    Progress,
    StageProgress,
    progress_bar,
)
from crystalicl_jobflow.validation import build_candidates

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator, UnfinishedWork


Asked = Condition | Mapping[str, Any] | Structure | str
"""What `Condition.parse` reads."""


def generate(
    conditions: Asked | Sequence[Asked],
    *,
    model: TextGenerator | str | None = None,
    pool: DemonstrationIndex | str | None = None,
    strategy: Strategy = "C",
    shots: int = 3,
    samples: int = 1,
    seed: int = 0,
    writing: Writing | Mapping[str, Any] | None = None,
) -> list[Candidate]:
    """Generate crystals for conditions, and check them.

    A notebook or a terminal shows one bar meanwhile.

    Parameters
    ----------
    conditions
        One condition or several, each also as a mapping of its fields, a formula or a crystal.
    model
        A loaded model, or what `load_generator` takes; None: the model and adapter of the
        settings.
    pool
        An opened pool, or what `open_pool` takes; None: the prototypes that ship with
        pymatgen. Not opened where nothing is taken from it. A pool that is given also tells the
        space groups of a formula asked for without one, see `Writing.groups`.
    strategy, shots
        How demonstrations are chosen, and how many a prompt shows (0 to 5).
    samples
        Texts per condition; with a search, its simulations instead.
    seed
        Seed of the demonstrations and the texts.
    writing
        Temperature, text format, constraint, template, search and where space groups come from;
        the defaults where None; also as a mapping of its fields. Its seed is not used.

    Returns
    -------
    list of Candidate
        One per text, valid or not, condition after condition.

    Raises
    ------
    ConditionError, ImpossibleConditionError
        If a condition makes no sense, or no crystal can meet it under the constraint.
    GenerationError
        If the model cannot be loaded.

    Examples
    --------
    >>> from crystalicl_jobflow import evaluate, generate
    >>> perovskite = {"formula": "CaTiO3", "space_group": 221}
    >>> candidates = generate(perovskite, samples=8)  # doctest: +SKIP
    >>> print(evaluate(candidates).rates["joint"])  # doctest: +SKIP
    """
    samples, seed = whole_number(samples, "samples"), whole_number(seed, "seed", least=None)
    shots = check_choice(strategy, shots)
    if model is not None and not isinstance(model, str) and not hasattr(model, "generate"):
        raise ValueError(f"model must be a name or a loaded model, not {type(model).__name__}")
    name = model if isinstance(model, str) else SETTINGS.MODEL if model is None else ""
    templates = templates_needed(name, samples)
    writing = Writing() if writing is None else Writing.read(writing)
    asked = [Condition.parse(condition) for condition in one_or_many(conditions)]
    groups = 0
    if pool is not None and writing.groups == "pool" and writing.search is None:
        groups = groups_needed(asked, samples)
    with progress_bar() as report:
        if (shots or templates or groups) and not isinstance(pool, DemonstrationIndex):
            pool = open_pool(pool, strategy, progress=report)
        retrievals = choose_demonstrations(
            asked,
            pool if isinstance(pool, DemonstrationIndex) else None,
            strategy=strategy,
            shots=shots,
            seed=seed,
            templates=templates,
            groups=groups,
        )
        return write_and_check(
            retrievals,
            loader(model, report) if model is None or isinstance(model, str) else model,
            writing=replace(writing, sampling=writing.sampling.model_copy(update={"seed": seed})),
            samples=samples,
            progress=partial(report, "Generate"),
        )


def choose_demonstrations(
    conditions: Iterable[Condition],
    pool: DemonstrationIndex | None,
    *,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int = 0,
    templates: int = 0,
    groups: int = 0,
) -> list[Retrieval]:
    """Choose the demonstrations of every condition; no pool is needed for none.

    Parameters
    ----------
    conditions
        The conditions.
    pool
        The demonstrations to choose from.
    strategy, shots, seed, templates, groups
        See :func:`crystalicl_jobflow.retrieval.retrieve`.

    Raises
    ------
    ValueError
        If there are shots or templates and no pool, or the pool lacks fingerprints that the
        strategy needs.
    """
    if shots and pool is None:
        raise ValueError(f"{shots} shots need a pool of demonstrations")
    if templates and pool is None:
        raise ValueError("substitution needs a pool of known crystals")
    if groups and pool is None:
        raise ValueError("groups are drawn from a pool of known crystals")
    if pool is not None and (shots or templates or groups):
        return retrieve_many(
            pool,
            conditions,
            strategy=strategy,
            shots=shots,
            seed=seed,
            templates=templates,
            groups=groups,
        )
    return [Retrieval(condition=item, strategy=strategy, shots=0, seed=seed) for item in conditions]


def groups_needed(conditions: Iterable[Condition], samples: int) -> int:
    """Return how many space groups retrievals should offer; 0 where no condition lacks one.

    Parameters
    ----------
    conditions
        The conditions; only a formula without a space group has groups to draw from.
    samples
        Texts per condition. Some groups more are needed, since a few may turn out impossible.
    """
    if any(item.formula is not None and item.space_group is None for item in conditions):
        return min(MAX_GROUPS, samples + 5)
    return 0


def write_and_check(
    retrievals: Sequence[Retrieval],
    generator: TextGenerator | Callable[[], TextGenerator],
    *,
    writing: Writing,
    samples: int = 1,
    progress: Progress | None = None,
    unfinished: UnfinishedWork | None = None,
    clock: Clock | None = None,
    judge: JudgeTexts | None = None,
) -> list[Candidate]:
    """Write the texts of retrieved demonstrations and their conditions, and check them.

    Parameters
    ----------
    retrievals
        Each a condition with its demonstrations.
    generator
        The language model, or what loads it: called once all conditions are known to be
        possible.
    writing
        How texts are written.
    samples
        Texts per condition; with a search, its simulations instead.
    progress
        Called with (texts written, texts in all).
    unfinished
        Keeps each text as soon as it is written, see
        :func:`~crystalicl_jobflow.generation.generate.generate_for_retrievals`.
    clock
        Gets the seconds of the writing as 'generate'.
    judge
        Tells what the texts of a search are worth; None for a `TextJudge` of its settings.

    Returns
    -------
    list of Candidate
        One per text, valid or not, condition after condition.
    """
    if judge is None:
        conditions = [retrieval.condition for retrieval in retrievals]
        judge = search_judge(conditions, writing.search, text_format=writing.text_format)
    generations = generate_for_retrievals(
        retrievals,
        generator,
        num_samples=samples,
        progress=progress,
        unfinished=unfinished,
        judge=judge,
        **writing.options(),
    )
    if clock is not None:
        clock.lap("generate")
    return build_candidates(generations)


def loader(model: str | None, report: StageProgress) -> Callable[[], TextGenerator]:
    """Return what loads a model by its name, and says so.

    Parameters
    ----------
    model
        See :func:`load_model`.
    report
        Told that the model is being loaded.
    """

    def load() -> TextGenerator:
        report(LOADING, 0, None)
        return load_model(model)

    return load


def load_model(model: str | None) -> TextGenerator:
    """Load a model by its name; None for that of the settings, with its adapter."""
    return load_generator(
        model or SETTINGS.MODEL,
        SETTINGS.ADAPTER if model is None else None,
        device=SETTINGS.DEVICE,
        batch_size=SETTINGS.BATCH_SIZE,
        num_threads=SETTINGS.NUM_THREADS,
    )
