"""Losses and gradients of batches, split into pieces that fit into memory."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.training.data.batches import IGNORED, EncodedRow, collate

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StepLoss:
    """Result of the batches of one step.

    Parameters
    ----------
    loss
        Mean cross-entropy of the learned tokens, nats per token.
    splits
        Pieces into which each batch was cut.
    """

    loss: float
    splits: int


def response_loss(model: Any, token_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats per token) of the learned tokens.

    Parameters
    ----------
    model
        A causal language model of ``transformers``, with or without a peft adapter.
    token_ids, labels
        Shape (rows, longest), as `collate` gives them.
    """
    import torch

    # hidden states first, logits only where something is learned: the vocabulary is the
    # widest layer, and prompts need none of it
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = causal.base_model
    hidden = body(input_ids=token_ids, use_cache=False).last_hidden_state
    targets = labels[:, 1:]
    learned = targets != IGNORED
    head = causal.get_output_embeddings()
    states = hidden[:, :-1][learned]
    if _is_plain(head, states):
        return _head_loss(states, head.weight, targets[learned])
    return torch.nn.functional.cross_entropy(head(states).float(), targets[learned])


def _is_plain(head: Any, states: torch.Tensor) -> bool:
    """Tell whether an output layer is one matrix in single precision, trained as it is."""
    import torch

    return (
        type(head) is torch.nn.Linear
        and head.bias is None
        and head.weight.dtype == states.dtype == torch.float32
        and not torch.is_autocast_enabled(states.device.type)
        and states.device.type == "cpu"
    )


def _head_loss(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy after an output layer.

    The same as ``cross_entropy(states @ weight.T, targets)``. The gradient with respect to
    the logits is made in their place: the vocabulary is wide, and on a processor each pass
    over the logits costs as much as a layer.
    """
    import torch

    if not torch.is_grad_enabled():
        return torch.nn.functional.cross_entropy(states @ weight.T, targets)

    class HeadLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            logits = states @ weight.T
            logits -= logits.amax(1, keepdim=True)
            right = logits.gather(1, targets[:, None])
            sums = logits.exp_().sum(1, keepdim=True)
            loss = (sums.log() - right).mean()
            logits /= sums * len(targets)
            logits.scatter_add_(1, targets[:, None], torch.full_like(right, -1.0 / len(targets)))
            ctx.save_for_backward(states, weight, logits)
            return loss

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
            states, weight, slopes = ctx.saved_tensors
            (scale,) = gradients
            return (slopes @ weight) * scale, (slopes.T @ states) * scale

    # torch leaves this method without types
    loss: torch.Tensor = HeadLoss.apply(states, weight)  # type: ignore[no-untyped-call]
    return loss


def count_learned(rows: Sequence[EncodedRow]) -> int:
    """Return the number of learned tokens in the rows; a row's first token is never learned."""
    return sum(sum(row.learned[1:]) for row in rows)


def evaluate_loss(
    model: Any, batches: Sequence[list[EncodedRow]], pad_id: int, *, bf16: bool = False
) -> float:
    """Return the mean loss per learned token, in nats, without dropout.

    Parameters
    ----------
    model
        A causal language model.
    batches
        Rows of token ids.
    pad_id
        Token that fills short rows.
    bf16
        Whether to compute in bfloat16 where that is safe.
    """
    import torch

    training = model.training
    model.eval()
    total, count = 0.0, 0
    device = next(model.parameters()).device
    with torch.no_grad(), _precision(device, bf16):
        for rows in batches:
            token_ids, labels = (item.to(device) for item in collate(rows, pad_id))
            number = count_learned(rows)
            if number:
                total += float(response_loss(model, token_ids, labels)) * number
                count += number
    model.train(training)
    return total / max(1, count)


def compute_gradients(
    model: Any,
    batches: Sequence[Sequence[EncodedRow]],
    pad_id: int,
    *,
    seed: int,
    splits: int = 1,
    bf16: bool = False,
) -> StepLoss:
    """Add up the gradients of the mean loss over all learned tokens of the batches.

    If memory is insufficient, the batches are cut into twice as many pieces and started again: the
    gradient is the same apart from rounding and dropout.

    Parameters
    ----------
    model
        The model; its gradients must be empty.
    batches
        Batches of one optimiser step; more than one is gradient accumulation.
    pad_id
        Of the tokenizer.
    seed
        Of the dropout.
    splits
        Initial number of pieces of each batch.
    bf16
        Whether to compute in bfloat16 where that is safe (autocast).

    Raises
    ------
    ValueError
        If a single row does not fit into memory.
    """
    import torch

    from crystalicl_jobflow.utils.torch_runtime import is_out_of_memory

    most = max(len(rows) for rows in batches)
    while True:
        # dropout depends only on the step, so that a resumed training is the same
        torch.manual_seed(seed)
        try:
            return StepLoss(_accumulate(model, batches, pad_id, splits=splits, bf16=bf16), splits)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # outside of the except block: the exception keeps the tensors alive
        model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if splits >= most:
            longest = max(len(row.token_ids) for rows in batches for row in rows)
            raise ValueError(
                f"out of memory with a single row of {longest} tokens: lower the number of"
                " tokens in a row, or use gradient checkpointing, bfloat16 or 4bit"
            )
        splits = min(2 * splits, most)


def _accumulate(
    model: Any,
    batches: Sequence[Sequence[EncodedRow]],
    pad_id: int,
    *,
    splits: int,
    bf16: bool,
) -> float:
    device = next(model.parameters()).device
    total = sum(count_learned(rows) for rows in batches)
    mean = 0.0
    for rows in batches:
        size = -(-len(rows) // splits)
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            learned = count_learned(piece)
            if not learned:
                continue
            token_ids, labels = (item.to(device) for item in collate(piece, pad_id))
            with _precision(device, bf16):
                loss = response_loss(model, token_ids, labels)
            share = learned / total
            (loss * share).backward()
            mean += float(loss.detach()) * share
    return mean


def _precision(device: Any, bf16: bool) -> Any:
    import torch

    if not bf16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
