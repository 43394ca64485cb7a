"""Read what a Maker is given: one document or many, plain data, or another job's output."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobflow import OutputReference
from maggma.core import Store
from pymatgen.core import Structure

from crystalicl_jobflow.jobs._job import DOCUMENT_MARKS, add_to_name, asked_words
from crystalicl_jobflow.schemas import Candidate, Condition, Generation, Retrieval
from crystalicl_jobflow.schemas.base import without_marks
from crystalicl_jobflow.schemas.candidate import ValidateDoc
from crystalicl_jobflow.schemas.discovery import ChosenCrystal, SelectDoc
from crystalicl_jobflow.schemas.generation import GenerateDoc
from crystalicl_jobflow.schemas.retrieval import RetrieveDoc
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, RelaxDoc
from crystalicl_jobflow.utils.progress import Progress, StageProgress
from crystalicl_jobflow.utils.redaction import refuse_secrets

if TYPE_CHECKING:
    from crystalicl_jobflow.datasets.crystal_data import CrystalData

MakeT = TypeVar("MakeT", bound=Callable[..., Any])

Conditions = (
    Condition
    | Mapping[str, Any]
    | Structure
    | str
    | OutputReference
    | Sequence[Condition | Mapping[str, Any] | Structure | str | OutputReference]
)
"""One condition or several, as documents, mappings, JSON, formulas or crystals, or as the output of
another job."""


def without_secrets(*names: str) -> Callable[[MakeT], MakeT]:
    """Let a Maker's ``make`` refuse sources of crystals that hold a password.

    Whatever a job is given is stored with it, so the check comes before there is a job. Put it
    above jobflow's ``@job``.

    Parameters
    ----------
    *names
        Arguments that may name or describe a store, or be a list of such; their crystals and
        references to other jobs are not searched.
    """

    def decorate(make: MakeT) -> MakeT:
        signature = inspect.signature(make)

        @wraps(make)
        def checked(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            for name in names:
                for item in _as_list(given.get(name)):
                    refuse_stored_secrets(item, f"{name!r}")
            return make(*args, **kwargs)

        return checked  # type: ignore[return-value]  # it has make's signature

    return decorate


def with_checked_conditions(name: str) -> Callable[[MakeT], MakeT]:
    """Let a Maker's ``make`` refuse an impossible condition at once, not on the worker.

    The job is called after what is asked for, see :func:`asked_words`.

    Parameters
    ----------
    name
        The argument: conditions or retrievals; references to other jobs are not looked into.
    """

    def decorate(make: MakeT) -> MakeT:
        signature = inspect.signature(make)

        @wraps(make)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for item in _as_list(signature.bind(*args, **kwargs).arguments.get(name)):
                # retrievals and marked documents are read on the worker
                if isinstance(item, OutputReference | Retrieval | RetrieveDoc) or (
                    isinstance(item, Mapping) and item.keys() & DOCUMENT_MARKS
                ):
                    continue
                Condition.parse(item)
            made, maker = make(*args, **kwargs), args[0]
            asked = signature.bind(*args, **kwargs).arguments.get(name)
            add_to_name(made, maker, asked_words(asked, getattr(maker, "num_texts", None)))
            return made

        return checked  # type: ignore[return-value]  # it has make's signature

    return decorate


def refuse_stored_secrets(value: Any, what: str) -> None:
    """Refuse a store's URI, configuration or object that holds a password.

    Parameters
    ----------
    value
        What a job is given: refused are URIs, configurations (``type`` or ``@class`` names
        a store) and stores; crystals, other documents and references to jobs pass.
    what
        What to call it in the message.

    Raises
    ------
    ValueError
        If it holds a secret; one line without it.
    """
    if isinstance(value, Store):
        refuse_secrets(value.as_dict(), what)
    elif isinstance(value, str | Path):
        refuse_secrets(str(value), what)
    elif isinstance(value, Mapping) and (
        "type" in value or str(value.get("@class", "")).endswith("Store")
    ):
        refuse_secrets(value, what)


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
            retrievals.append(Retrieval.model_validate(without_marks(item)))
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
            generations.append(Generation.model_validate(without_marks(item)))
    return generations


def as_candidates(value: Any) -> list[Candidate]:
    """Return candidates from one or several, as documents or mappings."""
    candidates: list[Candidate] = []
    for item in _as_list(value):
        if isinstance(item, ValidateDoc):
            candidates += item.candidates
        else:
            candidates.append(Candidate.model_validate(without_marks(item)))
    return candidates


def as_crystals(value: Any) -> CrystalData | None:
    """Return known crystals from what names or holds them.

    Parameters
    ----------
    value
        None; the name of a source (a CSV with CIFs, a store), read where the job runs;
        structures or documents with one (``structure``, and where there are
        ``demonstration_id``, ``candidate_id`` or ``material_id``, and ``properties``), as a
        list, or as a mapping by id.

    Raises
    ------
    ValueError
        If an item holds no structure; one line.
    """
    from crystalicl_jobflow.datasets.crystal_data import CrystalData, read_data_set
    from crystalicl_jobflow.datasets.records import read_crystal

    if value is None or isinstance(value, CrystalData):
        return value
    if isinstance(value, str | Path):
        return read_data_set(value)
    pairs: list[tuple[Any, Any]]
    if isinstance(value, Mapping) and "structure" not in value:
        pairs = [(name, item) for name, item in value.items() if not str(name).startswith("@")]
    else:
        pairs = [(None, item) for item in _as_list(value)]
    data = CrystalData([], [], [], name=f"{len(pairs)} crystals given")
    for place, (name, item) in enumerate(pairs):
        fields = item if isinstance(item, Mapping) else getattr(item, "__dict__", {})
        structure = item if isinstance(item, Structure) else fields.get("structure")
        if not isinstance(structure, Structure | Mapping):
            raise ValueError(f"known crystal {name or place} holds no structure")
        try:
            structure = read_crystal(structure)
        except ValueError as error:
            raise ValueError(f"known crystal {name or place}: {error}") from None
        own = () if isinstance(item, Structure) else _ID_FIELDS
        ids = [name, *(fields.get(field) for field in own), place]
        data.ids.append(str(next(found for found in ids if found is not None)))
        data.structures.append(structure)
        data.properties.append(
            {} if isinstance(item, Structure) else dict(fields.get("properties") or {})
        )
    return data


def as_relaxations(value: Any) -> list[CandidateRelaxation] | None:
    """Return relaxations from one or several, as documents or mappings; None for none.

    What failed altogether is None in a list of outputs, and left out: its candidate counts
    as one without a relaxation.
    """
    if value is None:
        return None
    relaxations: list[CandidateRelaxation] = []
    for item in _as_list(value):
        if item is None:
            continue
        if isinstance(item, RelaxDoc):
            relaxations += item.relaxations
        elif isinstance(item, Mapping) and "relaxations" in item:
            relaxations += RelaxDoc.model_validate(without_marks(item)).relaxations
        else:
            relaxations.append(CandidateRelaxation.model_validate(without_marks(item)))
    return relaxations


def as_chosen(value: Any) -> list[ChosenCrystal]:
    """Return crystals that go on, from a selection, a validation, candidates or themselves.

    Of a validation the valid candidates are taken, of candidates those with a crystal.

    Raises
    ------
    ValueError
        If an item is none of these; one line.
    """
    chosen: list[ChosenCrystal] = []
    for item in [] if value is None else _as_list(value):
        if isinstance(item, SelectDoc):
            chosen += item.chosen
        elif isinstance(item, ValidateDoc):
            chosen += as_chosen(item.valid_candidates)
        elif isinstance(item, ChosenCrystal):
            chosen.append(item)
        elif isinstance(item, Mapping) and "rank" in item:
            chosen.append(ChosenCrystal.model_validate(without_marks(item)))
        elif isinstance(item, Candidate) or (isinstance(item, Mapping) and "candidate_id" in item):
            candidate = as_candidates(item)[0]
            if candidate.structure is not None:
                chosen.append(
                    ChosenCrystal(
                        candidate_id=candidate.candidate_id,
                        formula_pretty=candidate.formula_pretty or "",
                        structure=candidate.structure,
                        rank=len(chosen) + 1,
                    )
                )
        else:
            raise ValueError(f"{type(item).__name__} is no candidate; relax candidates")
    return chosen


def as_pattern(value: Any, wavelength: str | float | None = None) -> dict[str, Any] | None:
    """Return a measured powder pattern as plain data, which a job can hold.

    Parameters
    ----------
    value
        A file, a pattern or its document; None for none.
    wavelength
        Name of a radiation, or Å; None for what the pattern has.

    Raises
    ------
    ValueError
        If there is no pattern in it, or a wavelength without a pattern; one line.
    """
    if value is None and wavelength is None:
        return None
    from crystalicl_jobflow.comparison.diffraction import measured_pattern

    pattern = measured_pattern(value, wavelength)
    return None if pattern is None else pattern.model_dump(mode="json")


_ID_FIELDS = ("demonstration_id", "candidate_id", "material_id")


def log_progress(logger: logging.Logger, what: str, *, every: float = 10.0) -> Progress:
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


def log_stages(logger: logging.Logger, *, every: float = 10.0) -> StageProgress:
    """Return a callback that logs the progress of several stages, see :func:`log_progress`."""
    stages: dict[str, Progress] = {}

    def report(what: str, done: int, total: int | None) -> None:
        if what not in stages:
            stages[what] = log_progress(logger, what, every=every)
        stages[what](done, total or 0)

    return report


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
