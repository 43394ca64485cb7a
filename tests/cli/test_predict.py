"""``crystalicl predict-property`` and ``crystalicl benchmark property`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.cli import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a salt, what is no crystal, and a CSV of both with band gaps."""
    place = tmp_path_factory.mktemp("crystals")
    lattice = Lattice.from_parameters(4.02, 4.02, 4.02, 60, 60, 60)
    salt = Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    salt.to(filename=str(place / "salt.cif"))
    (place / "bad.cif").write_text("data_nothing\n")
    cif = salt.to(fmt="cif").replace('"', '""')
    (place / "known.csv").write_text(f'material_id,band_gap,cif\nmp-1,5.0,"{cif}"\nmp-2,1.0,x\n')
    return place


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_cif_files_get_a_number_or_a_reason(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    done = run(
        "predict-property", folder / "salt.cif", folder / "bad.cif", "--property", "band_gap",
        "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 of 2 answered" in done.stdout
    salt, bad = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert (salt["crystal_id"], salt["formula"], salt["known_value"]) == ("salt", "NaCl", None)
    assert salt["value"] >= 0
    assert salt["model"]["base_model"] == "embedded"
    assert (bad["value"], bad["reason"]) == (None, "not_read")


def test_known_values_stand_beside_the_predicted(folder: Path) -> None:
    done = run("predict-property", folder / "known.csv", "--property", "band_gap", "--samples", 3)
    assert done.exit_code == 0, done.output
    assert "1 of 2 answered" in done.stdout
    assert "Known" in done.stdout
    assert "over 1 known values" in done.stdout


def test_the_benchmark_writes_its_metrics(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(
        "benchmark", "property", "--dataset", folder / "known.csv", "--property", "band_gap",
        "--baseline", "median", "--train", folder / "known.csv", "--seed", 3, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["property"], metrics["asked"], metrics["seed"]) == ("band_gap", 2, 3)
    assert (metrics["model"]["of"], metrics["model"]["unanswered"]) == (1, 1)
    median = metrics["baselines"]["median"]
    assert (median["mae"], median["of"]) == (2.0, 2)
    assert metrics["identity"]["base"] == "embedded"
    assert len((out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert "language model" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--property", "colour"), "property 'colour' is not known"),
        (("--property", "band_gap", "--temperature", "0.5"), "--temperature needs several"),
    ],
)
def test_mistakes_are_one_line(folder: Path, words: tuple[str, ...], message: str) -> None:
    done = run("predict-property", folder / "salt.cif", *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_benchmark_names_what_is_missing(folder: Path, tmp_path: Path) -> None:
    done = run(
        "benchmark", "property", "--dataset", folder / "known.csv", "--property", "band_gap",
        "--out", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 2
    assert "needs training data (--train CSV)" in done.stderr


def test_crystals_that_nobody_can_read_are_exit_status_2(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text("NaCl\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n")
    result = CliRunner().invoke(cli, ["predict-property", str(tmp_path), "--property", "band_gap"])
    assert result.exit_code == 2
    assert "could be read" in result.stderr
