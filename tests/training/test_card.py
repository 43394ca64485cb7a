"""What ships is small and loads; its card says how it came to be."""

from __future__ import annotations

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
from crystalicl_jobflow.training.card import model_card
from crystalicl_jobflow.training.ship import pack


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prototypes):
    from tests.training.conftest import TINY

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
    metrics.write_text(json.dumps({"rates": {"parsed": {"rate": 0.5, "count": 2, "of": 4}}}))
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
        "| zero-shot | 0.500 (2/4) |",
        "## Limits",
        "nats per token",
    ):
        assert expected in card


def test_the_command_writes_the_card_and_refuses_what_is_none(trained, tmp_path) -> None:
    out = tmp_path / "CARD.md"
    done = CliRunner().invoke(cli, ["train", "card", str(trained / "base"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text().startswith("# The embedded model")
    done = CliRunner().invoke(cli, ["train", "card", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 2
    assert "training_args.json is not a file" in done.stderr
