"""Texts that a model writes, and their probabilities under the model as it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystalicl_jobflow.generation.base import GenerationRequest, TokenVocabulary
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.generation.transformers_engine.batch import BatchRun
from crystalicl_jobflow.generation.transformers_engine.batch_check import max_positions
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.training.checkpoints import trainable


@dataclass(frozen=True, eq=False)
class DrawnText:
    """A text that the model wrote.

    Parameters
    ----------
    request
        The prompt.
    prompt_ids, written
        Token ids of the prompt and of the text, its end token included.
    text
        The text.
    finished
        Whether the model ended it.
    choices
        Token ids among which each was drawn, each of shape (choices,); None without a constraint.
    """

    request: GenerationRequest
    prompt_ids: tuple[int, ...]
    written: tuple[int, ...]
    text: str
    finished: bool
    choices: tuple[NDArray[np.int64], ...] | None


def draw_texts(
    model: CausalModel,
    requests: Sequence[GenerationRequest],
    sampling: SamplingParams,
    *,
    batch_size: int,
) -> list[list[DrawnText]]:
    """Write texts; each is one draw, whatever it is.

    Parameters
    ----------
    model
        The model in evaluation mode.
    requests
        Prompts.
    sampling
        Temperature, limits and seed.
    batch_size
        Texts written at once.

    Returns
    -------
    list of list of DrawnText
        For each request its ``num_samples`` texts, in order.
    """
    rows: dict[tuple[int, int], Row] = {}

    def keep(row: Row) -> None:
        rows[row.request_index, row.sample_index] = row

    with torch.inference_mode():
        BatchRun(
            model,
            requests,
            sampling,
            batch_size=batch_size,
            max_positions=max_positions(model.model.config),
            accept=None,
            progress=None,
            on_completion=None,
            on_row=keep,
        ).finish()
    return [
        [_drawn(rows[index, sample]) for sample in range(request.num_samples)]
        for index, request in enumerate(requests)
    ]


def _drawn(row: Row) -> DrawnText:
    choices = None if row.state is None or row.choices is None else tuple(row.choices)
    return DrawnText(
        row.request, row.prompt_ids, tuple(row.written), row.text, row.finished, choices
    )


def log_probs(
    model: Any, texts: Sequence[DrawnText], vocabulary: TokenVocabulary, temperature: float
) -> list[torch.Tensor]:
    """Return the logarithm of each token's probability, as it was drawn.

    Parameters
    ----------
    model
        A causal language model of ``transformers``, with or without a peft adapter.
    texts
        Computed in one batch.
    vocabulary
        Of the tokenizer.
    temperature
        Of the draws.

    Returns
    -------
    list of torch.Tensor
        Shape (tokens,) for each text: among the tokens that its constraint allowed, if it has one,
        less those that it rejected.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    device = next(causal.parameters()).device
    width = max(len(text.prompt_ids) + len(text.written) for text in texts)
    ids = torch.zeros((len(texts), width), dtype=torch.long, device=device)
    for row, text in enumerate(texts):
        known = torch.tensor([*text.prompt_ids, *text.written], device=device)
        ids[row, : len(known)] = known
    # what is padded stands behind each text, where causal attention does not see it
    hidden = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
    head = causal.get_output_embeddings()
    # tokens that write nothing (padding, unknown, …) are never drawn
    writes = torch.zeros(head.weight.shape[0], dtype=torch.bool)
    pieces = [index for index, piece in enumerate(vocabulary.pieces) if piece]
    writes[[*pieces, *vocabulary.eos_token_ids]] = True
    found = []
    for row, text in enumerate(texts):
        start = len(text.prompt_ids)
        states = hidden[row, start - 1 : start - 1 + len(text.written)]
        scores = head(states).float() / temperature  # (tokens, vocabulary)
        barred = ~writes.expand(scores.shape).clone()
        if text.choices is not None:
            barred[:] = True
            for place, choices in enumerate(text.choices):
                barred[place, torch.from_numpy(choices)] = False
        scores = scores.masked_fill(barred.to(device), -torch.inf)
        written = torch.tensor(text.written, device=device)
        picked = scores.gather(1, written[:, None])[:, 0]
        found.append(picked - torch.logsumexp(scores, dim=1))
    return found


def batches_of(texts: Sequence[DrawnText], tokens: int) -> Iterator[list[int]]:
    """Yield the places of texts that are computed together, similar lengths with each other.

    Parameters
    ----------
    texts
        Drawn texts.
    tokens
        Tokens in a batch at most, padding included; a longer text is alone.
    """
    length = [len(text.prompt_ids) + len(text.written) for text in texts]
    batch: list[int] = []
    for place in sorted(range(len(texts)), key=lambda place: (length[place], place)):
        if batch and (len(batch) + 1) * length[place] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class Reference:
    """The trained parameters as they were at the start.

    Parameters
    ----------
    model
        The model before the training.
    """

    def __init__(self, model: Any) -> None:
        self._start = {name: p.detach().clone() for name, p in trainable(model).items()}

    @contextmanager
    def in_place(self, model: Any) -> Iterator[None]:
        """Give a model the parameters of the start for a while."""
        own = {name: p.data for name, p in trainable(model).items()}
        try:
            for name, p in trainable(model).items():
                p.data = self._start[name]
            yield
        finally:
            for name, p in trainable(model).items():
                p.data = own[name]
