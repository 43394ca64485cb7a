"""Convert instructions to rows of token ids and batches of rows of similar length."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from crystalicl_jobflow.training.data.instruction import Instruction

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a token that is not learned (the convention of PyTorch and transformers)."""


class InstructionSource(Protocol):
    """Source of a training's instructions: `InstructionSet` or `InstructionFile`."""

    seed: int
    text_format: str

    def order(self, epoch: int) -> list[int]:
        """Return the instructions of an epoch by their numbers, in order."""
        ...

    def instruction(self, index: int, epoch: int, /) -> Instruction:
        """Return an instruction by its number."""
        ...


@dataclass(frozen=True)
class EncodedRow:
    """One instruction as token ids.

    Parameters
    ----------
    token_ids
        Begin token, prompt, response, end token.
    learned
        For each token, whether the model learns to write it.
    """

    token_ids: list[int]
    learned: list[bool]


def encode_instruction(
    tokenizer: Any, instruction: Instruction, *, examples: bool = False
) -> EncodedRow:
    """Tokenise an instruction.

    Parameters
    ----------
    tokenizer
        A fast ``transformers`` tokenizer.
    instruction
        Prompt and response.
    examples
        Whether the crystals shown in the prompt are learned as well as the response. Each of them
        follows its own condition, so they are valid training examples.

    Returns
    -------
    EncodedRow
        Starts with exactly the ids of the prompt alone, as in generation.
    """
    prompt = tokenizer(instruction.prompt, return_offsets_mapping=bool(instruction.examples))
    ids = list(prompt["input_ids"])
    learned = [False] * len(ids)
    if examples:
        for start, end in instruction.examples:
            for place, (left, right) in enumerate(prompt["offset_mapping"]):
                if start <= left and right <= end and right > left:
                    learned[place] = True
    # The whole text first: sentencepiece tokenizers add a blank before a text that is tokenised
    # separately. Only where the border is inside a token is this unavoidable.
    whole = list(tokenizer(instruction.prompt + instruction.response)["input_ids"])
    if whole[-1] == tokenizer.eos_token_id:
        whole.pop()
    if whole[: len(ids)] == ids:
        response = whole[len(ids) :]
    else:
        response = list(tokenizer(instruction.response, add_special_tokens=False)["input_ids"])
    response.append(tokenizer.eos_token_id)
    return EncodedRow(ids + response, learned + [True] * len(response))


def make_batches(
    rows: Sequence[EncodedRow], *, tokens_per_batch: int, max_tokens: int, rng: random.Random
) -> list[list[EncodedRow]]:
    """Group rows of similar length; batches are in random order.

    Parameters
    ----------
    rows
        Rows in any order; those longer than ``max_tokens`` are left out.
    tokens_per_batch
        Tokens in one batch, at most, padding included.
    max_tokens
        Longest row.
    rng
        Shuffles the batches.
    """
    fitting = sorted(
        (row for row in rows if len(row.token_ids) <= max_tokens),
        key=lambda row: len(row.token_ids),
    )
    batches: list[list[EncodedRow]] = []
    current: list[EncodedRow] = []
    for row in fitting:
        if current and (len(current) + 1) * len(row.token_ids) > tokens_per_batch:
            batches.append(current)
            current = []
        current.append(row)
    if current:
        batches.append(current)
    rng.shuffle(batches)
    return batches


def collate(rows: Sequence[EncodedRow], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows on the right.

    Returns
    -------
    token_ids, labels : torch.Tensor
        Shape (rows, longest), int64; labels are `IGNORED` where nothing is learned. No
        attention mask is needed: attention is causal, and padding comes last.
    """
    import torch

    longest = max(len(row.token_ids) for row in rows)
    token_ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for place, row in enumerate(rows):
        ids = torch.tensor(row.token_ids)
        token_ids[place, : len(ids)] = ids
        labels[place, : len(ids)] = torch.where(torch.tensor(row.learned), ids, IGNORED)
    return token_ids, labels


class InstructionBatches:
    """Batches of an instruction set; epochs are made in chunks, so that memory is bounded.

    Parameters
    ----------
    instructions
        Source of the instructions.
    tokenizer
        A fast ``transformers`` tokenizer with an end token.
    tokens_per_batch, max_tokens
        As in `make_batches`.
    examples
        As in `encode_instruction`.
    chunk
        Number of instructions that are drawn and sorted by length at once.
    """

    def __init__(
        self,
        instructions: InstructionSource,
        tokenizer: Any,
        *,
        tokens_per_batch: int,
        max_tokens: int,
        examples: bool = False,
        chunk: int = 4096,
    ) -> None:
        self.instructions = instructions
        self.tokenizer = tokenizer
        self.tokens_per_batch = tokens_per_batch
        self.max_tokens = max_tokens
        self.examples = examples
        self.chunk = chunk

    def chunks(self, epoch: int) -> int:
        """Return the number of chunks in an epoch."""
        return -(-len(self.instructions.order(epoch)) // self.chunk)

    def batches(self, epoch: int, chunk: int) -> list[list[EncodedRow]]:
        """Return the batches of one chunk; the same call gives the same batches."""
        order = self.instructions.order(epoch)[chunk * self.chunk : (chunk + 1) * self.chunk]
        return make_batches(
            [self._row(self.instructions.instruction(index, epoch)) for index in order],
            tokens_per_batch=self.tokens_per_batch,
            max_tokens=self.max_tokens,
            rng=random.Random(f"{self.instructions.seed}:{epoch}:{chunk}:batches"),
        )

    def left_out(self, epoch: int, chunk: int, batches: Sequence[Sequence[EncodedRow]]) -> int:
        """Return how many instructions of a chunk were too long for its batches.

        Parameters
        ----------
        epoch, chunk
            Identify the part of the training.
        batches
            Its batches.
        """
        order = self.instructions.order(epoch)[chunk * self.chunk : (chunk + 1) * self.chunk]
        return len(order) - sum(map(len, batches))

    def fixed(self, instructions: Iterable[Instruction]) -> list[list[EncodedRow]]:
        """Return batches of given instructions, for measuring a loss."""
        return make_batches(
            [self._row(instruction) for instruction in instructions],
            tokens_per_batch=self.tokens_per_batch,
            max_tokens=self.max_tokens,
            rng=random.Random(0),
        )

    def _row(self, instruction: Instruction) -> EncodedRow:
        return encode_instruction(self.tokenizer, instruction, examples=self.examples)
