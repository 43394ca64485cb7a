"""``crystalicl train`` as a user meets it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure
from transformers import AutoTokenizer

from crystalicl_jobflow.cli import cli


@pytest.fixture
def salts(tmp_path):
    path = tmp_path / "salts.csv"
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["material_id", "cif"])
        for place, cation in enumerate(("Li", "Na", "K", "Rb", "Cs", "Ag")):
            edge = 3.6 + place / 5
            crystal = Structure(
                Lattice.from_parameters(edge, edge, edge, 60, 60, 60),
                [cation, "Cl"],
                [[0, 0, 0], [0.5] * 3],
            )
            writer.writerow([str(place), crystal.to(fmt="cif")])
    return path


def run(*words):
    return CliRunner().invoke(cli, ["train", *map(str, words)])


def test_tokenizer_base_and_adapter_are_written(salts, tmp_path) -> None:
    done = run("tokenizer", "--out", tmp_path / "tokenizer")
    assert done.exit_code == 0, done.output
    assert len(AutoTokenizer.from_pretrained(tmp_path / "tokenizer")) > 3000
    common = (salts, "--validation", "0.2", "--epochs", "1", "--threads", "1")
    size = ("--hidden-size", "32", "--layers", "1")
    done = run("base", *common, *size, "--text-format", "sgsw", "--out", tmp_path / "base")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "base" / "model" / "model.safetensors").is_file()
    done = run(
        "lora", *common, "--base-model", tmp_path / "base" / "model", "--base-name", "embedded",
        "--out", tmp_path / "lora",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "lora" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_base_learns_cif_texts_and_writes_through_the_engine(salts, tmp_path) -> None:
    small = ("--hidden-size", "32", "--layers", "1", "--epochs", "1", "--threads", "1")
    out = tmp_path / "cif"
    done = run("base", salts, "--text-format", "cif", *small, "--augment", "1", "--out", out)
    assert done.exit_code == 0, done.output
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert "\n### _cell_length_a" in tokenizer.get_vocab()
    done = CliRunner().invoke(
        cli,
        [
            "generate", "--formula", "NaCl", "--format", "cif", "--model", f"{out / 'model'}",
            "--no-constrain", "--samples", "2", "--shots", "0", "--max-new-tokens", "48",
            "--out", f"{tmp_path / 'written'}",
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "written" / "candidates.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["text_format"] == "cif"


def test_instruction_files_of_any_tool_are_learned(salts, tmp_path) -> None:
    path = tmp_path / "set.jsonl"
    done = run("instructions", salts, "--epochs", "2", "--out", path)
    assert done.exit_code == 0, done.output
    foreign = tmp_path / "foreign.jsonl"
    pairs = [json.loads(line) for line in path.read_text().splitlines()]
    foreign.write_text(
        "".join(
            json.dumps({"prompt": p["prompt"], "completion": p["completion"]}) + "\n" for p in pairs
        )
    )
    common = ("--epochs", "1", "--threads", "1", "--validation", "0.2")
    size = ("--hidden-size", "32", "--layers", "1")
    out = tmp_path / "base"
    done = run("base", "--instructions", path, *common, *size, "--licence", "set=CC0", "--out", out)
    assert done.exit_code == 0, done.output
    card = (out / "MODEL_CARD.md").read_text()
    assert f"| set.jsonl | - | CC0 | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in card
    assert (out / "loss.png").is_file()
    lora = ("--base-model", out / "model", "--instructions", foreign, "--patience", "1", "--bf16")
    done = run("lora", *lora, *common, "--accumulate", "2", "--out", tmp_path / "lora")
    assert done.exit_code == 0, done.output
    arguments = json.loads((tmp_path / "lora" / "training_args.json").read_text())
    settings = arguments["settings"]
    assert (settings["patience"], settings["accumulate"], settings["bf16"]) == (1, 2, True)
    assert not settings["learn_examples"]
    # the same folder again: other data are refused
    done = run("lora", *lora[:2], salts, *common, "--out", tmp_path / "lora")
    assert done.exit_code == 2
    assert "holds a training on other data (foreign.jsonl)" in done.stderr


def test_qlora_without_a_gpu_is_refused_before_anything_is_read(tmp_path) -> None:
    done = run(
        "lora", tmp_path / "no.csv", "--base-model", "no/model", "--quantization", "4bit",
        "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 2
    assert done.stderr == "Error: quantization 4bit needs a GPU, not cpu\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to learn from: give DATA (CSV files, pools) or --instructions"),
        (("no.csv",), "no.csv is not a file"),
        (("a.csv", "--instructions", __file__), "give DATA or --instructions, not both"),
        (("--instructions", __file__), "line 1: no JSON"),
    ],
)
def test_data_must_be_named_once(tmp_path, words, message) -> None:
    done = run("base", *words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--licence", "salts"), "--licence 'salts' is not of the form FILE=TEXT"),
        (("--patience", "1", "--validation", "0"), "needs a validation share"),
        (("--weight", "perov"), "--weight 'perov' is not of the form FILE=SHARE"),
        (("--hidden-size", "33"), "multiple of 32"),
        (("--max-orbits", "1"), "no crystal is left to learn from"),
    ],
)
def test_mistakes_are_one_line(salts, tmp_path, words, message) -> None:
    done = run("base", salts, "--out", tmp_path / "out", *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 200
    assert "Traceback" not in done.stderr


def test_the_command_is_kept_without_places_but_with_names_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crystalicl_jobflow.cli.train._options import record_command

    words = ["train", "lora", str(tmp_path / "a.csv"), "--base-name", "owner/model"]
    more = ["--base-model", str(tmp_path / "runs" / "base" / "model"), "--cache", "/tmp/cache"]
    monkeypatch.setattr("sys.argv", ["crystalicl", *words, *more, "--seed", "1"])
    record_command(tmp_path)
    assert (tmp_path / "command.txt").read_text() == (
        "crystalicl train lora a.csv --base-name owner/model --base-model base/model --seed 1\n"
    )
