"""An adapter goes on the base it was made for, with its own vocabulary, merged as it means."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    AdaptionPromptConfig,
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from crystalicl_jobflow.generation import GenerationError, load_generator
from crystalicl_jobflow.generation.adapter_base import (
    BASE_RECORD,
    AdapterBase,
    compare_base,
    read_base,
    record_base,
)
from crystalicl_jobflow.generation.transformers_engine import pretrained
from crystalicl_jobflow.utils.hashing import folder_hash

from .tiny import PROMPT, save_tiny_model

LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def refusal(base: Path, adapter: Path, **options: Any) -> str:
    with pytest.raises(GenerationError) as caught:
        load_generator(str(base), str(adapter), device="cpu", **options)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(adapter)) in message
    return message


def save_adapter(
    base: Path, folder: Path, config: PeftConfig, prepare: Callable[[Any], None] | None = None
) -> Any:
    """Save an adapter with random weights; return the model that it makes of its base."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    if prepare is not None:
        prepare(model)
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if parameter.requires_grad or "lora_" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    tuned.save_pretrained(folder)
    return tuned.eval()


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits


def rename_base(adapter: Path, name: str | None) -> None:
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = name
    path.write_text(json.dumps(config))


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model's adapter that may be changed."""
    return Path(shutil.copytree(tiny_model / "adapter", tmp_path / "adapter"))


