"""Gradients do not depend on how the memory cuts the batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from crystalicl_jobflow.training import InstructionSet, LoopSettings, build_base_model, train_base
from crystalicl_jobflow.training import gradients as module
from crystalicl_jobflow.training.checkpoints import read_log
from crystalicl_jobflow.training.data.batches import InstructionBatches
from crystalicl_jobflow.training.gradients import compute_gradients, evaluate_loss


@pytest.fixture
def model(tokenizer, tiny_size):
    return build_base_model(tokenizer, replace(tiny_size, dropout=0.0)).train()


@pytest.fixture
def batches(tokenizer, prototypes):
    instructions = InstructionSet(prototypes[:24])
    return InstructionBatches(instructions, tokenizer, tokens_per_batch=900, max_tokens=900)


def gradients(model, batches, pad_id, **options):
    model.zero_grad(set_to_none=True)
    found = compute_gradients(model, batches, pad_id, seed=0, **options)
    return found, {name: p.grad.clone() for name, p in model.named_parameters()}


def crowded(monkeypatch, most: int) -> None:
    """Let any batch of more rows than ``most`` run out of memory."""
    whole = module.response_loss

    def loss(model, token_ids, labels):
        if len(token_ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return whole(model, token_ids, labels)

    monkeypatch.setattr(module, "response_loss", loss)


def test_out_of_memory_cuts_the_batch_and_keeps_the_gradient(
    model, batches, tokenizer, monkeypatch
) -> None:
    rows = [max(batches.batches(0, 0), key=len)]
    assert len(rows[0]) >= 6
    whole, expected = gradients(model, rows, tokenizer.pad_token_id)
    crowded(monkeypatch, 2)
    cut, found = gradients(model, rows, tokenizer.pad_token_id)
    assert whole.splits == 1
    assert cut.splits > 2
    assert cut.loss == pytest.approx(whole.loss, rel=1e-5)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-6)


def test_a_row_that_does_not_fit_is_one_line(model, batches, tokenizer, monkeypatch) -> None:
    crowded(monkeypatch, 0)
    with pytest.raises(ValueError, match=r"out of memory with a single row of \d+ tokens") as error:
        compute_gradients(model, batches.batches(0, 0)[:1], tokenizer.pad_token_id, seed=0)
    assert "\n" not in str(error.value)


def test_other_errors_are_not_taken_for_memory(model, batches, tokenizer, monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(module, "response_loss", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        compute_gradients(model, batches.batches(0, 0)[:1], tokenizer.pad_token_id, seed=0)


def test_a_training_goes_on_after_out_of_memory(
    tmp_path, prototypes, tiny_size, monkeypatch
) -> None:
    crowded(monkeypatch, 3)
    settings = LoopSettings(epochs=1, tokens_per_batch=900, log_every=1, threads=1)
    result = train_base(
        InstructionSet(prototypes[:24]), tmp_path, settings=settings, size=tiny_size
    )
    assert result.finished
    assert result.state.splits > 1
    assert any("splits" in line for line in read_log(tmp_path))


def test_accumulated_batches_give_the_gradient_of_one_mean(model, batches, tokenizer) -> None:
    rows = batches.batches(0, 0)[:3]
    pad_id = tokenizer.pad_token_id
    together, found = gradients(model, rows, pad_id)
    # by hand: every batch's mean, weighted by its learned tokens
    counts = [module.count_learned(batch) for batch in rows]
    expected = {name: torch.zeros_like(values) for name, values in found.items()}
    mean = 0.0
    for batch, count in zip(rows, counts, strict=True):
        alone, parts = gradients(model, [batch], pad_id)
        mean += alone.loss * count / sum(counts)
        for name, values in parts.items():
            expected[name] += values * count / sum(counts)
    assert together.loss == pytest.approx(mean, rel=1e-5)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-6)


def test_bfloat16_is_near_and_leaves_the_weights_in_float32(model, batches, tokenizer) -> None:
    rows, pad_id = batches.batches(0, 0)[:2], tokenizer.pad_token_id
    exact = gradients(model, rows, pad_id)[0].loss
    rough, found = gradients(model, rows, pad_id, bf16=True)
    assert rough.loss != exact
    assert rough.loss == pytest.approx(exact, rel=2e-2)
    assert all(values.dtype == torch.float32 for values in found.values())
    assert evaluate_loss(model, rows, pad_id, bf16=True) == pytest.approx(exact, rel=2e-2)


def test_the_loss_of_a_plain_head_is_the_cross_entropy(model, tokenizer) -> None:
    torch.manual_seed(0)
    weight = model.get_output_embeddings().weight
    states = torch.randn(50, weight.shape[1], requires_grad=True)
    targets = torch.randint(0, len(weight), (50,))
    results = []
    for loss in (
        module._head_loss(states, weight, targets),
        torch.nn.functional.cross_entropy(states @ weight.T, targets),
    ):
        states.grad = weight.grad = None
        (loss * 0.3).backward()
        results.append((loss.detach(), states.grad.clone(), weight.grad.clone()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    with torch.no_grad():
        quiet = module._head_loss(states, weight, targets)
    torch.testing.assert_close(quiet, results[0][0])
