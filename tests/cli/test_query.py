"""``crystalicl query`` finds what is there and says what is not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from jobflow import run_locally
from pymatgen.core import Structure

from crystalicl_jobflow.candidates import CandidateQuery
from crystalicl_jobflow.cli._candidates import write_cifs
from crystalicl_jobflow.cli._query_output import asked_fields, count_words, document_table
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.stores import load_job_store
from reciting import RecitingGenerator

from .conftest import Run


def found(run: Run, *arguments: object) -> list[dict]:
    result = run("query", *arguments, "--format", "jsonl")
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


def test_questions_pages_and_fields(run: Run, generated: Path) -> None:
    everything = found(run, generated)
    assert all(
        "Cl" not in item["elements"] for item in found(run, generated, "--without-elements", "Cl")
    )
    cubic = found(run, generated, "--crystal-system", "cubic", "--num-elements", "3")
    assert {item["formula_pretty"] for item in cubic} == {"CaTiO3"}
    by_density = found(run, generated, "--sort", "density", "--descending")
    values = [item["density"] for item in by_density]
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=True) + [None] * (8 - len(known))
    assert found(run, generated, "--sort", "density", "--descending", "--skip", 6) == by_density[6:]
    (one,) = found(run, generated, "--id", everything[3]["candidate_id"][:12])
    assert one == everything[3]
    only = found(run, generated, "--fields", "formula,density")
    assert {tuple(item) for item in only} == {("candidate_id", "formula_pretty", "density")}
    counted = run("query", generated, "--valid", "--count")
    assert counted.stdout.strip() == str(len(found(run, generated, "--valid")))
    table = run("query", generated, "--fields", "density,valid")
    assert "density" in table.stdout
    assert "yes" in table.stdout


def test_what_is_printed_as_json_is_read_again(run: Run, generated: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    again.write_text(run("query", generated, "--valid", "--format", "jsonl").stdout)
    names = [item["candidate_id"] for item in found(run, generated, "--valid")]
    assert [item["candidate_id"] for item in found(run, again)] == names
    assert run("evaluate", again, "--out", tmp_path / "evaluation").exit_code == 0


def test_a_job_store_is_collected(run: Run, tmp_path: Path, reciting_jobs: Path) -> None:
    target = tmp_path / "candidates.sqlite"
    first = run("collect", reciting_jobs, "--store", target)
    assert first.exit_code == 0, first.output
    assert "4 candidates" in first.stdout
    assert "0 jobs read" in run("collect", reciting_jobs, "--store", target).stdout
    assert len(found(run, target, "--valid")) == len(found(run, target)) - len(
        found(run, target, "--invalid")
    )


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


def test_what_is_sorted_or_filtered_by_has_a_column(run: Run, generated: Path) -> None:
    table = run("query", generated, "--sort", "density", "--property", "min_distance=1:")
    headings = table.stdout.split("───")[0]
    assert "g/cm³" in headings
    assert "Min. Å" in headings
    assert "Relaxed" not in headings
    assert table.stdout.rstrip().endswith("of 8 candidates")
    document = {
        "candidate_id": "1" * 24, "is_relaxed": True, "is_stable": False,
        "energy_per_atom": -3.14159, "energy_above_hull": 0.05,
    }  # fmt: skip
    asked = CandidateQuery(relaxed=True, stable=False)
    shown = asked_fields(asked.mongo_criteria, "energy_per_atom")
    assert shown == ["energy_per_atom", "is_stable", "is_relaxed"]
    cells = {
        str(column.header): str(next(iter(column.cells)))
        for column in document_table([document], shown).columns
    }
    assert (cells["Energy eV/atom"], cells["Relaxed"], cells["Stable"]) == ("-3.142", "yes", "no")
    assert cells["eV/atom above hull"] == "0.050"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((12, 12, 12), "12 candidates"),
        ((5, 5, 12), "5 of 12 candidates"),
        ((5, 12, 12), "5 of 12 candidates"),
        ((2, 5, 12), "2 of 5 that meet this, of 12 candidates"),
        ((0, 0, 12), "No candidate meets this, of 12."),
    ],
)
def test_how_many_of_how_many(counts: tuple[int, int, int], words: str) -> None:
    assert count_words(*counts) == words


def test_files_hold_what_their_names_say(run: Run, generated: Path, tmp_path: Path) -> None:
    valid = found(run, generated, "--valid")
    tables = {}
    for ending in ("csv", "parquet", "json", "jsonl"):
        out = tmp_path / f"valid.{ending}"
        result = run("query", generated, "--valid", "--out", out)
        assert result.exit_code == 0, result.output
        assert f"{len(valid)} of 8 candidates in {out}" in result.stderr
        if ending in ("csv", "parquet"):
            tables[ending] = getattr(pd, f"read_{ending}")(out)
    assert json.loads((tmp_path / "valid.json").read_text()) == valid
    lines = (tmp_path / "valid.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == valid
    for table in tables.values():
        assert list(table["candidate_id"]) == [item["candidate_id"] for item in valid]
        assert list(table["symmetry.number"]) == [item["symmetry"]["number"] for item in valid]
        assert table["density"].tolist() == pytest.approx([item["density"] for item in valid])
    # empty columns have the types of their fields, so that files of several runs go together
    assert tables["parquet"].dtypes["energy_above_hull"] == "Float64"
    assert tables["parquet"].dtypes["is_stable"] == "boolean"
    printed = run("query", generated, "--valid", "--format", "csv", "--fields", "elements,formula")
    rows = pd.read_csv(io.StringIO(printed.stdout))
    assert list(rows.columns) == ["candidate_id", "elements", "formula_pretty"]
    assert [json.loads(cell) for cell in rows["elements"]] == [item["elements"] for item in valid]
    printed = run("query", generated, "--formula", "UO2", "--format", "json")
    assert json.loads(printed.stdout) == []


def test_a_linked_folder_gets_no_files(
    run: Run, refused: Callable[..., str], generated: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "cifs").symlink_to(elsewhere)
    arguments = ("query", generated, "--valid", "--format", "cif", "--out", tmp_path / "cifs")
    assert "symbolic link" in refused(*arguments)
    with pytest.raises(ValueError, match="symbolic link"):
        write_cifs(tmp_path / "cifs", [])
    assert list(elsewhere.iterdir()) == []


def test_nothing_found_is_no_error(run: Run, generated: Path) -> None:
    result = run("query", generated, "--formula", "UO2")
    assert result.exit_code == 0
    assert "No candidate meets this" in result.stderr


@pytest.fixture
def reciting_jobs(tmp_path: Path) -> Path:
    """A job store on disk with the outputs of one validation of four texts."""
    config = tmp_path / "jobs.yaml"
    config.write_text(
        f"docs_store: {{type: JSONStore, paths: {tmp_path}/jobs.json}}\n"
        f"additional_stores: {{data: {{type: JSONStore, paths: {tmp_path}/data.json}}}}\n"
    )
    generations = generate_for_retrievals(
        as_retrievals([{"elements": ["O"]}]), RecitingGenerator(), num_samples=4, constrain=False
    )
    run_locally(
        ValidateMaker().make(generations),
        store=load_job_store(config),
        ensure_success=True,
        log=False,
    )
    return config


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["{run}", "--space-group", "300"], "space group 300 does not exist"),
        (["{run}", "--property", "colour=1:2"], "'colour' is not known"),
        (["{run}", "--property", "band_gap=2:1"], "reversed"),
        (["{run}", "--out", "x"], "--out needs --format cif"),
        (["{run}", "--format", "csv", "--out", "x.json"], "x.json is no name for csv"),
        (["{run}", "--format", "parquet"], "needs --out FILE.parquet"),
        (["{run}", "--descending"], "--descending needs --sort"),
        (["{run}", "--sort", "colour"], "no field 'colour'"),
        (["{run}", "--fields", "colour"], "no field 'colour'"),
        (["{run}", "--crystal-system", "round"], "none of triclinic"),
        (["{run}", "--elements", "Ca", "--without-elements", "Ca"], "asked for and excluded"),
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
