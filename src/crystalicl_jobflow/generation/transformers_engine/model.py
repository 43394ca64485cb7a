"""A causal language model as the sampling loop needs it: token ids in, scores out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache

from crystalicl_jobflow.generation.base import GenerationError, TokenVocabulary
from crystalicl_jobflow.generation.transformers_engine.kv_cache import Prefix


class CausalModel:
    """A ``transformers`` model and its tokenizer.

    Parameters
    ----------
    model
        A causal language model, adapter included, in evaluation mode.
    tokenizer
        Its tokenizer.

    Attributes
    ----------
    device, dtype
        Where the weights are, and their number type.
    base
        The model without what peft puts around it.
    takes_positions
        Whether it is told the places of its tokens.
    vocabulary
        The text of each token id.
    reads_runs
        Whether a step may read several tokens of a row, with free columns between those of
        others; set by `check_batches`.
    step_cost
        What a step costs beside its tokens, in tokens of one row: measured for models of 3 and
        135 million weights on one core; graphics processors have room for many more.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model
        known = inspect.signature(self.base.forward).parameters
        # others, such as MPT and BLOOM, count columns or the mask
        self.takes_positions = "position_ids" in known
        # most models can leave out the scores of all columns but the last
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.reads_runs = False
        weights = sum(part.numel() for part in model.parameters())
        self.step_cost = 8 + 2e8 / weights if self.device.type == "cpu" else 4096.0
        config = model.generation_config
        ends = (None if config is None else config.eos_token_id) or []
        self.vocabulary = TokenVocabulary.from_tokenizer(
            tokenizer, eos_token_ids=ends if isinstance(ends, list) else [ends]
        )

    def run_width(self, counts: Sequence[int], slots: int) -> int:
        """Return how many tokens of each row the next step reads at most.

        Rows with fewer are padded, so that is worth it where enough rows have several.

        Parameters
        ----------
        counts
            Tokens of each row that are not read yet.
        slots
            Rows that a step computes, empty ones included.
        """
        if not self.reads_runs:
            return 1
        widths = range(1, max(counts) + 1)
        return max(
            widths, key=lambda n: sum(min(k, n) for k in counts) / (self.step_cost + slots * n)
        )

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Return the prompt's token ids, including those that the tokenizer adds in front.

        Raises
        ------
        GenerationError
            If there are none.
        """
        ids = list(self.tokenizer(prompt, add_special_tokens=True)["input_ids"])
        # some tokenizers add an end token to every text; a prompt must have none
        while ids and ids[-1] in self.vocabulary.eos_token_ids:
            ids.pop()
        if not ids and self.tokenizer.bos_token_id is not None:
            ids = [int(self.tokenizer.bos_token_id)]
        if not ids:
            raise GenerationError(f"the prompt {prompt[:40]!r} has no tokens")
        return tuple(int(token) for token in ids)

    def positions(self, position_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the argument that gives a model its tokens' places; none where it takes none."""
        return {"position_ids": position_ids} if self.takes_positions else {}

    def forward(
        self,
        input_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Cache | None,
        places: tuple[list[int], list[int]] | None = None,
    ) -> torch.Tensor:
        """Return the scores of the token after the last column, or after others.

        Parameters
        ----------
        input_ids, position_ids
            Tokens that the cache does not hold yet and their places, shape (rows, tokens).
        attention_mask
            Columns that each row sees, shape (rows, columns); None for all.
        cache
            Keys and values of the columns before, extended in place; None for none.
        places
            Rows and columns of `input_ids` after which scores are asked for, each of length n;
            None for the last column of every row.

        Returns
        -------
        torch.Tensor
            Shape (rows, vocabulary) or (n, vocabulary), float32 or float64.
        """
        with self._only_at(places):
            output = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                past_key_values=cache,
                use_cache=cache is not None,
                **self.positions(position_ids),
                **(self._last_only if places is None else {}),
            )
        logits: torch.Tensor = output.logits[:, -1] if places is None else output.logits[0]
        return logits if logits.dtype == torch.float64 else logits.float()

    @contextmanager
    def _only_at(self, places: tuple[list[int], list[int]] | None) -> Iterator[None]:
        """Let the last layer see some places only: the scores of all would take long."""
        if places is None:
            yield
            return
        lines, columns = (torch.tensor(part, device=self.device) for part in places)
        handle = self.base.get_output_embeddings().register_forward_pre_hook(
            lambda _, arguments: (arguments[0][lines, columns][None], *arguments[1:])
        )
        try:
            yield
        finally:
            handle.remove()

    def read(self, contexts: Sequence[tuple[int, ...]]) -> list[Prefix]:
        """Compute several texts (token ids) together, padded on the left."""
        device = self.device
        width = max(len(context) for context in contexts)
        input_ids = torch.zeros((len(contexts), width), dtype=torch.long)
        mask = torch.zeros((len(contexts), width), dtype=torch.long)
        for row, context in enumerate(contexts):
            input_ids[row, width - len(context) :] = torch.tensor(context)
            mask[row, width - len(context) :] = 1
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = DynamicCache()
        logits = self.forward(
            input_ids.to(device),
            position_ids=positions.to(device),
            attention_mask=None if bool(mask.all()) else mask.to(device),
            cache=cache,
        )
        layers: list[Any] = cache.layers  # their annotation allows for layers without tensors
        prefixes = []
        for row, context in enumerate(contexts):
            start = width - len(context)
            # copies: a view would keep the whole padded batch in memory
            keys = [layer.keys[row, :, start:].clone() for layer in layers]
            values = [layer.values[row, :, start:].clone() for layer in layers]
            prefixes.append(Prefix(keys=keys, values=values, logits=logits[row].clone()))
        return prefixes

    def read_alone(self, context: tuple[int, ...]) -> torch.Tensor:
        """Return the next token's scores, (vocabulary,), computed in a batch of one row."""
        device = self.device
        return self.forward(
            torch.tensor([context], device=device),
            position_ids=torch.arange(len(context), device=device)[None],
            attention_mask=None,
            cache=None,
        )[0]

    def log_prob_alone(self, prompt_ids: Sequence[int], written: Sequence[int]) -> float:
        """Return the logarithm of a text's probability, computed in a batch of one row."""
        if not written:
            return 0.0
        ids = torch.tensor([[*prompt_ids, *written]], device=self.device)
        last_only = {"logits_to_keep": len(written) + 1} if self._last_only else {}
        logits = self.model(input_ids=ids, use_cache=False, **last_only).logits[0]
        scores = logits[-len(written) - 1 : -1].double()  # (written, vocabulary)
        picked = scores.gather(1, ids[0, -len(written) :, None])[:, 0]
        return float((picked - torch.logsumexp(scores, dim=1)).sum())
