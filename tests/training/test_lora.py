"""Adapters: for any causal language model, on a frozen base."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from crystalicl_jobflow.training import (
    HYBRID_MIXTURE,
    PAPER_LOOP,
    InstructionSet,
    LoraSettings,
    build_base_model,
    train_lora,
)
from crystalicl_jobflow.training.base_model import save_base
from crystalicl_jobflow.training.lora import load_base, quantization_config
from crystalicl_jobflow.utils.hashing import folder_hash

from .conftest import TINY

SETTINGS = replace(
    PAPER_LOOP, learning_rate=2e-2, epochs=3, warmup_steps=1, tokens_per_batch=1200, threads=1
)


@pytest.fixture(scope="module")
def instructions(prototypes):
    return InstructionSet(prototypes[:24], mixture=HYBRID_MIXTURE)


@pytest.fixture(scope="module")
def llama(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("llama")
    save_base(build_base_model(tokenizer, TINY), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=1024,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    save_base(GPT2LMHeadModel(config), tokenizer, folder)
    return folder


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_an_adapter_learns_and_its_base_stays(tmp_path, instructions, base, request) -> None:
    folder = request.getfixturevalue(base)
    before = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    validation = list(instructions.epoch(9))[:8]
    train_lora(folder, instructions, tmp_path, settings=SETTINGS, validation=validation)
    untouched = AutoModelForCausalLM.from_pretrained(folder)
    tuned = PeftModel.from_pretrained(untouched, tmp_path / "adapter")
    for name, values in tuned.get_base_model().state_dict().items():
        plain = name.replace(".base_layer", "")
        if "lora_" not in name and plain in before:
            torch.testing.assert_close(values, before[plain], rtol=0, atol=0)
    parts = [p for n, p in tuned.named_parameters() if "lora_B" in n]
    assert parts
    assert any(float(p.abs().max()) > 0 for p in parts)


def test_the_adapter_lowers_the_loss_and_names_its_base(tmp_path, instructions, llama) -> None:
    result = train_lora(
        llama,
        instructions,
        tmp_path,
        settings=replace(SETTINGS, checkpoint_every=0.0),
        validation=list(instructions.epoch(9))[:8],
        base_name="embedded",
    )
    held = [line["validation_loss"] for line in result.state.history]
    assert held[-1] < held[0]
    config = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert '"base_model_name_or_path": "embedded"' in config
    assert '"r": 8' in config
    assert '"lora_alpha": 32' in config
    record = json.loads((tmp_path / "adapter" / "base_model.json").read_text())
    assert record == {"base_model": "embedded", "revision": None, "weights": folder_hash(llama)}


def test_gradient_checkpointing_changes_memory_only(tmp_path, instructions, llama) -> None:
    settings = replace(SETTINGS, epochs=1)
    weights = []
    for checkpointing in (False, True):
        folder = tmp_path / str(checkpointing)
        lora = LoraSettings(gradient_checkpointing=checkpointing)
        train_lora(llama, instructions, folder, settings=settings, lora=lora)
        weights.append(load_file(folder / "adapter" / "adapter_model.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=1e-4, atol=1e-6)


def test_a_begun_tuning_of_something_else_is_refused(tmp_path, instructions, llama, gpt2) -> None:
    settings = replace(SETTINGS, epochs=1)
    train_lora(llama, instructions, tmp_path, settings=settings)
    with pytest.raises(ValueError, match=r"holds a training with base_model \S*llama"):
        train_lora(gpt2, instructions, tmp_path, settings=settings)
    with pytest.raises(ValueError, match="with rank 8, not 4: name another folder"):
        train_lora(llama, instructions, tmp_path, settings=settings, lora=LoraSettings(rank=4))


def test_targets_may_be_chosen(tmp_path, instructions, llama) -> None:
    lora = LoraSettings(rank=2, target_modules=("q_proj",))
    train_lora(llama, instructions, tmp_path, settings=replace(SETTINGS, epochs=1), lora=lora)
    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(llama), tmp_path / "adapter"
    )
    names = [n for n, _ in tuned.named_parameters() if "lora_" in n]
    assert names
    assert all("q_proj" in name for name in names)


def test_a_missing_model_is_one_line(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nowhere has no config\.json") as caught:
        load_base(tmp_path / "nowhere", LoraSettings())
    assert "\n" not in str(caught.value)


def test_quantization_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="4bit needs a GPU, not cpu"):
        quantization_config("4bit", "cpu")
    with pytest.raises(ValueError, match="not one of 4bit, 8bit"):
        quantization_config("3bit", "cuda")
