"""What a search needs of a generator: texts that begin as given, and how they could go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from crystalicl_jobflow.generation.base import AcceptText, GenerationRequest
from crystalicl_jobflow.generation.first_choice import FirstChoice
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams


@dataclass(frozen=True)
class Beginning:
    """A text that is asked for.

    Parameters
    ----------
    place
        Index of its request.
    number
        Its number within the request's random streams.
    tokens
        Token ids that it begins with.
    """

    place: int
    number: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Rollout:
    """A text that was written.

    Parameters
    ----------
    completion
        The text; None where the constraint refuses its beginning.
    written
        Its token ids, the end token included.
    choice
        Where, after the beginning, it could go on in several ways for the first time.
    """

    completion: Completion | None
    written: tuple[int, ...]
    choice: FirstChoice | None


class RolloutSession(Protocol):
    """Writes texts of the same requests again and again; keeps what it has read."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end a text."""
        ...

    def write(self, beginnings: Sequence[Beginning]) -> list[Rollout]:
        """Write the texts, in order, one draw each."""
        ...

    def forget(self, place: int) -> None:
        """Forget a request that is done."""
        ...


@runtime_checkable
class RolloutWriter(Protocol):
    """A generator that tells its tokens, so that a search can lead it."""

    @property
    def info(self) -> ModelInfo:
        """The model."""
        ...

    def rollouts(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        width: int,
        accept: AcceptText | None = None,
    ) -> RolloutSession:
        """Begin a session.

        Parameters
        ----------
        requests
            Prompts with their constraints; ``num_samples`` is not used.
        sampling
            Temperature, nucleus, limits and seed.
        width
            Most tokens that are noted at a choice.
        accept
            Check of each text, for ``Completion.flaw``.
        """
        ...
