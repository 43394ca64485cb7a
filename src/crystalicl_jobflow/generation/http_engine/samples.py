"""One sample from a server: its draws, the check of each, and the best of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crystalicl_jobflow.generation.base import AcceptText, GenerationRequest
from crystalicl_jobflow.generation.constraints.finished_text import TextCheck
from crystalicl_jobflow.generation.http_engine.protocol import Answer
from crystalicl_jobflow.generation.random_streams import RowStream
from crystalicl_jobflow.generation.rows import LOG_PROB_DECIMALS, severity
from crystalicl_jobflow.schemas import Completion, FailureReason, SamplingParams


@dataclass
class Sample:
    """One sample of one request, with the results of its draws so far.

    Parameters
    ----------
    request, request_index, sample_index
        Identify the sample.
    sampling
        Seed and number of draws.
    check
        Check of the request's constraint; None where it has none.
    described
        Description of the constraint and of how it was enforced.
    """

    request: GenerationRequest
    request_index: int
    sample_index: int
    sampling: SamplingParams
    check: TextCheck | None = None
    described: str | None = None
    attempt: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    tokens_drawn: int = 0
    _best: tuple[Answer, FailureReason | None] | None = None

    @property
    def seed(self) -> int:
        """The draw's seed, from the run's seed, the key, the sample number and the attempt."""
        return RowStream(
            self.sampling.seed,
            key=self.request.key,
            request_index=self.request_index,
            sample_index=self.request.first_sample + self.sample_index,
            attempt=self.attempt,
        ).server_seed()

    def take(self, answer: Answer, accept: AcceptText | None) -> bool:
        """Check a draw.

        Returns
        -------
        bool
            Whether the sample is finished; if not, another draw is made.
        """
        self.tokens_drawn += answer.num_tokens
        reason = self._judge(answer, accept)
        self._keep(answer, reason)
        if reason is None or self.attempt >= self.sampling.max_redraws:
            return True
        self.attempt += 1
        return False

    def fail(self, message: str) -> Completion:
        """Return the sample after a draw without text: an earlier text, or an empty one."""
        if self._best is not None:
            self.rejected[str(FailureReason.NOT_GENERATED)] += 1
            return self.completion()
        return Completion(
            request_index=self.request_index,
            sample_index=self.sample_index,
            text="",
            finished=False,
            num_tokens=0,
            attempts=self.attempt + 1,
            constraint=self.described,
            error=message,
            flaw=FailureReason.NOT_GENERATED,
            draws=self.attempt + 1,
        )

    def completion(self) -> Completion:
        """Return the document of the best draw; of equal ones, the last."""
        assert self._best is not None
        answer, reason = self._best
        return Completion(
            request_index=self.request_index,
            sample_index=self.sample_index,
            text=answer.text,
            finished=answer.finished,
            num_tokens=answer.num_tokens,
            attempts=self.attempt + 1,
            rejected=dict(sorted(self.rejected.items())),
            constraint=self.described,
            log_prob=None if answer.log_prob is None else round(answer.log_prob, LOG_PROB_DECIMALS),
            flaw=reason,
            draws=self.attempt + 1,
            tokens_drawn=self.tokens_drawn,
        )

    def _keep(self, answer: Answer, reason: FailureReason | None) -> None:
        """Keep the better of this draw and the best so far; count the other as rejected."""
        if self._best is None:
            self._best = answer, reason
            return
        known = self._best[1]
        if severity(reason) <= severity(known):
            self._best, worse = (answer, reason), known
        else:
            worse = reason
        self.rejected[str(worse)] += 1

    def _judge(self, answer: Answer, accept: AcceptText | None) -> FailureReason | None:
        """Return a draw's most serious fault; as elsewhere, only where there is a check."""
        if accept is None and self.check is None:
            return None
        if not answer.finished:
            return FailureReason.TRUNCATED
        reason = None if accept is None else accept(answer.text, self.request)
        if self.check is not None:
            reason = max(reason, self.check(answer.text), key=severity)
        return reason
