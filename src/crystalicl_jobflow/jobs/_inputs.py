"""Read what a Maker is given: one document or many, plain data, or another job's output."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from crystalicl_jobflow.schemas import Candidate, Condition, Generation, Retrieval
from crystalicl_jobflow.schemas.jobs import GenerateDoc, RetrieveDoc, ValidateDoc


def as_conditions(value: Any) -> list[Condition]:
    """Return conditions from one or several, as documents, mappings or JSON.

    Raises
    ------
    ConditionError
        If a condition is impossible; one line.
    """
    return [Condition.parse(item) for item in _as_list(value)]


def as_retrievals(value: Any) -> list[Retrieval]:
    """Return retrievals; a condition alone becomes one without demonstrations."""
    retrievals: list[Retrieval] = []
    for item in _as_list(value):
        if isinstance(item, RetrieveDoc):
            retrievals += item.retrievals
        elif isinstance(item, Retrieval):
            retrievals.append(item)
        elif isinstance(item, Mapping) and "condition" in item:
            retrievals.append(Retrieval.model_validate(_plain(item)))
        else:
            condition = Condition.parse(item)
            retrievals.append(Retrieval(condition=condition, strategy="C", shots=0, seed=0))
    return retrievals


def as_generations(value: Any) -> list[Generation]:
    """Return generations from one or several, as documents or mappings."""
    generations: list[Generation] = []
    for item in _as_list(value):
        if isinstance(item, GenerateDoc):
            generations += item.generations
        else:
            generations.append(Generation.model_validate(_plain(item)))
    return generations


def as_candidates(value: Any) -> list[Candidate]:
    """Return candidates from one or several, as documents or mappings."""
    candidates: list[Candidate] = []
    for item in _as_list(value):
        if isinstance(item, ValidateDoc):
            candidates += item.candidates
        else:
            candidates.append(Candidate.model_validate(_plain(item)))
    return candidates


def log_progress(
    logger: logging.Logger, what: str, *, every: float = 10.0
) -> Callable[[int, int], None]:
    """Return a callback that logs progress now and then.

    Parameters
    ----------
    logger
        Logger of the step.
    what
        Words for what is counted.
    every
        Shortest time between two lines, in s; the last one always comes.
    """
    shown = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done == total or now - shown >= every:
            shown = now
            logger.info("%s: %d of %d", what, done, total)

    return report


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _plain(item: Any) -> Any:
    """Drop monty's class marks, which documents would refuse as unknown fields."""
    if isinstance(item, Mapping):
        return {name: content for name, content in item.items() if not str(name).startswith("@")}
    return item
