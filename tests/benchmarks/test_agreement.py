"""Verdicts that others published, beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from crystalicl_jobflow.benchmarks.agreement import all_agree, compare_with_published
from crystalicl_jobflow.cli import cli

COMPOSITIONS = (
    "composition,smact_valid\n"
    "Na1Cl1,True\n"  # alike
    "Na1Cl2,True\n"  # theirs is wrong
    "Pm1Cl3,False\n"  # no electronegativity: our choice
    "Na2O1,maybe\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lemat_smact.csv").write_text(COMPOSITIONS)
    return tmp_path


def test_differences_are_named_and_our_choices_counted_apart(folder: Path) -> None:
    (found,) = compare_with_published(folder)
    assert [row.agrees for row in found.rows] == [True, False, False, False]
    assert (found.agreeing, found.chosen, found.rate) == (1, 1, 1 / 3)
    assert not all_agree([found], 0.99)
    choice = found.differences[-1]
    assert choice.name == "Pm1Cl3"
    assert "Pm without an electronegativity" in choice.choice
    broken = next(row for row in found.rows if row.error)
    assert broken.name == "Na2O1"
    assert broken.error == "'maybe' is neither true nor false"


def test_the_command_prints_every_difference(folder: Path, tmp_path: Path) -> None:
    words = ["benchmark", "agreement", "--data", str(folder), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "Na1Cl2: theirs valid, ours not valid" in done.stderr
    assert "Pm1Cl3: theirs not valid, ours valid (Pm without" in done.stderr
    assert "not judged: 'maybe'" in done.stderr
    written = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert written["sets"][0]["documented_choices"] == 1
    assert len(written["sets"][0]["differences"]) == 3


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds none of lemat_smact\.csv\.gz"):
        compare_with_published(tmp_path)


@pytest.fixture
def published(shared_data: Path) -> Path:
    folder = shared_data / "published"
    if not folder.is_dir():
        pytest.skip("the published verdicts are not in the shared data")
    return folder


def test_compositions_and_groups_as_published(published: Path, tmp_path: Path) -> None:
    for name in ("lemat_smact.csv.gz", "plaid_groups.csv.gz"):
        (tmp_path / name).symlink_to(published / name)
    compositions, groups = compare_with_published(tmp_path, limit=60, seed=1)
    assert all_agree([compositions], 0.99), compositions.differences
    # where the published group is another one, spglib does not find it in this crystal either
    assert all(f"spglib finds {row.ours};" in row.why for row in groups.differences)
    assert groups.agreeing > 30


@pytest.mark.slow
def test_all_published_compositions_and_cif_texts_agree_in_99_of_100(published: Path) -> None:
    compositions, texts, groups = compare_with_published(published, processes=2)
    assert all_agree([compositions, texts], 0.99), texts.differences
    assert all("without an electronegativity" in row.choice for row in compositions.differences)
    assert all(f"spglib finds {row.ours};" in row.why for row in groups.differences)
