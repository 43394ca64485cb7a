"""``crystalicl train`` as a user meets it."""

from __future__ import annotations

import csv

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
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
