"""``crystalicl train instructions`` as a user meets it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.text.formats import get_text


@pytest.fixture(scope="module")
def salts(tmp_path_factory):
    """Return a folder of six salts as CIF files."""
    folder = tmp_path_factory.mktemp("salts")
    for place, cation in enumerate(("Li", "Na", "K", "Rb", "Cs", "Ag")):
        edge = 3.6 + place / 7
        lattice = Lattice.from_parameters(edge, edge, edge, 60, 60, 60)
        salt = Structure(lattice, [cation, "Cl"], [[0, 0, 0], [0.5] * 3])
        salt.to(filename=str(folder / f"{cation}.cif"))
    return folder


def run(*words):
    return CliRunner().invoke(cli, ["train", "instructions", *map(str, words)])


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("text_format", ["sgs", "sgsw", "xyz", "cif"])
@pytest.mark.parametrize("template", ["crystalicl", "alpaca"])
def test_every_text_in_every_template_reads_back(salts, tmp_path, text_format, template) -> None:
    out = tmp_path / "set.jsonl"
    done = run(salts, "--out", out, "--text-format", text_format, "--template", template)
    assert done.exit_code == 0, done.output
    written = rows(out)
    assert len(written) == 6 * 5
    for row in written:
        assert row["prompt"].startswith("Below is an instruction") == (template == "alpaca")
        structure = get_text(text_format).decode(row["completion"])
        assert structure.composition.reduced_formula == row["formula"]


def test_a_pool_with_fingerprints_serves_the_ablation_by_structure(salts, tmp_path) -> None:
    out = tmp_path / "set.jsonl"
    refused = run(salts, "--out", out, "--ablation", "only-CF")
    assert refused.exit_code == 2
    assert "strategy CF needs fingerprints" in refused.stderr
    assert not out.exists()
    fill_pool(salts, tmp_path / "pool.json", processes=1)
    done = run(tmp_path / "pool.json", "--out", out, "--ablation", "only-CF")
    assert done.exit_code == 0, done.output
    assert {row["kind"] for row in rows(out)} == {"zero-shot", "few-shot CF"}


def test_what_is_drawn_instead_is_said(salts, tmp_path) -> None:
    done = run(salts, "--out", tmp_path / "set.jsonl")
    assert "No fingerprints: C is drawn for strategy CF" in done.stderr
    assert "few-shot C for CF: 6" in done.stderr


def test_shares_and_epochs_are_the_users(salts, tmp_path) -> None:
    out = tmp_path / "set.jsonl"
    done = run(
        salts, "--out", out, "--epochs", "2", "--kind", "few-shot=1", "--strategy", "C=1",
        "--shots", "2=1", "--condition", "group=1", "--limit", "4", "--seed", "7",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    written = rows(out)
    assert len(written) == 8
    assert {len(row["demonstration_ids"]) for row in written} == {2}
    assert {row["kind"] for row in written} == {"few-shot C"}
    info = json.loads((tmp_path / "set.info.json").read_text(encoding="utf-8"))
    assert (info["seed"], info["epochs"], info["mixture"]["shots"]) == (7, 2, {"2": 1.0})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shots", "three=1"), "--shots 'three=1' is not of the form NAME=SHARE"),
        (("--kind", "few-shot"), "--kind 'few-shot' is not of the form NAME=SHARE"),
        (("--strategy", "X=1"), "strategy 'X' is not one of C, F"),
        (("--strategy", "F=1"), "strategy F needs fingerprints"),
        (("--max-orbits", "1"), "no crystal is left to learn from"),
    ],
)
def test_mistakes_are_one_line(salts, tmp_path, words, message) -> None:
    done = run(salts, "--out", tmp_path / "set.jsonl", *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_file_must_be_named_as_what_it_is(salts, tmp_path) -> None:
    done = run(salts, "--out", tmp_path / "set.csv")
    assert done.exit_code == 2
    assert "does not end in .jsonl" in done.stderr