class TestBase:
    def test_another_base_is_refused_unless_insisted_on(
        self, tiny_model: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = tiny_model / "base"
        monkeypatch.setattr(pretrained, "load_base_model", lambda *_: pytest.fail("loaded"))
        rename_base(adapter, "meta-llama/Llama-2-7b-chat-hf")
        message = refusal(base, adapter)
        assert "made for the base model 'meta-llama/Llama-2-7b-chat-hf'" in message
        assert "--allow-other-base" in message
        monkeypatch.undo()
        info = load_generator(str(base), str(adapter), device="cpu", allow_other_base=True).info
        assert info.adapter_base == "meta-llama/Llama-2-7b-chat-hf"
        assert info.adapter_base_check == "differs"

    def test_the_same_folder_or_the_same_weights_elsewhere_are_accepted(
        self, tiny_model: Path, adapter: Path, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(tiny_model / "base", tmp_path / "moved")
        rename_base(adapter, str(tiny_model / "base"))
        for base, check in ((tiny_model / "base", "name"), (copy, "weights")):
            info = load_generator(str(base), str(adapter), device="cpu").info
            assert (info.adapter_base, info.adapter_base_check) == (
                str(tiny_model / "base"),
                check,
            )

    def test_an_adapter_that_names_no_base_is_recorded_as_such(
        self, tiny_model: Path, adapter: Path
    ) -> None:
        rename_base(adapter, None)
        info = load_generator(str(tiny_model / "base"), str(adapter), device="cpu").info
        assert (info.adapter_base, info.adapter_base_check) == (None, "unknown")

    def test_a_recorded_hash_decides_whatever_the_names(
        self, tiny_model: Path, adapter: Path, tmp_path: Path
    ) -> None:
        base = tiny_model / "base"
        rename_base(adapter, "/scratch/of/another/machine")
        record_base(adapter, base)
        record = json.loads((adapter / BASE_RECORD).read_text())
        assert record["weights"] == folder_hash(base)
        assert load_generator(str(base), str(adapter), device="cpu").info.adapter_base_check == (
            "weights"
        )
        save_tiny_model(tmp_path / "retrained", seed=5)
        other = tmp_path / "retrained" / "base"
        assert "made for the base model '/scratch/of/another/machine'" in refusal(other, adapter)
        rename_base(adapter, str(other))
        assert "on other weights of" in refusal(other, adapter)

    def test_a_base_folder_that_brings_an_adapter_along_is_refused(
        self, tiny_model: Path, adapter: Path
    ) -> None:
        """transformers would load it, and the record would not name it."""
        shutil.copytree(tiny_model / "base", adapter, dirs_exist_ok=True)
        rename_base(adapter, str(tiny_model / "base"))
        with pytest.raises(GenerationError, match="brings an adapter along"):
            load_generator(str(adapter), device="cpu")

    def test_a_broken_record_counts_as_none(self, tiny_model: Path, adapter: Path) -> None:
        (adapter / BASE_RECORD).write_text("[1, 2")
        rename_base(adapter, None)
        info = load_generator(str(tiny_model / "base"), str(adapter), device="cpu").info
        assert info.adapter_base_check == "unknown"

    @pytest.mark.parametrize(
        ("needed", "loaded", "expected"),
        [
            ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf", "name"),
            ("meta-llama/llama-2-7b-hf", "meta-llama/Llama-2-7b-hf", "name"),
            ("meta-llama/Llama-2-7b-hf", "NousResearch/Llama-2-7b-hf", "differs"),
            ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf", "differs"),
            ("gpt2", "openai-community/gpt2", "unknown"),
            ("meta-llama/Llama-2-7b-hf", "/models/Llama-2-7b-hf", "unknown"),
            ("meta-llama/Llama-2-7b-hf", "/models/Mistral-7B-v0.1", "differs"),
            (
                "meta-llama/Llama-2-7b-hf",
                "/cache/hub/models--meta-llama--Llama-2-7b-hf/snapshots/0123abc",
                "name",
            ),
            ("/scratch/a/base", "/home/b/base/", "unknown"),
            ("embedded", "embedded", "name"),
            ("embedded", "/models/embedded", "differs"),
        ],
    )
    def test_names(self, needed: str, loaded: str, expected: str) -> None:
        assert compare_base(AdapterBase(needed), AdapterBase(loaded), loaded) == expected

    def test_an_adapter_made_on_a_gguf_file_goes_with_the_model_of_its_name(
        self, tmp_path: Path
    ) -> None:
        made_on, other = tmp_path / "made-on.gguf", tmp_path / "other.gguf"
        made_on.write_bytes(b"GGUF 1")
        other.write_bytes(b"GGUF 2")
        record_base(tmp_path, made_on, name="HuggingFaceTB/SmolLM2-135M-Instruct")
        needed = read_base(str(tmp_path), "HuggingFaceTB/SmolLM2-135M-Instruct")
        for loaded, expected in [
            (str(made_on), "weights"),
            (str(other), "differs"),
            ("HuggingFaceTB/SmolLM2-135M-Instruct", "name"),
            ("HuggingFaceTB/SmolLM2-360M-Instruct", "differs"),
        ]:
            assert compare_base(needed, AdapterBase(loaded), loaded) == expected

    def test_the_shipped_adapter_belongs_to_the_shipped_base(self) -> None:
        info = load_generator("embedded", device="cpu", batch_size=2).info
        assert (info.adapter_base, info.adapter_base_check) == ("embedded", "weights")


class TestVocabulary:
    """The tokenizer beside an adapter, and embeddings of its size."""

    @pytest.fixture
    def enlarged(self, tiny_model: Path, tmp_path: Path) -> tuple[Path, Any, Any]:
        """Return an adapter with two more tokens, its model and its tokenizer."""
        tokenizer = AutoTokenizer.from_pretrained(tiny_model / "base")
        tokenizer.add_tokens([" Zr", "Hf"])
        folder = tmp_path / "enlarged"
        tuned = save_adapter(
            tiny_model / "base",
            folder,
            LoraConfig(**LORA, modules_to_save=["embed_tokens", "lm_head"]),
            lambda model: model.resize_token_embeddings(len(tokenizer)),
        )
        tokenizer.save_pretrained(folder)
        return folder, tuned, tokenizer

    def test_both_are_loaded(self, tiny_model: Path, enlarged: tuple[Path, Any, Any]) -> None:
        folder, tuned, tokenizer = enlarged
        model: Any = load_generator(str(tiny_model / "base"), str(folder), device="cpu")
        ids = list(model.causal.encode(PROMPT + " ZrHf"))
        assert ids == tokenizer(PROMPT + " ZrHf")["input_ids"]
        assert ids[-2:] == [len(tokenizer) - 2, len(tokenizer) - 1]
        assert model.causal.vocabulary.strings[ids[-2]] == " Zr"
        assert torch.allclose(logits(model.causal.model, ids), logits(tuned, ids), atol=1e-4)

    def test_without_the_tokenizer_they_are_refused(
        self, tiny_model: Path, enlarged: tuple[Path, Any, Any]
    ) -> None:
        folder, *_ = enlarged
        for file in folder.glob("*token*"):
            file.unlink()
        message = refusal(tiny_model / "base", folder)
        assert "save the tokenizer it was trained with beside it" in message

    def test_a_pad_token_needs_no_embedding_but_a_word_does(
        self, tiny_model: Path, adapter: Path
    ) -> None:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model / "base")
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        tokenizer.save_pretrained(adapter)
        model: Any = load_generator(str(tiny_model / "base"), str(adapter), device="cpu")
        plain: Any = load_generator(str(tiny_model / "base"), device="cpu")
        ids = list(model.causal.encode(PROMPT))
        assert ids == list(plain.causal.encode(PROMPT))
        assert logits(model.causal.model, ids).shape[-1] == len(tokenizer)
        tokenizer.add_tokens([" Zr"])
        tokenizer.save_pretrained(adapter)
        message = refusal(tiny_model / "base", adapter, batch_size=3)
        assert "1 tokens without embeddings, e.g. ' Zr'" in message


class TestMerging:
    @pytest.mark.parametrize(
        "config",
        [
            PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
            PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
            PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
            AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=3, adapter_layers=2),
            LoraConfig(**LORA, alora_invocation_tokens=[1, 2]),
        ],
        ids=lambda config: str(config.peft_type.value),
    )
    def test_what_cannot_be_merged_is_refused(
        self, tiny_model: Path, tmp_path: Path, config: PeftConfig
    ) -> None:
        save_adapter(tiny_model / "base", tmp_path / "a", config)
        message = refusal(tiny_model / "base", tmp_path / "a")
        assert f"is of the kind {config.peft_type.value}, which cannot be merged" in message

    @pytest.mark.parametrize(
        "config",
        [
            IA3Config(
                task_type="CAUSAL_LM",
                target_modules=["k_proj", "v_proj", "down_proj"],
                feedforward_modules=["down_proj"],
            ),
            LoHaConfig(r=2, target_modules=["q_proj", "v_proj"]),
            LoraConfig(**LORA, use_dora=True),
        ],
        ids=["IA3", "LOHA", "DORA"],
    )
    def test_other_kinds_are_merged(
        self, tiny_model: Path, tmp_path: Path, config: PeftConfig
    ) -> None:
        tuned = save_adapter(tiny_model / "base", tmp_path / "a", config)
        model: Any = load_generator(str(tiny_model / "base"), str(tmp_path / "a"), device="cpu")
        ids = list(model.causal.encode(PROMPT))
        assert not isinstance(model.causal.model, PeftModel)
        assert torch.allclose(logits(model.causal.model, ids), logits(tuned, ids), atol=1e-4)

    @pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
    def test_tied_embeddings_are_parted_before_one_of_them_is_changed(
        self, tiny_model: Path, tmp_path: Path, target: str
    ) -> None:
        tied = tmp_path / "tied"
        model = AutoModelForCausalLM.from_pretrained(tiny_model / "base", tie_word_embeddings=True)
        model.tie_weights()
        model.save_pretrained(tied)
        AutoTokenizer.from_pretrained(tiny_model / "base").save_pretrained(tied)
        config = LoraConfig(r=4, target_modules=["q_proj", target], task_type="CAUSAL_LM")
        tuned = save_adapter(tied, tmp_path / "a", config)
        loaded: Any = load_generator(str(tied), str(tmp_path / "a"), device="cpu")
        ids = list(loaded.causal.encode(PROMPT))
        expected = logits(tuned, ids)
        assert torch.allclose(logits(loaded.causal.model, ids), expected, atol=1e-4)
        loaded.causal.model.save_pretrained(tmp_path / "merged")
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
        assert torch.allclose(logits(again, ids), expected, atol=1e-4)
