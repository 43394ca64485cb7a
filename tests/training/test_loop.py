"""Training lowers the loss, stops in time, and goes on where it was interrupted."""

from __future__ import annotations

import json
import random
import sys
import types
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from crystalicl_jobflow.generation import GenerationError
from crystalicl_jobflow.prompts import crystal_prompt
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.training import InstructionSet, LoopSettings, build_base_model, train_base
from crystalicl_jobflow.training.data.batches import (
    IGNORED,
    EncodedRow,
    InstructionBatches,
    collate,
    encode_instruction,
    make_batches,
)
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.data.instructions import Mixture
from crystalicl_jobflow.training.loop import learning_rate_factor, response_loss, train
from crystalicl_jobflow.training.optimizers import Muon, build_optimizers, orthogonalize

SETTINGS = LoopSettings(
    learning_rate=5e-3,
    epochs=4,
    warmup_steps=2,
    tokens_per_batch=800,
    log_every=1,
    checkpoint_every=0.0,
    threads=1,
)
ZERO_SHOT = Mixture(kinds={"zero-shot": 1.0}, conditions={"group": 1.0})


class InterruptedRunError(Exception):
    pass


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture
def few(prototypes):
    return InstructionSet(prototypes[:24], mixture=ZERO_SHOT)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_goes_down_and_the_model_loads(tmp_path, few, tiny_size, optimizer) -> None:
    settings = replace(SETTINGS, optimizer=optimizer)
    validation = list(few.epoch(9))[:8]
    result = train_base(few, tmp_path, settings=settings, size=tiny_size, validation=validation)
    assert result.finished
    first, last = losses(tmp_path)[0], losses(tmp_path)[-1]
    assert last < first - 1.0
    held = [line["validation_loss"] for line in result.state.history]
    assert held[-1] < held[0]
    arguments = json.loads((tmp_path / "training_args.json").read_text())
    assert arguments["settings"]["seed"] == 0
    assert arguments["text_format"] == "sgs"
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.config.model_type == "llama"
    assert model.generation_config.eos_token_id == model.config.eos_token_id


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, few, tiny_size) -> None:
    def stop(line) -> None:
        if line["step"] == 5 and "loss" in line:
            raise InterruptedRunError

    train_base(few, tmp_path / "whole", settings=SETTINGS, size=tiny_size)
    with pytest.raises(InterruptedRunError):
        train_base(few, tmp_path / "parts", settings=SETTINGS, size=tiny_size, progress=stop)
    train_base(few, tmp_path / "parts", settings=SETTINGS, size=tiny_size)
    # the log repeats the step whose checkpoint was not yet written
    assert losses(tmp_path / "parts")[-3:] == losses(tmp_path / "whole")[-3:]
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole" / "model").state_dict()
    parts = AutoModelForCausalLM.from_pretrained(tmp_path / "parts" / "model").state_dict()
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, rtol=0, atol=0)


def test_a_checkpoint_of_another_model_is_refused(tmp_path, few, tiny_size) -> None:
    settings = replace(SETTINGS, epochs=1)
    train_base(few, tmp_path, settings=settings, size=tiny_size)
    with pytest.raises(ValueError, match="checkpoint of another model"):
        train_base(few, tmp_path, settings=settings, size=replace(tiny_size, num_layers=1))


def test_a_training_begins_where_another_ended(tmp_path, few, tiny_size) -> None:
    settings = replace(SETTINGS, epochs=1)
    first = train_base(few, tmp_path / "first", settings=settings, size=tiny_size)
    assert first.finished
    for number, start in enumerate((tmp_path / "first", tmp_path / "first" / "model")):
        out = tmp_path / f"second-{number}"
        train_base(few, out, settings=settings, size=tiny_size, start=start)
        assert losses(out)[0] < losses(tmp_path / "first")[0]
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(GenerationError, match=r"elsewhere has no config\.json$"):
        train_base(few, tmp_path / "x", settings=settings, start=tmp_path / "elsewhere")


