"""The crystals of ``../shared/cases``, where they are: each as its right answer says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.datasets.files import read_file
from crystalicl_jobflow.text.sgs import SGS


@pytest.fixture(scope="module")
def cases() -> Path:
    for parent in Path(__file__).resolve().parents:
        folder = parent.parent / "shared" / "cases" / "crystals"
        if folder.is_dir():
            return folder
    pytest.skip("no cases beside the repository: ../shared/cases is missing")


def files(folder: Path) -> dict[str, dict[str, Any]]:
    answers = json.loads((folder / "expected.json").read_text())
    return {
        name: answer
        for name, answer in answers.items()
        if name.endswith(".cif") or name.startswith("POSCAR")
    }


def test_each_case_is_read_as_expected(cases: Path) -> None:
    for name, answer in files(cases).items():
        if set(answer) == {"refused"}:
            with pytest.raises(ValueError, match=r"no element|no finite number|names no elements"):
                read_file(cases / name)
            continue
        structure = read_file(cases / name).structure
        dataset = structure_dataset(structure)
        found = {
            "formula": structure.composition.reduced_formula,
            "space_group": dataset.number if dataset else None,
            "num_sites": len(structure),
            "density": round(float(structure.density), 2),
        }
        if "refused" not in answer:
            expected = {key: value for key, value in answer.items() if key in found}
            assert {key: found[key] for key in expected} == expected, name


def test_a_split_site_keeps_its_group_in_texts(cases: Path) -> None:
    structure = read_file(cases / "split-site.cif").structure
    text = SGS.encode(structure)
    assert text.startswith("Fm-3m\n")
    assert SGS.decode(text).composition["Li"] == pytest.approx(12, abs=0.01)
