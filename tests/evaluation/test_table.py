"""The table of structures and the sums, as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Structure

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.evaluation import (
    evaluate,
    metrics_document,
    structures_table,
    write_evaluation,
)
from crystalicl_jobflow.schemas import (
    PROPERTIES,
    STRUCTURE_COLUMNS,
    Candidate,
    Condition,
    Evaluation,
    PropertySpec,
    Rate,
    register_property,
    structure_columns,
)
from crystalicl_jobflow.validation.success import with_properties

Make = Callable[..., Candidate]
TYPES = {"string": "string", "integer": "Int64", "number": "Float64", "flag": "boolean"}


@pytest.fixture
def evaluation(make: Make, nacl: Structure) -> Evaluation:
    asked = Condition(formula="NaCl", properties={"band_gap": 5.0})
    texts = [NACL, CSCL, "nonsense", NACL]
    candidates = [make(t, condition=asked, sample_index=i) for i, t in enumerate(texts)]
    candidates[0] = with_properties(candidates[0], {"band_gap": 5.2})
    return evaluate(candidates, references={0: nacl})


def test_one_row_per_candidate_with_typed_columns(evaluation: Evaluation) -> None:
    table = structures_table(evaluation)
    columns = structure_columns(["formula", "band_gap"])
    assert list(table.columns) == list(columns)
    for name, column in columns.items():
        assert str(table[name].dtype) == TYPES[column.kind], name
    assert list(table["candidate_id"]) == [row["candidate_id"] for row in evaluation.results]
    assert table["success_band_gap"].tolist() == [True, pd.NA, False, pd.NA]
    assert table["band_gap"].tolist() == [5.2, pd.NA, pd.NA, pd.NA]
    assert table["match"].tolist() == [True, False, False, True]
    # what was not computed is there, and empty
    assert table["energy_above_hull"].isna().all()


def test_what_was_asked_stands_before_everything_at_once() -> None:
    names = list(structure_columns(["formula", "space_group"]))
    at = names.index("joint_success")
    assert names[at - 2 : at] == ["success_formula", "success_space_group"]
    assert [name for name in names if not name.startswith("success_")] == list(STRUCTURE_COLUMNS)


def test_csv_and_parquet_hold_the_same(evaluation: Evaluation, tmp_path: Path) -> None:
    paths = write_evaluation(tmp_path / "out", evaluation, more={"asked": "salt"})
    assert [path.name for path in paths] == [
        "metrics.json",
        "structures.csv",
        "structures.parquet",
    ]
    table = structures_table(evaluation)
    pd.testing.assert_frame_equal(pd.read_parquet(paths[2]), table)
    columns = structure_columns(["formula", "band_gap"])
    read = pd.read_csv(paths[1], dtype={name: TYPES[c.kind] for name, c in columns.items()})
    pd.testing.assert_frame_equal(read, table, check_exact=False)


def test_without_pyarrow_there_is_no_old_parquet_file(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evaluation(tmp_path, evaluation)
    monkeypatch.setattr("crystalicl_jobflow.evaluation.table.parquet_available", lambda: False)
    paths = write_evaluation(tmp_path, evaluation)
    assert [path.name for path in paths] == ["metrics.json", "structures.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "structures.csv"]


def test_sums_state_denominators_tolerances_and_intervals(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = write_evaluation(tmp_path, evaluation, more={"reference": "truth.csv"})[0]
    sums = json.loads(path.read_text(encoding="utf-8"))
    assert sums["reference"] == "truth.csv"
    assert sums["num_candidates"] == 4
    for name, rate in sums["rates"].items():
        assert rate["meaning"], name
        if rate["of"]:
            assert rate["low"] <= rate["rate"] == rate["count"] / rate["of"] <= rate["high"]
    assert sums["rates"]["match"]["count"] == 2
    assert sums["rates"]["match"]["of"] == 4
    assert sums["tolerances"]["match_stol"] == 0.5
    assert sums["confidence"]["level"] == 0.95
    assert sums["metrics"]["not_judged:band_gap"] == 2


def test_json_has_no_word_for_infinity() -> None:
    evaluation = Evaluation(num_candidates=0, metrics={"a": float("nan"), "b": 1.0})
    assert metrics_document(evaluation)["metrics"] == {"a": None, "b": 1.0}


def test_a_run_without_candidates_has_all_columns() -> None:
    table = structures_table(Evaluation(num_candidates=0, rates={"parsed": Rate.from_counts(0, 0)}))
    assert len(table) == 0
    assert list(table.columns) == list(STRUCTURE_COLUMNS)


def test_a_registered_property_gets_a_column(make: Make) -> None:
    known = dict(PROPERTIES)
    try:
        register_property(PropertySpec(name="hardness", phrase="hardness", unit="GPa"))
        candidate = with_properties(make(NACL), {"hardness": 2.5})
        table = structures_table(evaluate([candidate, make("")]))
    finally:
        PROPERTIES.clear()
        PROPERTIES.update(known)
    assert table["hardness"].tolist() == [2.5, pd.NA]
