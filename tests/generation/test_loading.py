"""Models load by name or folder, once; what cannot work is said in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from crystalicl_jobflow.generation import GenerationError, GenerationRequest, load_generator
from crystalicl_jobflow.generation import model_places as module
from crystalicl_jobflow.generation.loading import package_versions
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.utils.hashing import folder_hash

from .tiny import PROMPT, save_tiny_model


def error_of(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(GenerationError) as caught:
        load_generator(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_same_arguments_give_the_same_object(tiny_model: Path) -> None:
    base = str(tiny_model / "base")
    first = load_generator(base, device="cpu", batch_size=8)
    assert load_generator(base, device="cpu", batch_size=8) is first
    assert load_generator(base, device="cpu", batch_size=9) is not first


def test_a_training_stands_for_what_it_made(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model / "base", tmp_path / "runs" / "base" / "model")
    shutil.copytree(tiny_model / "adapter", tmp_path / "runs" / "lora" / "adapter")
    trainings = str(tmp_path / "runs" / "base"), str(tmp_path / "runs" / "lora")
    module.check_model_files(*trainings)
    info = load_generator(*trainings, device="cpu").info
    assert (info.base_model, info.adapter) == (trainings[0], f"{trainings[1]}/adapter")
    assert info.base_revision == folder_hash(tiny_model / "base")
    assert info.adapter_revision == folder_hash(tiny_model / "adapter")
    assert module.model_hashes(*trainings)["base_hash"] == info.base_revision
    # a training that has not ended, and another kind of folder
    shutil.rmtree(tmp_path / "runs" / "lora" / "adapter")
    assert error_of(*trainings, device="cpu").endswith("runs/lora has no adapter_config.json")
    assert error_of(str(tmp_path), device="cpu").endswith(f"{tmp_path} has no config.json")


def test_the_adapter_changes_the_scores_as_peft_says(tiny_model: Path, generator: Any) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain: Any = load_generator(str(tiny_model / "base"), device="cpu")
    ids = torch.tensor([plain.causal.encode(PROMPT)])
    with torch.inference_mode():
        base = AutoModelForCausalLM.from_pretrained(tiny_model / "base")
        assert torch.allclose(plain.causal.model(ids).logits, base(ids).logits)
        tuned = PeftModel.from_pretrained(base, tiny_model / "adapter")
        expected = tuned(ids).logits
        merged = generator.causal.model(ids).logits
        assert torch.allclose(merged, expected, atol=1e-4)
        assert not torch.allclose(plain.causal.model(ids).logits, merged, atol=1e-2)


def test_info_names_the_very_files(tiny_model: Path, generator: Any) -> None:
    info = generator.info
    assert info.engine == "transformers"
    assert info.base_model == str(tiny_model / "base")
    assert info.base_revision == folder_hash(tiny_model / "base")
    assert info.adapter_revision == folder_hash(tiny_model / "adapter")
    assert info.base_revision.startswith("sha256:")
    assert info.base_revision != info.adapter_revision
    assert (info.device, info.dtype, info.quantization) == ("cpu", "float32", None)


def test_the_hash_follows_the_weights(tmp_path: Path) -> None:
    assert folder_hash(tmp_path) is None
    (tmp_path / "a.safetensors").write_bytes(b"1")
    first = folder_hash(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert folder_hash(tmp_path) == first
    (tmp_path / "a.safetensors").write_bytes(b"22")
    assert folder_hash(tmp_path) != first


def test_embedded_is_the_shipped_model_with_its_adapter(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded default goes the same way, only the names differ."""
    monkeypatch.setattr(module, "EMBEDDED_FOLDER", tiny_model)
    generator: Any = load_generator(device="cpu", batch_size=2)
    assert generator.info.base_model == generator.info.adapter == "embedded"
    assert generator.info.adapter_revision == folder_hash(tiny_model / "adapter")
    bare: Any = load_generator("embedded", "none", device="cpu", batch_size=2)
    assert bare.info.adapter is None
    sampling = SamplingParams(max_new_tokens=5)
    assert generator.generate([GenerationRequest(PROMPT)], sampling) != bare.generate(
        [GenerationRequest(PROMPT)], sampling
    )


