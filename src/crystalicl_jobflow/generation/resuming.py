"""Texts of an unfinished generation, kept on disk so that a killed run can be resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from crystalicl_jobflow.generation.base import (
    AcceptText,
    GenerationRequest,
    TextGenerator,
)
from crystalicl_jobflow.schemas import Completion, Condition, ModelInfo, SamplingParams
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.journal import Journal
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

Draw = tuple[int, int]
"""Index of the retrieval in the task, and number of the draw in its random streams."""


def model_identity(info: ModelInfo) -> dict[str, Any]:
    """Return everything about a model that affects its texts: all but the GPU's number."""
    return {**info.model_dump(), "device": info.device.partition(":")[0]}


def task_content(
    conditions: Sequence[Condition],
    constrain: bool | ConstraintOptions,
    *,
    text_format: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return what affects the texts apart from requests, sampling and model, as plain data.

    Parameters
    ----------
    conditions
        The requested conditions, against which texts are checked as they are drawn.
    constrain
        Whether texts are constrained to them during generation; defaults are written out.
    text_format
        Name of the crystal text.
    versions
        Versions of the packages that write and check texts.
    """
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

    options = ConstraintOptions() if constrain is True else constrain
    return {
        "conditions": [condition.model_dump(mode="json") for condition in conditions],
        "constrain": options and options.model_dump(mode="json"),
        "text_format": text_format,
        "versions": dict(versions),
    }


class UnfinishedWork:
    """The texts of one generation that are already written, in one file.

    A :class:`~crystalicl_jobflow.utils.journal.Journal` whose task is prompts, random streams,
    sampling and seed, constraint, text format, model with its revision, and package versions.
    A line is written as soon as a draw is finished.

    Parameters
    ----------
    folder
        Folder of the file, created when the first line is written. Every launch must have access
        to it.
    on_found
        Called with the number of draws found and the total number, if any was found.
    start_over
        Whether to discard the texts of an earlier launch of the task.

    Examples
    --------
    >>> import tempfile
    >>> from crystalicl_jobflow.generation.resuming import UnfinishedWork
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     work = UnfinishedWork(folder)
    ...     done = work.begin({"seed": 0})
    ...     work.discard()
    >>> done
    {}
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        on_found: Progress | None = None,
        start_over: bool = False,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.on_found = on_found
        self.start_over = start_over
        self.num_found = 0
        self.num_failed = 0
        self.seconds_before = 0.0
        self.more: dict[Draw, dict[str, Any]] = {}
        """What was put on record beside the draws found."""
        self._journal: Journal | None = None
        self._started = 0.0

    @property
    def path(self) -> Path | None:
        """The file of the current task."""
        return None if self._journal is None else self._journal.path

    def begin(self, task: Mapping[str, Any], *, total: int | None = None) -> dict[Draw, Completion]:
        """Open the file of a task.

        Parameters
        ----------
        task
            Everything that affects the texts, as plain data.
        total
            Total number of draws, for ``on_found``.

        Returns
        -------
        dict
            The draws that an earlier launch has written.
        """
        self.close()
        self._journal = Journal(self.folder, task)
        self.seconds_before = 0.0
        if self.start_over:
            self._journal.remove()
        found = self._read(self._journal)
        self.num_found = len(found)
        self._started = time.perf_counter()
        if found and self.on_found is not None:
            self.on_found(len(found), len(found) if total is None else total)
        return found

    def record(
        self, draw: Draw, completion: Completion, more: Mapping[str, Any] | None = None
    ) -> None:
        """Store a finished draw; it is completely on disk when this returns.

        Parameters
        ----------
        draw
            Which one it is.
        completion
            Its text.
        more
            Plain data that is kept with it.

        Raises
        ------
        RuntimeError
            If :meth:`begin` was not called.
        """
        if self._journal is None:
            raise RuntimeError("begin a task before its draws are recorded")
        seconds = self.seconds_before + time.perf_counter() - self._started
        self._journal.write(
            {
                "draw": list(draw),
                "seconds": round(seconds, 3),
                "completion": completion.model_dump(mode="json", exclude_defaults=True),
                **({"more": dict(more)} if more else {}),
            }
        )

    def close(self) -> None:
        """Close the file, and keep it."""
        if self._journal is not None:
            self._journal.close()

    def discard(self) -> None:
        """Remove the file once its contents are saved elsewhere.

        If the engine failed on some draws, the file is kept: another launch repeats only those.
        """
        self.close()
        if self._journal is not None and not self.num_failed:
            self._journal.remove()
        self._journal = None

    def _read(self, journal: Journal) -> dict[Draw, Completion]:
        found = {}
        self.more = {}
        for entry in journal.read():
            try:
                request, number = entry["draw"]
                completion = Completion.model_validate(entry["completion"])
                self.seconds_before = max(self.seconds_before, float(entry["seconds"]))
            except (KeyError, TypeError, ValueError, ValidationError):
                continue  # cut off by a kill
            found[int(request), int(number)] = completion
            self.more[int(request), int(number)] = entry.get("more") or {}
        return found


def draw_missing(
    generator: TextGenerator,
    requests: Sequence[GenerationRequest],
    sampling: SamplingParams,
    work: UnfinishedWork,
    *,
    task: Mapping[str, Any],
    accept: AcceptText | None = None,
    progress: Progress | None = None,
) -> list[list[Completion]]:
    """Generate the draws that an earlier launch of the same task has not written.

    Parameters
    ----------
    generator, sampling, accept, progress
        As in :meth:`TextGenerator.generate`; progress counts the draws found as finished.
    requests
        The whole task, each request with a key: the random stream of a draw depends only on key
        and number, so missing draws come out as in an uninterrupted run.
    work
        Holds the earlier draws and stores the new ones.
    task
        What affects the texts apart from the requests.

    Returns
    -------
    list of list of Completion
        For each request, in order, its completions, in order, as in an uninterrupted run.
    """
    total = sum(request.num_samples for request in requests)
    found = work.begin(work_content(requests, sampling, generator.info, task=task), total=total)
    missing: list[tuple[int, GenerationRequest]] = []
    for place, request in enumerate(requests):
        numbers = range(request.first_sample, request.first_sample + request.num_samples)
        for first, count in _runs([n for n in numbers if (place, n) not in found]):
            missing.append((place, replace(request, first_sample=first, num_samples=count)))

    def keep(index: int, completion: Completion) -> None:
        place, request = missing[index]
        work.record((place, request.first_sample + completion.sample_index), completion)

    done_before = len(found)
    if progress is not None and done_before:
        progress(done_before, total)
    if missing:
        answers = generator.generate(
            [request for _, request in missing],
            sampling,
            accept=accept,
            progress=None
            if progress is None
            else lambda done, _missing: progress(done_before + done, total),
            on_completion=keep,
        )
        for (place, request), completions in zip(missing, answers, strict=True):
            for number, completion in enumerate(completions, start=request.first_sample):
                found[place, number] = completion
    work.num_failed = sum(completion.error is not None for completion in found.values())
    return [
        [found[place, request.first_sample + sample] for sample in range(request.num_samples)]
        for place, request in enumerate(requests)
    ]


def work_content(
    requests: Sequence[GenerationRequest],
    sampling: SamplingParams,
    model: ModelInfo,
    *,
    task: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that affects the texts of a task, as plain data.

    Parameters
    ----------
    requests
        The whole task.
    sampling
        How texts are drawn.
    model
        What writes them.
    task
        What affects the texts apart from these, see `task_content`.
    """
    return {
        **task,
        "requests": [_request_content(request) for request in requests],
        "sampling": sampling.model_dump(),
        "model": model_identity(model),
    }


def _request_content(request: GenerationRequest) -> list[Any]:
    constraint = None if request.constraint is None else request.constraint.describe()
    prompt = text_hash(request.prompt)
    return [prompt, request.key, request.first_sample, request.num_samples, constraint]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as ranges without gaps, (first, count)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs
