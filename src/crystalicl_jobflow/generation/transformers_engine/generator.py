"""The text generator over ``transformers`` and ``peft``, with a sampling loop of its own.

``model.generate`` draws all rows from one global random stream, so its texts depend on
the batch they are in. Here each row has its own stream, finished rows make room for
waiting ones at once, and a prompt is computed once for all its samples and attempts.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationError,
    GenerationRequest,
    TokenVocabulary,
)
from crystalicl_jobflow.generation.transformers_engine.batch import BatchRun
from crystalicl_jobflow.generation.transformers_engine.kv_cache import Prefix
from crystalicl_jobflow.schemas import Completion, ModelInfo, SamplingParams
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.torch_runtime import torch_threads


class TransformersGenerator:
    """Continues prompts with a causal language model.

    Parameters
    ----------
    model
        A ``transformers`` causal language model, adapter included, in evaluation mode.
    tokenizer
        Its tokenizer.
    info
        What to say about the model in provenance.
    batch_size
        Rows written at once, at most. Halved for good when memory runs out.
    num_threads
        Torch threads while generating; None leaves torch's own choice.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        info: ModelInfo,
        batch_size: int = 32,
        num_threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise GenerationError(f"batch size must be at least 1, got {batch_size}")
        self.model = model
        self.device: torch.device = model.device
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.num_threads = num_threads
        self._info = info
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        # most models can leave out the scores of all columns but the last
        known = inspect.signature(base.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        if ends is None:
            ends = []
        self.vocabulary = TokenVocabulary.from_tokenizer(
            tokenizer, eos_token_ids=ends if isinstance(ends, list) else [ends]
        )
        if not self.vocabulary.eos_token_ids:
            raise GenerationError(f"the tokenizer of {info.base_model} has no end-of-text token")

    @property
    def info(self) -> ModelInfo:
        """Which model writes, in which revision and precision, and where it runs."""
        return self._info

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        """Draw the texts; see :meth:`TextGenerator.generate`.

        A text cut off by ``max_new_tokens`` counts as rejected (``truncated``) where
        there is an `accept`. ``Completion.rejected`` counts the draws thrown away, so
        ``attempts`` is their number plus one.

        Raises
        ------
        GenerationError
            If a prompt has no tokens, or one row alone does not fit into memory.
        """
        with torch_threads(self.num_threads), torch.inference_mode():
            return BatchRun(
                self,
                requests,
                sampling,
                accept=accept,
                progress=progress,
                on_completion=on_completion,
            ).finish()

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Return the prompt's token ids, with what the tokenizer puts in front.

        Raises
        ------
        GenerationError
            If there are none.
        """
        ids = list(self.tokenizer(prompt, add_special_tokens=True)["input_ids"])
        # some tokenizers close every text; a prompt is open
        while ids and ids[-1] in self.vocabulary.eos_token_ids:
            ids.pop()
        if not ids and self.tokenizer.bos_token_id is not None:
            ids = [int(self.tokenizer.bos_token_id)]
        if not ids:
            raise GenerationError(f"the prompt {prompt[:40]!r} has no tokens")
        return tuple(int(token) for token in ids)

    def forward(
        self,
        input_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Any | None,
    ) -> torch.Tensor:
        """Return the scores of the token after the last column, float, (rows, vocabulary)."""
        output = self.model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **self._last_only,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits if logits.dtype == torch.float64 else logits.float()

    def read(self, contexts: Sequence[tuple[int, ...]]) -> list[Prefix]:
        """Compute several texts together, padded on the left."""
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
        prefixes = []
        for row, context in enumerate(contexts):
            start = width - len(context)
            # copies: a view would keep the whole padded batch in memory
            keys = [layer.keys[row, :, start:].clone() for layer in cache.layers]  # type: ignore
            values = [layer.values[row, :, start:].clone() for layer in cache.layers]  # type: ignore
            prefixes.append(Prefix(keys=keys, values=values, logits=logits[row].clone()))
        return prefixes

    def read_alone(self, context: tuple[int, ...]) -> torch.Tensor:
        """Return the next token's scores, (vocabulary,), computed without any company."""
        device = self.device
        return self.forward(
            torch.tensor([context], device=device),
            position_ids=torch.arange(len(context), device=device)[None],
            attention_mask=None,
            cache=None,
        )[0]

    def log_prob_alone(self, prompt_ids: Sequence[int], written: Sequence[int]) -> float:
        """Return the logarithm of a text's probability, computed without any company."""
        if not written:
            return 0.0
        ids = torch.tensor([[*prompt_ids, *written]], device=self.device)
        last_only = {"logits_to_keep": len(written) + 1} if self._last_only else {}
        logits = self.model(input_ids=ids, use_cache=False, **last_only).logits[0]
        scores = logits[-len(written) - 1 : -1].double()  # (written, vocabulary)
        picked = scores.gather(1, ids[0, -len(written) :, None])[:, 0]
        return float((picked - torch.logsumexp(scores, dim=1)).sum())
