"""The text generator over ``transformers`` and ``peft``, with a sampling loop of its own.

``model.generate`` draws all rows from one global random stream, so its texts depend on the batch
they are in. Here each row has its own stream, waiting rows replace finished ones at once, and a
prompt is computed once for all its samples and attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationError,
    GenerationRequest,
)
from crystalicl_jobflow.generation.transformers_engine.batch import BatchRun
from crystalicl_jobflow.generation.transformers_engine.batch_check import (
    check_batches,
    max_positions,
)
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.generation.transformers_engine.rollouts import TransformersRollouts
from crystalicl_jobflow.generation.transformers_engine.scoring import score_texts
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
        Description of the model for provenance.
    batch_size
        Maximum number of rows generated at once. Halved permanently when memory runs out.
    num_threads
        Torch threads while generating; None leaves torch's own choice.

    Attributes
    ----------
    causal
        Model and tokenizer as the sampling loop uses them.
    max_positions
        Tokens that prompt and text may have together; None for no limit.

    Raises
    ------
    GenerationError
        If the tokenizer has no end-of-text token, the model keeps no keys and values of what it has
        read, or a text's scores depend on the batch it is in; one line.
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
        self.causal = CausalModel(model, tokenizer)
        self.batch_size = batch_size
        self.num_threads = num_threads
        self._info = info
        if not self.causal.vocabulary.eos_token_ids:
            raise GenerationError(f"the tokenizer of {info.base_model} has no end-of-text token")
        self.max_positions = max_positions(model.config)
        with torch_threads(num_threads), torch.inference_mode():
            check_batches(self.causal, info.base_model)

    @property
    def info(self) -> ModelInfo:
        """Which model writes, in which revision and precision, and where it runs."""
        return self._info

    @property
    def versions(self) -> dict[str, str]:
        """No other programs: torch and transformers are among the package's own."""
        return {}

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

        A text cut off by ``max_new_tokens`` or at the model's last position counts as rejected
        (``truncated``) where there is an `accept`; a prompt that leaves no position for a text
        gives completions with an ``error``. ``Completion.rejected`` counts the draws thrown away,
        so ``attempts`` is their number plus one.

        Raises
        ------
        GenerationError
            If a prompt has no tokens, or one row alone does not fit into memory.
        """
        run = BatchRun(
            self.causal,
            requests,
            self._with_copy_bias(sampling),
            batch_size=self.batch_size,
            max_positions=self.max_positions,
            accept=accept,
            progress=progress,
            on_completion=on_completion,
        )
        with torch_threads(self.num_threads), torch.inference_mode():
            try:
                return run.finish()
            finally:
                self.batch_size = run.batch_size

    def rollouts(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,
        *,
        width: int,
        accept: AcceptText | None = None,
    ) -> TransformersRollouts:
        """Begin a session of a search; see `RolloutWriter.rollouts`."""
        return TransformersRollouts(
            self, requests, self._with_copy_bias(sampling), width=width, accept=accept
        )

    def _with_copy_bias(self, sampling: SamplingParams) -> SamplingParams:
        """Return the sampling with the model's own copy bias where it names none."""
        if sampling.copy_bias is not None:
            return sampling
        return sampling.model_copy(update={"copy_bias": self._info.copy_bias})

    def log_probs(
        self, prompts: Sequence[str], texts: Sequence[Sequence[str]]
    ) -> list[list[float | None]]:
        """Return the log-probability of given texts; see :meth:`TextScorer.log_probs`."""
        with torch_threads(self.num_threads), torch.inference_mode():
            return [
                score_texts(
                    self.causal,
                    prompt,
                    found,
                    batch_size=self.batch_size,
                    max_positions=self.max_positions,
                )
                if found
                else []
                for prompt, found in zip(prompts, texts, strict=True)
            ]
