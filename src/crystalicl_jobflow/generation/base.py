"""Interfaces of text generators and constraints: requests, completions, vocabularies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters
from crystalicl_jobflow.schemas import (
    Completion,
    Demonstration,
    FailureReason,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.progress import Progress


class GenerationError(CrystalICLError, RuntimeError):
    """A model that cannot be loaded or run; the message is one line."""


class ConstraintState(Protocol):
    """The tokens that a constraint still allows in one row; it changes as the row grows.

    A state serves one row, from its first token to its end token.

    Attributes
    ----------
    relaxed
        Rules that the row could not keep, in words; empty where it kept all.
    room
        Smallest ratio of a distance between atoms to its allowed minimum; 1 where all are kept.
    """

    relaxed: tuple[str, ...]
    room: float

    def allowed(self) -> np.ndarray:
        """Return the token ids that may come next.

        Returns
        -------
        numpy.ndarray
            Distinct ids, int64, shape (choices,), never empty. Holds an end-of-text id
            exactly when the text may end here.
        """
        ...

    def advance(self, token_id: int) -> bool:
        """Append a token to the row, or reject it.

        Parameters
        ----------
        token_id
            One of :meth:`allowed`.

        Returns
        -------
        bool
            False if the token is rejected after all, by a check that would take too long for
            every allowed token (such as distances). The text is then unchanged, but
            :meth:`allowed` may return fewer tokens; the sampler does not try this token again at
            this place and draws from the rest. If every allowed token is rejected, the row ends
            unfinished.
        """
        ...


@runtime_checkable
class RowConstraint(Protocol):
    """What the texts of one request must satisfy; immutable, shared by many rows."""

    def describe(self) -> str:
        """Return a description of the constraint, as it is stored with each completion."""
        ...

    def start(self, vocabulary: TokenVocabulary) -> ConstraintState:
        """Start a row.

        Parameters
        ----------
        vocabulary
            Texts of the token ids. The row's text starts directly after the prompt.
        """
        ...


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt that is to be completed.

    Parameters
    ----------
    prompt
        The whole prompt; texts continue directly after its last character.
    num_samples
        Number of texts.
    key
        Name of this request's random streams. The texts depend only on the seed, the key, the
        sample number and the attempt, so a request gives the same texts whichever other requests
        are generated with it. If empty, the request's index in the list is used.
    constraint
        What the texts must satisfy; None for no constraint.
    first_sample
        Number of the first sample within its random streams: samples 4 to 7 of a request
        are the same texts whether or not 0 to 3 are drawn as well.
    formula
        Requested formula, for generators that substitute elements.
    wyckoff
        Requested Wyckoff letters, for the same.
    templates
        Known crystals that it may use, see `Retrieval.templates`.
    demonstrations
        Crystals that the prompt shows: SGS texts of substitution are written in their
        description.
    text_format, template
        Crystal text format and prompt template, for generators that do not continue the prompt.
    prefix
        Token ids with which every text begins; for generators that tell their tokens.
    """

    prompt: str
    num_samples: int = 1
    key: str = ""
    constraint: RowConstraint | None = None
    first_sample: int = 0
    formula: str | None = None
    wyckoff: WyckoffLetters | None = None
    templates: tuple[Demonstration, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    text_format: str = "sgs"
    template: str = "crystalicl"
    prefix: tuple[int, ...] = ()


AcceptText = Callable[[str, GenerationRequest], FailureReason | None]
"""Check of a finished text: None accepts it, a reason causes another draw."""


CompletionCallback = Callable[[int, Completion], None]
"""Called with the index of a request and one of its samples, as soon as the sample is final."""


class TextGenerator(Protocol):
    """Interface of everything that completes prompts: local models, servers, substitution."""

    @property
    def info(self) -> ModelInfo:
        """The model, its revision and precision, and the device it runs on."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Programs besides this package's that write the texts, with their versions."""
        ...

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        """Draw the texts.

        Parameters
        ----------
        requests
            Prompts, in any order and of any length.
        sampling
            Temperature, nucleus, limits and seed, for all of them.
        accept
            Check of each text. A rejected text is drawn again up to ``sampling.max_redraws``
            times, and so is one whose constraint had to give up a distance; the reasons are
            counted in ``Completion.rejected``. After that the best of the texts is kept: the one
            rejected for the least serious reason.
        progress
            Called whenever samples are finished.
        on_completion
            Called with every sample as soon as it is finished, in any order, so that a killed job
            can be resumed.

        Returns
        -------
        list of list of Completion
            For each request, in order, its ``num_samples`` completions, in order.
        """
        ...


@runtime_checkable
class TextScorer(Protocol):
    """What knows the probability of a text that it did not write."""

    def log_probs(
        self, prompts: Sequence[str], texts: Sequence[Sequence[str]]
    ) -> list[list[float | None]]:
        """Return the natural logarithm of the probability of each text after its prompt.

        Parameters
        ----------
        prompts
            Whole prompts.
        texts
            For each prompt, the texts; each continues directly after the prompt.

        Returns
        -------
        list of list of float or None
            For each prompt, one number per text: at temperature 1, the end of the text included,
            without nucleus and constraint, as `Completion.log_prob`; None where prompt and text
            are too long for the model.
        """
        ...


@dataclass(eq=False)
class TokenVocabulary:
    """The text that each token id appends.

    Two vocabularies with the same content are equal and have the same hash, so tables
    built on one (tries, element lists) can be cached under it.

    Parameters
    ----------
    strings
        Text of each id, shape (tokens,); '' for special tokens and for pieces of a character
        (bytes that are not UTF-8 by themselves), which cannot be part of a constrained text. The
        concatenation over a row is exactly the row's text.
    eos_token_ids
        Ids that end a text.
    pieces
        The same as bytes, with the pieces of characters; b'' for special tokens.
    """

    strings: list[str]
    eos_token_ids: tuple[int, ...]
    pieces: list[bytes] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not self.pieces:
            self.pieces = [text.encode("utf-8") for text in self.strings]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, texts and end tokens, as hexadecimal digits."""
        content = json.dumps([self.strings, list(self.eos_token_ids)])
        return text_hash(content)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, TokenVocabulary) and self.fingerprint == other.fingerprint

    def __len__(self) -> int:
        return len(self.strings)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text that the ids append; characters cut in pieces become U+FFFD."""
        return b"".join(self.pieces[token] for token in token_ids).decode("utf-8", "replace")

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Any, *, eos_token_ids: Sequence[int] = ()
    ) -> TokenVocabulary:
        """Read the vocabulary of a Hugging Face tokenizer.

        Word-level, sentencepiece-like (Llama 2: '▁' for a space, ``<0x0A>`` for a byte)
        and byte-level BPE (Llama 3, Qwen: 'Ġ' for a space) tokenizers are read from
        their decoders' definition, others token by token through ``decode``.

        Parameters
        ----------
        tokenizer
            A ``transformers`` tokenizer.
        eos_token_ids
            Ids that end a text in addition to the tokenizer's own (a model's generation
            configuration may name several).
        """
        from crystalicl_jobflow.generation.vocabulary import read_pieces

        pieces = read_pieces(tokenizer)
        own = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        ends = sorted({*own, *(int(token) for token in eos_token_ids)})
        for token in ends:
            if token < len(pieces):
                pieces[token] = b""
        strings = []
        for piece in pieces:
            try:
                strings.append(piece.decode("utf-8"))
            except UnicodeDecodeError:
                strings.append("")
        return cls(strings=strings, eos_token_ids=tuple(ends), pieces=pieces)