def test_a_time_limit_ends_the_training(tmp_path, few, tiny_size) -> None:
    settings = replace(SETTINGS, epochs=10_000, time_limit=1.0)
    result = train_base(few, tmp_path, settings=settings, size=tiny_size)
    assert result.finished
    assert result.state.epoch < 10_000
    assert result.state.step > 0


def test_a_token_limit_ends_the_training(tmp_path, few, tiny_size) -> None:
    settings = replace(SETTINGS, epochs=10_000, token_limit=20_000)
    result = train_base(few, tmp_path, settings=settings, size=tiny_size)
    assert result.finished
    # the last batch goes over the limit, and nothing comes after it
    assert 20_000 <= result.state.tokens < 20_000 + settings.tokens_per_batch
    with pytest.raises(ValueError, match="token_limit must be at least 1"):
        replace(SETTINGS, token_limit=0)


def test_only_responses_are_learned(tokenizer, prototypes) -> None:
    instruction = next(InstructionSet(prototypes, mixture=ZERO_SHOT).epoch(0))
    row = encode_instruction(tokenizer, instruction)
    learned = [t for t, flag in zip(row.token_ids, row.learned, strict=True) if flag]
    assert tokenizer.decode(learned) == instruction.response + tokenizer.eos_token
    prompt = tokenizer(instruction.prompt)["input_ids"]
    assert row.token_ids[: len(prompt)] == prompt


def test_examples_are_learned_where_asked(tokenizer, prototypes) -> None:
    mixture = Mixture(kinds={"few-shot": 1.0}, shots={2: 1.0})
    instruction = next(
        i for i in InstructionSet(prototypes, mixture=mixture).epoch(0) if len(i.examples) == 2
    )
    row = encode_instruction(tokenizer, instruction, examples=True)
    learned = [t for t, flag in zip(row.token_ids, row.learned, strict=True) if flag]
    shown = "".join(instruction.prompt[start:end] for start, end in instruction.examples)
    assert tokenizer.decode(learned, skip_special_tokens=True) == shown + instruction.response


def test_batches_hold_every_fitting_row_within_their_budget() -> None:
    rng = random.Random(0)
    rows = [EncodedRow([1] * n, [True] * n) for n in (rng.randint(3, 60) for _ in range(200))]
    batches = make_batches(rows, tokens_per_batch=128, max_tokens=50, rng=rng)
    kept = [row for batch in batches for row in batch]
    assert sorted(map(id, kept)) == sorted(id(r) for r in rows if len(r.token_ids) <= 50)
    for batch in batches:
        assert len(batch) * max(len(row.token_ids) for row in batch) <= 128


def test_padding_changes_no_loss(tokenizer, tiny_size) -> None:
    model = build_base_model(tokenizer, tiny_size).eval()
    prompt = crystal_prompt(Condition(formula="NaCl"))
    row = encode_instruction(tokenizer, Instruction(prompt, "\n### P1", "zero-shot", "1"))
    long = encode_instruction(tokenizer, Instruction(prompt * 3, "\n### P1", "zero-shot", "2"))
    ids, labels = collate([row, long], tokenizer.pad_token_id)
    assert (labels[0] != IGNORED).sum() == 2
    labels[1] = IGNORED
    together = response_loss(model, ids, labels)
    alone = response_loss(model, *collate([row], tokenizer.pad_token_id))
    torch.testing.assert_close(together, alone)
    # and the loss is the one that transformers computes
    ids, labels = collate([row], tokenizer.pad_token_id)
    torch.testing.assert_close(alone, model(input_ids=ids, labels=labels).loss)


