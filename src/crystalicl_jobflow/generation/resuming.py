"""What a generation has written so far, kept on disk so that a killed one goes on from there."""

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
"""Place of the retrieval in the task, and number of the draw in its random streams."""


def model_identity(info: ModelInfo) -> dict[str, Any]:
    """Return what of a model decides its texts: all but the number of the GPU."""
    return {**info.model_dump(), "device": info.device.partition(":")[0]}


def task_content(
    conditions: Sequence[Condition],
    constrain: bool | ConstraintOptions,
    *,
    text_format: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return what decides the texts besides requests, sampling and model, as plain data.

    Parameters
    ----------
    conditions
        What is asked for: texts are judged by it as they are drawn.
    constrain
        Whether texts are held to it as they are written; the defaults are spelled out.
    text_format
        Name of the crystal text.
    versions
        Of the packages that write and judge texts.
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
    """The texts of one generation that are written already, in a file of its own.

    A :class:`~crystalicl_jobflow.utils.journal.Journal` whose task is prompts, random streams,
    sampling and seed, constraint, text format, model with its revision, and package versions.
    A line is written as soon as a draw is finished.

    Parameters
    ----------
    folder
        Where the file lies; made when the first line is written. Every launch must see it.
    on_found
        Called with the number of draws found and the number asked for, if any was found.
    start_over
        Whether to forget what an earlier launch of the task has written.

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
        self._journal: Journal | None = None
        self._started = 0.0

    @property
    def path(self) -> Path | None:
        """The file of the task that was begun."""
        return None if self._journal is None else self._journal.path

    def begin(self, task: Mapping[str, Any], *, total: int | None = None) -> dict[Draw, Completion]:
        """Open the file of a task.

        Parameters
        ----------
        task
            Everything that decides the texts, as plain data.
        total
            Draws asked for, for ``on_found``.

        Returns
        -------
        dict
            What an earlier launch has written.
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

    def record(self, draw: Draw, completion: Completion) -> None:
        """Write a finished draw down; on disk in full when this returns.

        Raises
        ------
        RuntimeError
            If no task was begun.
        """
        if self._journal is None:
            raise RuntimeError("begin a task before its draws are recorded")
        seconds = self.seconds_before + time.perf_counter() - self._started
        self._journal.write(
            {
                "draw": list(draw),
                "seconds": round(seconds, 3),
                "completion": completion.model_dump(mode="json", exclude_defaults=True),
            }
        )

    def close(self) -> None:
        """Close the file, and keep it."""
        if self._journal is not None:
            self._journal.close()

    def discard(self) -> None:
        """Remove the file: what it holds is safe elsewhere.

        Where the engine failed on some draws, it stays: another launch asks for those alone.
        """
        self.close()
        if self._journal is not None and not self.num_failed:
            self._journal.remove()
        self._journal = None

    def _read(self, journal: Journal) -> dict[Draw, Completion]:
        found = {}
        for entry in journal.read():
            try:
                request, number = entry["draw"]
                completion = Completion.model_validate(entry["completion"])
                self.seconds_before = max(self.seconds_before, float(entry["seconds"]))
            except (KeyError, TypeError, ValueError, ValidationError):
                continue  # cut off by a kill
            found[int(request), int(number)] = completion
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
    """Draw what an earlier launch of the same task has not written.

    Parameters
    ----------
    generator, sampling, accept, progress
        As in :meth:`TextGenerator.generate`; progress counts what is found as done.
    requests
        The whole task, each request with a key: the streams of a draw hang on key and
        number alone, so what is missing is drawn as it would have been.
    work
        Holds what is written, and gets what is drawn.
    task
        What decides the texts besides the requests.

    Returns
    -------
    list of list of Completion
        For each request, in order, its completions, in order: those of an undisturbed run.
    """
    total = sum(request.num_samples for request in requests)
    described = {
        **task,
        "requests": [_request_content(request) for request in requests],
        "sampling": sampling.model_dump(),
        "model": model_identity(generator.info),
    }
    found = work.begin(described, total=total)
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


def _request_content(request: GenerationRequest) -> list[Any]:
    constraint = None if request.constraint is None else request.constraint.describe()
    prompt = text_hash(request.prompt)
    return [prompt, request.key, request.first_sample, request.num_samples, constraint]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return rising numbers as (first, count) of those without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs
