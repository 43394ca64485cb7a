"""One text being generated: its random stream, its tokens and its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.generation.base import (
    ConstraintState,
    GenerationRequest,
    TokenVocabulary,
)
from crystalicl_jobflow.generation.random_streams import RowStream
from crystalicl_jobflow.schemas import Completion, FailureReason, SamplingParams

if TYPE_CHECKING:
    from crystalicl_jobflow.generation.first_choice import ChoiceWatch

STOP_MARKERS = ("### Instruction", "### Response")
"""Where a model starts another exchange; its answer ends before this."""

LOG_PROB_DECIMALS = 2
"""Decimals of the logarithm of a text's probability: much coarser than rounding errors, so that
few texts lie too close to a step to be rounded reliably."""

_TAIL = 4 * max(len(marker) for marker in STOP_MARKERS)


_MILD = (
    FailureReason.ATOMS_OVERLAP,
    FailureReason.SYMMETRY_DIFFERS,
    FailureReason.SYMMETRY_NOT_FOUND,
    FailureReason.CONDITION_NOT_MET,
)
"""Faults with which a text still counts as a crystal, the least serious first."""


@dataclass(frozen=True)
class Draw:
    """A finished draw that was rejected, kept until there is a better one.

    Parameters
    ----------
    completion
        The text.
    reason
        Why it was rejected.
    room
        Smallest ratio of a distance to its allowed minimum; 1 where all are kept.
    """

    completion: Completion
    reason: FailureReason
    room: float

    @property
    def rank(self) -> tuple[int, float]:
        """Sort key; smallest for the best draw."""
        return severity(self.reason), -self.room


def severity(reason: FailureReason | None) -> int:
    """Return the rank of a reason for another draw: 0 for none, low for less serious ones."""
    if reason is None:
        return 0
    if reason is FailureReason.NOT_GENERATED:
        return 2 + len(_MILD)
    return 1 + (_MILD.index(reason) if reason in _MILD else len(_MILD))


@dataclass(eq=False)
class Row:
    """A draw of one sample of one request.

    The whole state of a draw is kept here and changes only when a token is appended, so a row can
    be taken out of a batch at any time and continued in another. It ends unfinished at
    ``max_new_tokens`` of the sampling, or when prompt and text fill the model's
    ``max_positions``.
    """

    request: GenerationRequest
    request_index: int
    sample_index: int
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    vocabulary: TokenVocabulary
    max_positions: int | None = None
    attempt: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    best: Draw | None = None
    tokens_before: int = 0

    def __post_init__(self) -> None:
        self.stream = RowStream(
            self.sampling.seed,
            key=self.request.key,
            request_index=self.request_index,
            sample_index=self.request.first_sample + self.sample_index,
            attempt=self.attempt,
        )
        self.tokens: list[int] = []
        self.last: int | None = None
        self.log_prob = 0.0
        self.weighed = 0
        """Number of written tokens whose log-probability is in `log_prob`."""
        self.next_ids: NDArray[np.int64] | None = None
        """Token ids that the constraint allows next, once they are asked for."""
        self.numbers_used = 0
        self.done = False
        self.finished = False
        self.text = ""
        self._bytes = b""
        self.choices: list[NDArray[np.int64]] | None = None
        """Token ids among which each token was drawn, where they are kept."""
        self.watch: ChoiceWatch | None = None
        """Notes the first step at which the row can go on in several ways."""
        self.is_refused = False
        """Whether the constraint did not take the tokens that the text was to begin with."""
        self.state: ConstraintState | None = None
        if self.request.constraint is not None:
            self.state = self.request.constraint.start(self.vocabulary)

    @property
    def context(self) -> tuple[int, ...]:
        """Token ids of prompt and text so far."""
        return (*self.prompt_ids, *self.tokens) if self.tokens else self.prompt_ids

    @property
    def length(self) -> int:
        """Number of tokens of prompt and text so far."""
        return len(self.prompt_ids) + len(self.tokens)

    @property
    def given(self) -> int | None:
        """The next token of those that the text begins with; None after them."""
        prefix = self.request.prefix
        return prefix[len(self.tokens)] if len(self.tokens) < len(prefix) else None

    def follow(self) -> None:
        """Append the next given token, or end where the constraint does not take it."""
        token = self.given
        assert token is not None
        if self.state is None or self.state.advance(token):
            self.take(token, self.numbers_used)
        else:
            self.is_refused = True
            self.end(finished=False)

    def take(self, token: int, numbers_used: int) -> None:
        """Append a token that was drawn, and check whether the text ends.

        Parameters
        ----------
        token
            The token.
        numbers_used
            Numbers of the row's stream used so far, this draw included.
        """
        self.numbers_used = numbers_used
        self.last = token
        self.next_ids = None
        if token in self.vocabulary.eos_token_ids:
            self.end(finished=True)
            return
        self.tokens.append(token)
        self._bytes += self.vocabulary.pieces[token]
        if self.state is None:  # a constrained text cannot start another exchange
            self._look_for_marker()
        if not self.done and (
            len(self.tokens) >= self.sampling.max_new_tokens or self.length == self.max_positions
        ):
            self.end(finished=False)

    def _look_for_marker(self) -> None:
        tail = self._bytes[-_TAIL:]
        if any(marker.encode() in tail for marker in STOP_MARKERS):
            self.end(finished=True)
            cut = min(self.text.find(marker) for marker in STOP_MARKERS if marker in self.text)
            self.text = self.text[:cut].rstrip()

    def end(self, *, finished: bool) -> None:
        """Close the text."""
        self.done = True
        self.finished = finished
        self.text = self._bytes.decode("utf-8", "replace")

    @property
    def written(self) -> list[int]:
        """Token ids drawn, the end token included."""
        ended = self.last is not None and self.last in self.vocabulary.eos_token_ids
        return [*self.tokens, self.last] if ended else list(self.tokens)  # type: ignore[list-item]

    @property
    def num_written(self) -> int:
        """Number of tokens drawn, the end token included."""
        return len(self.tokens) + (self.last in self.vocabulary.eos_token_ids)

    @property
    def is_complete(self) -> bool:
        """Whether the text has ended and its probability is known."""
        return self.done and self.weighed == self.num_written

    @property
    def known(self) -> tuple[int, ...]:
        """Token ids of prompt and text, as far as the text's probability is known."""
        return (*self.prompt_ids, *self.tokens[: self.weighed])

    @property
    def unread(self) -> list[int]:
        """Token ids that a model reads next: from the last one in `known` to the last needed."""
        return self.tokens[self.weighed - 1 : self.num_written - 1 if self.done else None]

    @property
    def gave_up(self) -> bool:
        """Whether the constraint had to relax one of its rules."""
        return bool(self._relaxed)

    @property
    def _relaxed(self) -> tuple[str, ...]:
        return () if self.state is None else self.state.relaxed

    @property
    def sample(self) -> tuple[int, int]:
        """Which sample of which request this is a draw of."""
        return self.request_index, self.sample_index

    def attempt_after(self, distance: int) -> Row:
        """Return a later attempt at this sample, which knows nothing of those before it."""
        return Row(
            request=self.request,
            request_index=self.request_index,
            sample_index=self.sample_index,
            prompt_ids=self.prompt_ids,
            sampling=self.sampling,
            vocabulary=self.vocabulary,
            max_positions=self.max_positions,
            attempt=self.attempt + distance,
        )

    def follow_on(self, rejected: Row, reason: FailureReason) -> None:
        """Take over what is known of the attempts before, the last of which was rejected."""
        self.rejected = rejected.rejected + Counter([str(reason)])
        self.best = rejected._better(reason)
        self.tokens_before = rejected.tokens_before + len(rejected.tokens)

    def redraw(self, reason: FailureReason) -> Row:
        """Return the next attempt at this sample, which keeps the best one so far."""
        row = self.attempt_after(1)
        row.follow_on(self, reason)
        return row

    def _better(self, reason: FailureReason) -> Draw:
        """Return this draw or an earlier one, whichever is better; this one if they tie."""
        room = 1.0 if self.state is None else self.state.room
        draw = Draw(self._completion(), reason, room)
        return draw if self.best is None or draw.rank <= self.best.rank else self.best

    def completion(self, reason: FailureReason | None = None) -> Completion:
        """Return the completion of the sample: this draw, or a better earlier one.

        Parameters
        ----------
        reason
            Why this draw, the last one, would be rejected; None where it is accepted.
        """
        if reason is None:
            return self._completion()
        best = self._better(reason)
        rejected = self.rejected + Counter([str(reason)]) - Counter([str(best.reason)])
        return best.completion.model_copy(
            update={
                "attempts": self.attempt + 1,
                "rejected": dict(sorted(rejected.items())),
                "flaw": best.reason,
                "draws": self.attempt + 1,
                "tokens_drawn": self.tokens_before + len(self.tokens),
            }
        )

    def _completion(self) -> Completion:
        constraint = self.request.constraint
        described = None if constraint is None else constraint.describe()
        if described is not None and self.gave_up:
            described += f"; given up: {', '.join(self._relaxed)}"
        return Completion(
            request_index=self.request_index,
            sample_index=self.sample_index,
            text=self.text,
            finished=self.finished,
            num_tokens=len(self.tokens),
            attempts=self.attempt + 1,
            rejected=dict(sorted(self.rejected.items())),
            constraint=described,
            log_prob=round(self.log_prob, LOG_PROB_DECIMALS),
            draws=self.attempt + 1,
            tokens_drawn=self.tokens_before + len(self.tokens),
        )
