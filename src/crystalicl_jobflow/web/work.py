"""One question at a time, a few that wait, and what became of them."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from crystalicl_jobflow.notebook import Crystals
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.redaction import redact
from crystalicl_jobflow.web.limits import Limits
from crystalicl_jobflow.web.questions import Question

logger = logging.getLogger(__name__)

Answer = Callable[[Question, Progress], Sequence[Candidate]]
"""Generates for a question; calls back with (texts written, texts in all), at least once."""

Keep = Callable[[Sequence[Candidate], str], None]
"""Stores candidates under the name of a run."""

ENDING = "the server was ended"


class FullError(CrystalICLError, RuntimeError):
    """No further question can wait; the message is one line."""


class _StoppedError(RuntimeError):
    """A question is given up; raised within its work, and says why."""


class State(StrEnum):
    """Where a question is."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(eq=False)
class Run:
    """A question, how far it is, and its answer.

    Parameters
    ----------
    run_id
        Drawn at random: whoever does not know it does not find it.
    question
        What was asked.
    state
        Where it is.
    done, total
        Texts written, and texts in all.
    message
        Why it failed or was stopped, or that it could not be stored; one line.
    crystals
        The different crystals, once it is done.
    asked_at, seconds
        When it was asked, in UTC, and how long it was worked on.
    """

    run_id: str
    question: Question
    state: State = State.WAITING
    done: int = 0
    total: int = 0
    message: str = ""
    crystals: Crystals | None = None
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    why_stop: str = field(default="", repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (State.DONE, State.FAILED, State.STOPPED)

    @property
    def name(self) -> str:
        """The run's name in the store."""
        return f"web-{self.run_id}"


class Work:
    """A queue with one worker, which has the model.

    Where the model cannot be loaded, ``fault`` says why: the server is to end then.

    Parameters
    ----------
    answer
        Generates for a question.
    limits
        How many may wait, how long one may take, how many answers are kept.
    keep
        Stores the candidates of an answer; None for no store.
    prepare
        Called by the worker before the first question: loads the model while pages answer
        already. None where nothing is to be loaded.
    """

    def __init__(
        self,
        answer: Answer,
        limits: Limits,
        *,
        keep: Keep | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._answer, self._keep, self.limits = answer, keep, limits
        self._prepare = prepare
        self._prepared = threading.Event()
        if prepare is None:
            self._prepared.set()
        self.fault: Exception | None = None
        self._waiting: queue.Queue[Run | None] = queue.Queue()
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="crystals", daemon=True)
        self._thread.start()

    @property
    def loading(self) -> bool:
        """Whether the model is still being loaded; questions wait for it."""
        return not self._prepared.is_set()

    def ask(self, question: Question) -> Run:
        """Put a question at the end of the queue.

        Raises
        ------
        FullError
            If as many wait as may, or the server ends.
        """
        with self._lock:
            if self._closed:
                raise FullError(f"{ENDING}: ask again once it is back")
            waiting = sum(run.state is State.WAITING for run in self._runs.values())
            if waiting >= self.limits.waiting:
                raise FullError(f"{waiting} questions are waiting already: ask again later")
            run = Run(secrets.token_hex(8), question, total=question.samples)
            self._runs[run.run_id] = run
            ended = [item for item in self._runs.values() if item.ended]
            for old in ended[: max(0, len(self._runs) - self.limits.kept)]:
                del self._runs[old.run_id]
        self._waiting.put(run)
        return run

    def find(self, run_id: str) -> Run | None:
        """Return a run, or None where there is none or it is forgotten."""
        with self._lock:
            return self._runs.get(run_id)

    def runs(self) -> list[Run]:
        """Return all runs that are kept, the latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def before(self, run: Run) -> int:
        """Return how many questions are worked on before a waiting one."""
        with self._lock:
            earlier = list(self._runs.values())
        place = earlier.index(run) if run in earlier else 0
        return sum(not item.ended for item in earlier[:place])

    def stop(self, run: Run, why: str = "stopped on request") -> None:
        """Give up a question: at once where it waits, after the text being written otherwise."""
        with self._lock:
            if run.state is State.WAITING:
                run.state, run.message = State.STOPPED, why
            elif run.state is State.WORKING:
                run.why_stop = run.why_stop or why

    def close(self, *, seconds: float = 10.0) -> bool:
        """Give up all questions and end the worker.

        Parameters
        ----------
        seconds
            How long to wait for the text that is being written; a second where it is a model
            that is being loaded.

        Returns
        -------
        bool
            Whether the worker has ended.
        """
        with self._lock:
            self._closed = True
        for run in self.runs():
            self.stop(run, ENDING)
        self._waiting.put(None)
        self._thread.join(min(seconds, 1.0) if self.loading else seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        if self._prepare is not None:
            try:
                self._prepare()
            except Exception as error:  # whatever: without a model there is nothing to serve
                self.fault = error
                return
        self._prepared.set()
        while (run := self._waiting.get()) is not None:
            with self._lock:
                if run.state is not State.WAITING:
                    continue
                run.state = State.WORKING
            started = time.monotonic()
            try:
                state, message = self._answered(run, started)
            except Exception as error:  # a fault of ours, and no reason to end the server
                logger.exception("a question failed")
                state, message = State.FAILED, f"internal error: {redact(one_line(error))}"
            run.seconds = time.monotonic() - started
            with self._lock:
                run.message, run.state = message, state

    def _answered(self, run: Run, started: float) -> tuple[State, str]:
        def progress(done: int, total: int) -> None:
            run.done, run.total = done, total
            if run.why_stop:
                raise _StoppedError(run.why_stop)
            if time.monotonic() - started > self.limits.seconds:
                raise _StoppedError(f"given up after {self.limits.seconds:g} s")

        try:
            candidates = self._answer(run.question, progress)
        except _StoppedError as stopped:
            return State.STOPPED, f"{stopped}, with {run.done} of {run.total} texts written"
        except (CrystalICLError, ValueError, OSError) as error:
            return State.FAILED, redact(one_line(error, limit=500))
        run.crystals = Crystals.from_candidates(candidates)
        if self._keep is None:
            return State.DONE, ""
        try:
            self._keep(candidates, run.name)
        except Exception as error:  # whatever a store's library raises: the crystals are there
            logger.warning("an answer could not be stored: %s", redact(one_line(error)))
            return State.DONE, f"not stored: {redact(one_line(error))}"
        return State.DONE, ""
