"""``crystalicl query`` finds what is there and says what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Structure

from .conftest import Run


def found(run: Run, *arguments: object) -> list[dict]:
    result = run("query", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_folder_and_file_name_the_same_candidates(run: Run, generated: Path) -> None:
    assert len(found(run, generated)) == 8
    assert found(run, generated) == found(run, generated / "candidates.jsonl")


def test_filters(run: Run, generated: Path) -> None:
    everything = found(run, generated)
    valid = found(run, generated, "--valid")
    invalid = found(run, generated, "--invalid")
    assert 0 < len(valid) < 8
    assert len(valid) + len(invalid) == 8
    assert {item["formula_pretty"] for item in found(run, generated, "--formula", "O3CaTi")} == {
        "CaTiO3"
    }
    assert all("O" in item["elements"] for item in found(run, generated, "--elements", "O"))
    rock_salt = found(run, generated, "--chemsys", "Cl-Na", "--space-group", "Fm-3m")
    assert {(item["formula_pretty"], item["symmetry"]["number"]) for item in rock_salt} == {
        ("NaCl", 225)
    }
    assert found(run, generated, "--limit", 2) == everything[:2]
    assert found(run, generated, "--property", "band_gap=0:10") == []


def test_table_is_readable_at_80_columns(run: Run, generated: Path) -> None:
    result = run("query", generated)
    assert result.exit_code == 0
    assert "Outcome" in result.stdout
    assert result.stdout.rstrip().endswith("8 candidates")
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_cif_texts_and_files(run: Run, generated: Path, tmp_path: Path) -> None:
    printed = run("query", generated, "--formula", "NaCl", "--space-group", 225, "--format", "cif")
    crystal = Structure.from_str(printed.stdout.split("# generated")[1], fmt="cif")
    assert crystal.composition.reduced_formula == "NaCl"
    out = tmp_path / "cifs"
    result = run("query", generated, "--valid", "--format", "cif", "--out", out)
    assert result.exit_code == 0
    assert len(list(out.iterdir())) == len(found(run, generated, "--valid"))


def test_nothing_found_is_no_error(run: Run, generated: Path) -> None:
    result = run("query", generated, "--formula", "UO2")
    assert result.exit_code == 0
    assert "No candidate meets this" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["{run}", "--space-group", "300"], "space group 300 does not exist"),
        (["{run}", "--property", "colour=1:2"], "'colour' is not known"),
        (["{run}", "--property", "band_gap=2:1"], "reversed"),
        (["{run}", "--out", "x"], "--out goes with --format cif"),
        (["{run}/summary.json"], "summary.json"),
    ],
)
def test_mistakes(
    refused: Callable[..., str], generated: Path, arguments: list[str], words: str
) -> None:
    assert words in refused("query", *(item.format(run=generated) for item in arguments))


def test_a_damaged_file_is_named_with_its_line(
    refused: Callable[..., str], generated: Path
) -> None:
    path = generated / "candidates.jsonl"
    path.write_text(path.read_text() + "{}\n")
    assert f"{path}, line 9" in refused("query", path)
