"""``crystalicl edit``: from a file to checked variants of its crystal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas import Candidate
from reciting import PEROVSKITE

from .conftest import Run


@pytest.fixture
def perovskite(tmp_path: Path) -> Path:
    crystal = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.84), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    crystal.to(filename=str(tmp_path / "CaTiO3.cif"))
    return tmp_path / "CaTiO3.cif"


@pytest.fixture
def shipped(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with the model that ships with the package."""
    from crystalicl_jobflow.generation import loading

    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", loading.load_generator)
    return run


def candidates_in(folder: Path) -> list[Candidate]:
    lines = (folder / "candidates.jsonl").read_text().splitlines()
    return [Candidate.model_validate_json(line) for line in lines]


def test_substitutions_are_ranked_and_written(
    shipped: Run, perovskite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = shipped(
        "edit", perovskite, "--substitute", "Ti=Zr,Hf", "--samples", 2, "--out", out,
        "--store", tmp_path / "candidates.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "CaTiO3: CaTiO3 in space group 221, 1: Ca 1a, 2: Ti 1b, 3: O 3c" in result.stderr
    assert "2 edits; what is given of the first (Ti → Zr):" in result.stderr
    assert "p ions" in result.stdout
    assert "Ti → Zr" in result.stdout
    found = candidates_in(out)
    assert [item.formula_pretty for item in found] == ["CaZrO3"] * 2 + ["CaHfO3"] * 2
    assert {item.provenance.edit.parent_id for item in found if item.provenance.edit} == {"CaTiO3"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["edit"] == {"substitute": {"Ti": ["Zr", "Hf"]}}
    assert summary["parents"] == ["CaTiO3"]
    different = {item.text for item in found}
    assert len(list((out / "cifs").iterdir())) == len(summary["cifs"]) <= len(different)
    assert (tmp_path / "candidates.json").is_file()


def test_an_edited_crystal_is_a_parent_again(
    shipped: Run, perovskite: Path, tmp_path: Path
) -> None:
    """A folder of CIFs that the command wrote, or its candidates, are edited like any other."""
    first, second = tmp_path / "first", tmp_path / "second"
    common = ("--samples", 1, "--shots", 0)
    assert not shipped(
        "edit", perovskite, "--substitute", "Ca=Sr", *common, "--out", first
    ).exit_code
    result = shipped("edit", first / "cifs", "--mask", "O", *common, "--out", second)
    assert result.exit_code == 0, result.output
    (child,) = candidates_in(second)
    assert child.formula_pretty == "SrTiO3"
    assert child.provenance.edit is not None
    assert child.provenance.edit.parent_id.startswith("SrTiO3_221_")


def test_a_beginning_is_completed(shipped: Run, tmp_path: Path) -> None:
    text = tmp_path / "beginning.sgs"
    text.write_text("\n".join(PEROVSKITE.splitlines()[:5]))
    out = tmp_path / "out"
    result = shipped(
        "edit", text, "--complete", "--formula", "CaTiO3", "--samples", 2, "--out", out
    )
    assert result.exit_code == 0, result.output
    for candidate in candidates_in(out):
        assert candidate.formula_pretty == "CaTiO3"
        assert candidate.provenance.edit is not None
        assert candidate.provenance.edit.parent_id == "beginning"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "an edit is one of substitute, mask, mutate and complete: none is given"),
        (["--mutate", "--mask", "O"], "mask and mutate are given"),
        (["--substitute", "Ti=Xx"], "'Xx' is not an element"),
        (["--substitute", "Na=K"], "there is no Na to replace"),
        (["--mask", "Cl"], "'Cl' names no orbit of CaTiO3"),
        (["--mask", "O", "--formula", "SrTiO3"], "cannot become SrTiO3"),
        (["--mutate", "--formula", "NaCl"], "does not have the stoichiometry"),
        (["--complete"], "is a whole crystal"),
        (["--mutate", "--no-constrain"], "an edit needs the constraint"),
        (["--mutate", "--model", "substitution"], "cannot edit"),
        (["--mutate", "--redraw", "atoms"], "atoms"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    refused: Callable[..., str], perovskite: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    out = tmp_path / "out"
    assert words in refused("edit", perovskite, *arguments, "--out", out)
    assert not out.exists()


def test_a_file_that_holds_no_crystal_is_named(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty.sgs").write_text("")
    assert refused("edit", tmp_path / "none.cif", "--mutate").endswith("does not exist")
    assert "empty" in refused("edit", tmp_path / "empty.sgs", "--complete")
    assert "empty.sgs" in refused("edit", tmp_path / "empty.sgs", "--mutate")