def test_near_numbers_begin_near_each_other(tokenizer) -> None:
    weight = build_base_model(tokenizer).get_input_embeddings().weight.detach()
    place = tokenizer.get_vocab()

    def likeness(a: str, b: str) -> float:
        return float(torch.cosine_similarity(weight[place[a]], weight[place[b]], dim=0))

    assert likeness(" 5.4", " 5.5") > 0.6 > likeness(" 5.4", " 9.9")
    assert likeness(" 0.99", " 0.00") > 0.6  # coordinates are periodic


@pytest.mark.parametrize("schedule", ["cosine", "stable"])
def test_schedules_warm_up_and_end_at_nothing(schedule) -> None:
    settings = LoopSettings(schedule=schedule, warmup_steps=10)
    factors = [learning_rate_factor(step / 100, step, settings) for step in range(101)]
    assert factors[0] < 0.2
    assert max(factors) > 0.9
    assert factors[-1] == pytest.approx(0.0, abs=1e-9)
    assert all(0 <= factor <= 1 for factor in factors)


def test_orthogonalize_brings_all_singular_values_near_one() -> None:
    matrix = torch.randn(24, 60, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_takes_the_steps_of_torchs() -> None:
    """But for bfloat16, in which torch's orthogonalises."""

    def changes(build: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> torch.Tensor:
        draw = torch.Generator().manual_seed(3)
        weights = [
            torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((8, 24), (24, 8))
        ]
        before = torch.cat([weight.detach().flatten() for weight in weights])
        optimizer = build(weights)
        for _ in range(5):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=draw)
            optimizer.step()
        return torch.cat([weight.detach().flatten() for weight in weights]) - before

    own = changes(lambda weights: Muon(weights, lr=0.01, weight_decay=0.1))
    torchs = changes(
        lambda weights: torch.optim.Muon(
            weights, lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        )
    )
    assert (own - torchs).norm() < 0.02 * own.norm()


def test_muon_leaves_embeddings_and_norms_to_adamw(tokenizer, tiny_size) -> None:
    model = build_base_model(tokenizer, tiny_size)
    adamw, muon = build_optimizers(model, name="muon", learning_rate=1e-3, weight_decay=0.1)
    shapes = [tuple(p.shape) for group in muon.param_groups for p in group["params"]]
    assert len(shapes) == 7 * tiny_size.num_layers
    assert (len(tokenizer), tiny_size.hidden_size) not in shapes
    with pytest.raises(ValueError, match="'sgd' is not one of adamw, paged_adamw, muon"):
        build_optimizers(model, name="sgd", learning_rate=1e-3, weight_decay=0.1)
    assert adamw.param_groups[1]["weight_decay"] == 0.0


def test_the_paged_optimizer_is_that_of_bitsandbytes(tokenizer, tiny_size, monkeypatch) -> None:
    model = build_base_model(tokenizer, tiny_size)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ImportError, match=r"crystalicl-jobflow\[quantization\]"):
        build_optimizers(model, name="paged_adamw", learning_rate=1e-3, weight_decay=0.1)

    class PagedAdamW(torch.optim.AdamW):
        pass

    stand_in = types.SimpleNamespace(PagedAdamW=PagedAdamW)
    monkeypatch.setitem(sys.modules, "bitsandbytes", types.SimpleNamespace(optim=stand_in))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", stand_in)
    (optimizer,) = build_optimizers(model, name="paged_adamw", learning_rate=1e-3, weight_decay=0.1)
    assert isinstance(optimizer, PagedAdamW)


def test_dropout_acts_in_training_only(tokenizer, few, tiny_size, tmp_path) -> None:
    model = build_base_model(tokenizer, tiny_size)
    batches = InstructionBatches(few, tokenizer, tokens_per_batch=800, max_tokens=512)
    ids, labels = collate(batches.batches(0, 0)[0], tokenizer.pad_token_id)
    model.train()
    assert response_loss(model, ids, labels) != response_loss(model, ids, labels)
    model.eval()
    assert response_loss(model, ids, labels) == response_loss(model, ids, labels)
    train(model, batches, replace(SETTINGS, epochs=1), tmp_path)
    assert model.training