def test_float64_is_a_choice(tiny_model: Path) -> None:
    generator: Any = load_generator(str(tiny_model / "base"), device="cpu", dtype="float64")
    assert generator.info.dtype == "float64"
    (row,) = generator.generate([GenerationRequest(PROMPT)], SamplingParams(max_new_tokens=5))
    assert row[0].num_tokens > 0


def test_missing_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no config.json" in error_of(str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = error_of("nobody/no-such-model-crystals", device="cpu")
    assert "nobody/no-such-model-crystals" in message
    assert "hub cannot be reached" in message


def test_a_gguf_file_is_looked_at_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "smol.gguf"
    assert f"there is no file {place}" in error_of(str(place))
    place.write_bytes(b"version https://git-lfs")
    assert f"{place} is no GGUF file" in error_of(str(place))
    place.write_bytes(b"GGUF" + bytes(100))
    assert "cannot be loaded" in error_of(str(place))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert "crystalicl-jobflow[gguf]" in error_of(str(place))
    assert module.model_hashes(str(place))["base_hash"] == folder_hash(place)
    assert str(folder_hash(place)).startswith("sha256:")


def test_missing_and_misfitting_adapters(tiny_model: Path, tmp_path: Path) -> None:
    base = str(tiny_model / "base")
    message = error_of(base, str(tmp_path / "nothing"), device="cpu")
    assert "has no adapter_config.json" in message
    for name, layers, width in (("wider", 2, 64), ("deeper", 3, 32), ("flatter", 1, 32)):
        save_tiny_model(tmp_path / name, layers=layers, width=width)
        message = error_of(base, str(tmp_path / name / "adapter"), device="cpu")
        if name == "flatter":
            assert "no counterpart" in message
        assert "does not fit the model" in message
    foreign = tmp_path / "foreign"
    shutil.copytree(tiny_model / "adapter", foreign)
    config = json.loads((foreign / "adapter_config.json").read_text())
    config["target_modules"] = ["c_attn"]
    (foreign / "adapter_config.json").write_text(json.dumps(config))
    assert "does not fit the model" in error_of(base, str(foreign), device="cpu")


def test_devices_types_and_quantization(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = str(tiny_model / "base")
    assert "device 'gpu' is not known" in error_of(base, device="gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA GPU" in error_of(base, device="cuda")
    assert "float8" in error_of(base, device="cpu", dtype="float8")
    assert "'3bit' is not one of" in error_of(base, device="cpu", quantization="3bit")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = error_of(base, device="cpu", quantization="4bit")
    assert "pip install 'crystalicl-jobflow[quantization]'" in message


def test_a_tokenizer_without_an_end_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(tiny_model / "base", folder)
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        content.pop("eos_token", None)
        content.pop("eos_token_id", None)
        if name != "tokenizer_config.json":
            content["eos_token_id"] = None
        (folder / name).write_text(json.dumps(content))
    assert "no end-of-text token" in error_of(str(folder), device="cpu")


def test_batch_size_must_be_positive(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        load_generator(str(tiny_model / "base"), device="cpu", batch_size=0)


def test_versions_of_everything_that_decides() -> None:
    versions = package_versions()
    assert set(versions) >= {"crystalicl-jobflow", "torch", "transformers", "peft", "pymatgen"}
    assert "unknown" not in versions.values()


def test_the_fixture_is_a_real_adapter(tiny_model: Path) -> None:
    weights = load_file(tiny_model / "adapter" / "adapter_model.safetensors")
    assert any("lora_B" in name and float(w.abs().max()) > 0 for name, w in weights.items())
