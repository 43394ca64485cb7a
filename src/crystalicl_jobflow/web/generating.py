"""The model that is loaded once, and how it is asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.generation.http_engine import is_server
from crystalicl_jobflow.generation.loading import templates_needed
from crystalicl_jobflow.pipeline import choose_demonstrations, groups_needed, write_and_check
from crystalicl_jobflow.schemas import Candidate, Condition, Strategy
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.web.questions import Question

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.retrieval import DemonstrationIndex

logger = logging.getLogger(__name__)

_FIRST = Question(Condition(formula="NaCl", space_group=225), samples=1)
"""What a model writes before anybody asks."""


@dataclass(frozen=True)
class Generating:
    """Answers questions with one model.

    Parameters
    ----------
    generator
        The loaded model.
    model
        The name it was loaded by.
    pool
        The demonstrations; None where no prompt shows any.
    own_pool
        Whether the pool is the user's own: then it tells the groups of a formula that is asked
        for without one.
    strategy, shots
        How demonstrations are chosen, and how many a prompt shows.
    writing
        How texts are written; the seed is the question's.
    """

    generator: TextGenerator
    model: str
    pool: DemonstrationIndex | None
    own_pool: bool = False
    strategy: Strategy = "C"
    shots: int = 3
    writing: Writing = field(default_factory=Writing)

    def __call__(self, question: Question, progress: Progress) -> Sequence[Candidate]:
        """Return the candidates of a question, valid or not."""
        progress(0, question.samples)
        groups = 0
        if self.own_pool and self.writing.groups == "pool":
            groups = groups_needed([question.condition], question.samples)
        retrievals = choose_demonstrations(
            [question.condition],
            self.pool,
            strategy=self.strategy,
            shots=self.shots,
            seed=question.seed,
            templates=templates_needed(self.model, question.samples),
            groups=groups,
        )
        sampling = self.writing.sampling.model_copy(update={"seed": question.seed})
        return write_and_check(
            retrievals,
            self.generator,
            writing=replace(self.writing, sampling=sampling),
            samples=question.samples,
            progress=progress,
        )


class Loading:
    """Answers questions with a model that is loaded while the pages answer already.

    Parameters
    ----------
    load
        Loads the model, and the pool.
    """

    def __init__(self, load: Callable[[], Generating]) -> None:
        self._load = load
        self._loaded: Generating | None = None
        self._closed = threading.Event()

    def prepare(self) -> None:
        """Load the model, and let it write once: the first time is the slowest.

        A model server is not asked: that may cost money.
        """
        self._loaded = self._load()
        if is_server(self._loaded.model):
            return
        try:
            self._loaded(_FIRST, self._go_on)
        except (_ClosedError, CrystalICLError, ValueError, OSError) as error:
            logger.debug("nothing was written to begin with: %s", error)  # a question will tell

    def close(self) -> None:
        """Give up the first text, where it is being written."""
        self._closed.set()

    def _go_on(self, _done: int, _of: int) -> None:
        if self._closed.is_set():
            raise _ClosedError

    def __call__(self, question: Question, progress: Progress) -> Sequence[Candidate]:
        """Return the candidates of a question, valid or not."""
        assert self._loaded is not None  # the worker prepares before it answers
        return self._loaded(question, progress)


class _ClosedError(RuntimeError):
    """The server ends before its first question."""
