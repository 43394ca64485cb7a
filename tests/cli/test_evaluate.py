"""``crystalicl evaluate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.schemas import Candidate, Condition


@pytest.fixture
def candidates(make: Callable[..., Candidate], tmp_path: Path) -> Path:
    path = tmp_path / "candidates.jsonl"
    documents = [
        make(NACL, condition=Condition(formula="NaCl"), request_index=0),
        make(CSCL, condition=Condition(formula="CsCl"), request_index=1),
        make("nonsense", condition=Condition(formula="CsCl"), request_index=1, sample_index=1),
    ]
    path.write_text("".join(document.model_dump_json() + "\n" for document in documents))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def references(path: Path, *structures: Structure, **columns: list[object]) -> Path:
    table = pd.DataFrame({"cif": [s.to(fmt="cif") for s in structures], **columns})
    table.to_csv(path, index=False)
    return path


def test_rates_with_denominators(candidates: Path, tmp_path: Path) -> None:
    result = run(candidates, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    parsed = next(line for line in result.output.splitlines() if line.split()[:1] == ["parsed"])
    assert parsed.split() == ["parsed", "67", "%", "2", "3"]
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    formula = written["rates"]["formula"]
    assert (formula["rate"], formula["count"], formula["of"]) == (2 / 3, 2, 3)
    assert formula["low"] == pytest.approx(0.2077, abs=1e-4)  # statsmodels, method="wilson"
    assert formula["high"] == pytest.approx(0.9385, abs=1e-4)
    table = pd.read_csv(tmp_path / "out" / "structures.csv")
    assert list(table["parsed"]) == [True, True, False]
    assert pd.read_parquet(tmp_path / "out" / "structures.parquet").shape == table.shape
    copy = (tmp_path / "out" / "candidates.jsonl").read_text()
    assert copy == candidates.read_text()


def test_a_folder_that_holds_candidates(candidates: Path, tmp_path: Path) -> None:
    assert run(candidates.parent, "--out", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("by_index", [False, True])
def test_match_rates_against_a_reference_file(
    candidates: Path, tmp_path: Path, nacl: Structure, cscl: Structure, by_index: bool
) -> None:
    if by_index:
        path = references(tmp_path / "r.csv", cscl, nacl, request_index=[1, 0])
    else:
        path = references(tmp_path / "r.csv", nacl, cscl, cscl)
    result = run(candidates, "--reference", path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rates = json.loads((tmp_path / "out" / "metrics.json").read_text())["rates"]
    assert [rates["match"][part] for part in ("rate", "count", "of")] == [2 / 3, 2, 3]
    assert [rates["match_any"][part] for part in ("rate", "count", "of")] == [1.0, 2, 2]


def test_references_in_another_order_are_refused(
    candidates: Path, tmp_path: Path, nacl: Structure, cscl: Structure
) -> None:
    path = references(tmp_path / "r.csv", cscl, nacl)
    result = run(candidates, "--reference", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "row 1: CsCl cannot be the truth" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_disordered_truth_is_one_in_any_cell(
    make: Callable[..., Candidate], tmp_path: Path
) -> None:
    path = tmp_path / "candidates.jsonl"
    candidate = make("no crystal", condition=Condition(formula="KNaCl2"))
    path.write_text(candidate.model_dump_json() + "\n")
    half = {"Na": 0.5, "K": 0.5}
    conventional = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(6.0), [half, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    for cell in (conventional, conventional.get_primitive_structure()):
        truths = references(tmp_path / "r.csv", cell)
        result = run(path, "--reference", truths, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "has no column 'cif'"), ("cif\nnot a cif\n", "row 1: no structure")],
)
def test_unusable_references_are_one_line(
    candidates: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(content)
    result = run(candidates, "--reference", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_or_empty_source_is_one_line(tmp_path: Path) -> None:
    missing = run(tmp_path / "no.jsonl", "--out", tmp_path / "out")
    (tmp_path / "empty.jsonl").write_text("")
    empty = run(tmp_path / "empty.jsonl", "--out", tmp_path / "out")
    for result, message in ((missing, "does not exist"), (empty, "holds no candidates")):
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def one_line(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_energies_state_the_versions_of_their_packages(candidates: Path, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="CHGNet needs the extra forcefields")
    result = run(candidates, "--energies", "chgnet", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    lines = (tmp_path / "out" / "candidates.jsonl").read_text().splitlines()
    judged = Candidate.model_validate_json(lines[0]).provenance.versions
    for name in ("chgnet", "ase", "pymatgen"):
        assert written["versions"][name] == judged[name] == version(name)


def test_without_energies_there_is_no_version_of_theirs(candidates: Path, tmp_path: Path) -> None:
    assert run(candidates, "--out", tmp_path / "out").exit_code == 0
    versions = json.loads((tmp_path / "out" / "metrics.json").read_text())["versions"]
    assert {"pymatgen", "spglib"} <= set(versions)
    assert "chgnet" not in versions


def test_a_reference_set_that_is_no_truth(
    candidates: Path, tmp_path: Path, nacl: Structure, cscl: Structure
) -> None:
    path = references(tmp_path / "r.csv", cscl, nacl, material_id=["mp-1", "mp-2"])
    out = tmp_path / "out"
    result = run(candidates, "--reference", path, "--no-aligned", "--novelty", "--out", out)
    assert result.exit_code == 0, result.output
    rates = json.loads((out / "metrics.json").read_text())["rates"]
    assert "match" not in rates
    assert [rates["polymorphs"][part] for part in ("count", "of")] == [2, 2]
    assert [rates["novel"][part] for part in ("count", "of")] == [0, 3]
    table = pd.read_csv(out / "structures.csv")
    assert list(table["known_as"][:2]) == ["mp-2", "mp-1"]
    assert list(table["matched_polymorph"][:2]) == ["mp-2", "mp-1"]


def test_what_was_asked_for_nothing_has_no_truth(
    make: Callable[..., Candidate], tmp_path: Path, cscl: Structure
) -> None:
    path = tmp_path / "candidates.jsonl"
    candidate = make(NACL)
    path.write_text(candidate.model_dump_json() + "\n")
    by_place = references(tmp_path / "r.csv", cscl)
    by_id = references(tmp_path / "i.csv", cscl, candidate_id=[candidate.candidate_id])
    for reference, has_match in ((by_place, False), (by_id, True)):
        result = run(path, "--reference", reference, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        rates = json.loads((tmp_path / "out" / "metrics.json").read_text())["rates"]
        assert ("match" in rates) == has_match


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--novelty"], "novelty needs known crystals"),
        (["--coverage", "mp-20"], "coverage needs a reference set"),
        (["--coverage", "mp-21"], "mp_21"),
        (["--relax"], "needs an energy model"),
        (["--energies", "chgnot"], "no energy model 'chgnot'"),
        (["--predict", "luck"], "no predictor of luck"),
        (["--predict", "band_gap=luck"], "no predictor 'luck' of band_gap"),
        (["--reference", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--known", "nowhere.csv", "--novelty"], "nowhere.csv"),
    ],
)
def test_what_cannot_be_computed_is_one_line(
    candidates: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    one_line(run(candidates, *options, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_predicted_property_is_judged(make: Callable[..., Candidate], tmp_path: Path) -> None:
    condition = Condition(properties={"band_gap": 5.0})
    path = tmp_path / "candidates.jsonl"
    path.write_text(make(NACL, condition=condition).model_dump_json() + "\n")
    result = run(path, "--predict", "band_gap=trees", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["rates"]["band_gap"]["of"] == 1
    assert "trees" in written["tolerances"]["predictor:band_gap"]
    table = pd.read_csv(tmp_path / "out" / "structures.csv")
    assert table["band_gap"][0] > 0
