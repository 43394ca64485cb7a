"""The model that is loaded once, and how it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.generation.loading import templates_needed
from crystalicl_jobflow.pipeline import choose_demonstrations, groups_needed, write_and_check
from crystalicl_jobflow.schemas import Candidate, Strategy
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.web.questions import Question

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.retrieval import DemonstrationIndex


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
