"""``crystalicl benchmark energies``: what it prints and writes, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.cli import cli


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a CSV of three crystals, one without a band gap."""
    path = tmp_path / "known.csv"
    salt = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]).to(fmt="cif")
    rows = [
        {"material_id": "a", "band_gap": 5.3, "formation_energy_per_atom": -2.2, "cif": salt},
        {"material_id": "b", "band_gap": None, "formation_energy_per_atom": -2.0, "cif": salt},
        {"material_id": "c", "band_gap": 0.0, "formation_energy_per_atom": -1.0, "cif": "nothing"},
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli, ["benchmark", "energies", *map(str, arguments)])


def test_table_and_files(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("--dataset", dataset, "--property", "band_gap", "--out", out)
    assert done.exit_code == 0, done.output
    assert "trees mp-20" in done.stdout
    assert "1 of 1" in done.stdout
    document = json.loads((out / "errors.json").read_text())
    assert document["unit"] == "eV"
    assert set(document["not_read"]) == {"known-b", "known-c"}
    (found,) = document["predictors"]
    rows = pd.read_csv(out / "predictions.csv")
    assert list(rows.material_id) == ["known-a"]
    assert found["mae"] == pytest.approx(abs(rows.iloc[0]["known"] - rows.iloc[0].iloc[2]))


def test_references_are_compared_on_the_same_energies(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="CHGNet needs the extra forcefields")
    out = tmp_path / "out"
    options = ("--predictor", "chgnet", "--references", "mp", "--references", "own")
    done = run("--dataset", dataset, *options, "--out", out)
    assert done.exit_code == 0, done.output
    first, second = json.loads((out / "errors.json").read_text())["predictors"]
    assert first["version"] == "0.3.0 references mp"
    assert second["version"] == "0.3.0 references own"
    assert first["count"] == second["count"] == 2
    # Cs and Cl: the two kinds differ by some hundredths of an eV
    assert 0 < abs(first["mean"] - second["mean"]) < 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--property", "hardness"), "no predictor of hardness"),
        (("--predictor", "oracle"), "no predictor 'oracle' of formation_energy_per_atom"),
        (("--property", "band_gap", "--references", "mp"), "belong to an energy model"),
        (("--predictor", "trees.npz"), "trees.npz"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_mistakes_get_one_line(dataset: Path, options: tuple[str, ...], words: str) -> None:
    done = run("--dataset", dataset, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dataset_without_values(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("material_id,cif\nx,nothing\n")
    done = run("--dataset", path, "--property", "band_gap")
    assert done.exit_code == 2
    assert "no crystal with band_gap" in done.stderr


def test_a_bias_is_fitted_and_taken_out(dataset: Path, tmp_path: Path) -> None:
    out, run_folder = tmp_path / "bias.json", tmp_path / "run"
    options = ["--dataset", dataset, "--property", "band_gap", "--predictor", "trees"]
    done = CliRunner().invoke(
        cli, ["benchmark", "correction", *map(str, options), "--kind", "offset", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["origin"]["dataset"] == "known.csv"
    done = run(*options, "--predictor", f"trees+{out}", "--out", run_folder)
    assert done.exit_code == 0, done.output
    first, second = json.loads((run_folder / "errors.json").read_text())["predictors"]
    assert second["mae"] < 0.001 < first["mae"]
    assert "offset fitted on 1 crystals of known.csv" in second["version"]
    assert "| `trees` mp-20" in (run_folder / "table.md").read_text()


def test_a_correction_is_a_json_file(dataset: Path, tmp_path: Path) -> None:
    options = ["--dataset", str(dataset), "--predictor", "trees", "--out", str(tmp_path / "bias")]
    done = CliRunner().invoke(cli, ["benchmark", "correction", *options])
    assert done.exit_code == 2
    assert "ends with .json" in done.stderr
