"""Texts that begin as a search asks, written in common batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import torch

from crystalicl_jobflow.generation.base import AcceptText, GenerationRequest
from crystalicl_jobflow.generation.first_choice import ChoiceWatch
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.generation.search.rollouts import Beginning, Rollout
from crystalicl_jobflow.generation.transformers_engine.batch import ROUNDING, BatchRun
from crystalicl_jobflow.generation.transformers_engine.kv_cache import Prefix
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.utils.torch_runtime import torch_threads


class LoadedModel(Protocol):
    """A model, and how it is run: a `TransformersGenerator`."""

    causal: CausalModel
    batch_size: int
    max_positions: int | None
    num_threads: int | None


@dataclass
class TransformersRollouts:
    """A `RolloutSession` of a `TransformersGenerator`; prompts are read once.

    Parameters
    ----------
    generator
        The model, and how it is run.
    requests, sampling, width, accept
        See `RolloutWriter.rollouts`.
    """

    generator: LoadedModel
    requests: Sequence[GenerationRequest]
    sampling: SamplingParams
    width: int
    accept: AcceptText | None = None
    prompts: dict[tuple[int, ...], Prefix] = field(default_factory=dict)

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end a text."""
        return frozenset(self.generator.causal.vocabulary.eos_token_ids)

    def write(self, beginnings: Sequence[Beginning]) -> list[Rollout]:
        """Write the texts, in order, one draw each.

        Raises
        ------
        GenerationError
            If one row alone does not fit into memory.
        """
        rows: dict[int, Row] = {}

        def keep(row: Row) -> None:
            rows[row.request_index] = row

        generator = self.generator
        watch = partial(
            ChoiceWatch,
            self.sampling,
            self.width,
            tolerance=ROUNDING.get(generator.causal.dtype, 0.0),
        )
        run = BatchRun(
            generator.causal,
            [self._request(item) for item in beginnings],
            self.sampling,
            batch_size=generator.batch_size,
            max_positions=generator.max_positions,
            accept=self.accept,
            progress=None,
            on_completion=None,
            on_row=keep,
            watch=watch,
            prefixes=self.prompts,
        )
        with torch_threads(generator.num_threads), torch.inference_mode():
            try:
                answers = run.finish()
            finally:
                generator.batch_size = run.batch_size
        found = []
        for place, (completion,) in enumerate(answers):
            if place not in rows:  # the prompt leaves no room for a text
                found.append(Rollout(completion, (), None))
                continue
            row = rows[place]
            choice = None if row.watch is None else row.watch.found(row.written)
            kept = None if row.is_refused else completion
            found.append(Rollout(kept, tuple(row.written), choice))
        return found

    def forget(self, place: int) -> None:
        """Forget the prompt of a request that is done."""
        self.prompts.pop(self.generator.causal.encode(self.requests[place].prompt), None)

    def _request(self, item: Beginning) -> GenerationRequest:
        asked = self.requests[item.place]
        return replace(
            asked,
            num_samples=1,
            key=asked.key or f"index {item.place}",
            first_sample=asked.first_sample + item.number,
            prefix=item.tokens,
        )
