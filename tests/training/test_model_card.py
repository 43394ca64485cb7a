"""What ships is small and loads; its card says how it came to be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from safetensors import safe_open

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.training import (
    PAPER_LOOP,
    InstructionSet,
    LoopSettings,
    train_base,
    train_lora,
)
from crystalicl_jobflow.training.model_card import model_card, write_training_card
from crystalicl_jobflow.training.pack_embedded import pack
from crystalicl_jobflow.training.provenance import describe_data, record_data

from .conftest import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prototypes):
    folder = tmp_path_factory.mktemp("runs")
    instructions = InstructionSet(prototypes[:12])
    validation = list(instructions.epoch(3))[:4]
    loop = LoopSettings(epochs=1, threads=1, log_every=1, tokens_per_batch=800)
    train_base(instructions, folder / "base", settings=loop, size=TINY, validation=validation)
    train_lora(
        folder / "base" / "model",
        instructions,
        folder / "lora",
        settings=replace(PAPER_LOOP, epochs=1, threads=1, log_every=1),
    )
    return folder


def test_a_packed_model_loads_through_the_generation_room(trained, tmp_path) -> None:
    size = pack(trained / "base" / "model", trained / "lora" / "adapter", tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {
        "base/config.json",
        "base/model.safetensors",
        "base/tokenizer.json",
        "base/generation_config.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    } <= files
    assert size < 2_000_000
    with safe_open(tmp_path / "base" / "model.safetensors", "pt") as weights:
        assert weights.get_tensor("model.norm.weight").dtype.itemsize == 2
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "embedded"
    generator = load_generator(str(tmp_path / "base"), str(tmp_path / "adapter"))
    assert generator.info.dtype == "float32"


def test_an_adapter_is_packed_alone_for_a_base_model_of_the_hub(trained, tmp_path) -> None:
    base, adapter = trained / "base" / "model", trained / "lora" / "adapter"
    out = tmp_path / "alone"
    arguments = [str(adapter), "--out", str(out), "--base-name", "owner/model"]
    done = CliRunner().invoke(cli, ["train", "pack-adapter", *arguments])
    assert done.exit_code == 0, done.output
    with safe_open(out / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert {weights.get_tensor(name).dtype.itemsize for name in names} == {2}
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/model"
    # the weights that it was trained on decide, whatever their folder is called
    assert load_generator(str(base), str(out)).info.adapter_base_check == "weights"


def test_packing_again_replaces(trained, tmp_path) -> None:
    base, adapter = trained / "base" / "model", trained / "lora" / "adapter"
    pack(base, adapter, tmp_path)
    (tmp_path / "base" / "left-over.json").write_text("{}")
    pack(base, adapter, tmp_path, dtype="float32")
    assert not (tmp_path / "base" / "left-over.json").exists()


def test_packing_the_wrong_folder_is_one_line(trained, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"has no config\.json"):
        pack(trained, trained / "lora" / "adapter", tmp_path)
    with pytest.raises(ValueError, match="dtype 'float17' is not known"):
        pack(trained / "base" / "model", trained / "lora" / "adapter", tmp_path, dtype="float17")


def test_the_card_tells_data_training_commands_and_figures(trained, tmp_path) -> None:
    (trained / "base" / "command.txt").write_text("crystalicl train base x.csv --out base\n")
    metrics = tmp_path / "metrics.json"
    rates = {
        "parsed": {"rate": 0.5, "count": 2, "of": 4},
        "match_at_20": {"rate": 0.75, "count": 3, "of": 4},
        "redrawn": {"rate": 0.0, "count": 0, "of": 4},
        "structure_valid": {"rate": 1.0, "count": 4, "of": 4},
        "valid": {"rate": 0.25, "count": 1, "of": 4},
    }
    metrics.write_text(json.dumps({"rates": rates}))
    card = model_card(
        [trained / "base", trained / "lora"], metrics={"zero-shot": metrics}, notes="## Limits\n"
    )
    for expected in (
        "CC-BY 4.0",
        "### base",
        "### lora",
        "| crystals | 12 |",
        "| seed | 0 |",
        "crystalicl train base x.csv --out base",
        "| | parsed | valid | match_at_20 |",
        "| zero-shot | 0.500 (2/4) | 0.250 (1/4) | 0.750 (3/4) |",
        "## Limits",
        "nats per token",
    ):
        assert expected in card


def test_repeats_of_a_measurement_are_summed(trained, tmp_path) -> None:
    for seed, matched in enumerate((5, 7)):
        folder = tmp_path / "repeats" / f"seed_{seed}"
        folder.mkdir(parents=True)
        rate = {"rate": matched / 10, "count": matched, "of": 10}
        document = {
            "rates": {"match": rate, "match_at_1": rate},
            "metrics": {"rms": 0.04 + 0.02 * seed},
            "speed": {"crystals_per_second": 20.0 + 10 * seed},
        }
        (folder / "metrics.json").write_text(json.dumps(document))
    card = model_card([trained / "base"], metrics={"five": tmp_path / "repeats"})
    assert "| | match | rms | crystals/s |\n" in card
    assert "| five | 0.600 ± 0.141 (12/20) | 0.05 | 25 |\n" in card
    with pytest.raises(ValueError, match=r"holds no metrics\.json"):
        model_card([trained / "base"], metrics={"none": trained / "base"})


def test_a_training_writes_its_own_card(trained, tmp_path) -> None:
    data = tmp_path / "salts.csv"
    data.write_text("material_id,cif\n")
    known = describe_data(data, licences={"salts": "CC0"})
    assert known.sha256 == hashlib.sha256(data.read_bytes()).hexdigest()
    record_data(trained / "lora", [known])
    base = str(trained / "base" / "model")
    card = write_training_card(trained / "lora").read_text(encoding="utf-8")
    for expected in (
        f'---\nbase_model: {json.dumps(base)}\nlibrary_name: "peft"\n',
        f"| salts.csv | - | CC0 | `{known.sha256}` |",
        f"| base model | {base} |",
        "| adapter | LoRA r 8, α 32, dropout 0.05 |",
        "| learned | responses only |",
        "](loss.png)",
        "torch 2",
    ):
        assert expected in card
    beside = (trained / "lora" / "adapter" / "README.md").read_text(encoding="utf-8")
    assert beside == card.replace("](loss.png)", "](../loss.png)")
    with pytest.raises(ValueError, match="is not a file"):
        write_training_card(tmp_path)


def test_public_data_sets_and_pools_are_told_apart(prototypes, tmp_path) -> None:
    path = tmp_path / "mp_20_train.csv"
    path.write_text("x")
    assert describe_data(path).licence == "CC-BY 4.0"
    assert "Materials Project" in describe_data(path).source
    pool = "mongodb://user:secret@host/db/pool"
    found = describe_data(pool, prototypes[:5])
    assert (found.name, found.licence) == ("pool", "not stated")
    assert found == describe_data(pool, prototypes[:5][::-1])
    assert found.sha256 != describe_data(pool, prototypes[:4]).sha256


def test_the_command_writes_the_card_and_refuses_what_is_none(trained, tmp_path) -> None:
    out = tmp_path / "CARD.md"
    done = CliRunner().invoke(cli, ["train", "card", str(trained / "base"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text().startswith("# The embedded model")
    done = CliRunner().invoke(cli, ["train", "card", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 2
    assert "training_args.json is not a file" in done.stderr
