"""Runs of a benchmark are put together, and its tables are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crystalicl_jobflow.report import build_page, read_run
from crystalicl_jobflow.schemas.benchmark import TableDoc, TableRow


@pytest.fixture
def benchmark_folder(evaluated: Path, tmp_path: Path) -> Path:
    """Return a folder as a benchmark of two seeds leaves it."""
    folder = tmp_path / "benchmark"
    for seed in range(2):
        shutil.copytree(evaluated, folder / "model" / f"seed_{seed}")
    table = TableDoc(
        title="Success <of all>",
        columns=["formula"],
        rows=[TableRow(label="ours", mean={"formula": 0.5}, std={"formula": 0.25}, runs=2)],
        published=[TableRow(label="theirs", source="a paper, table 1", mean={"formula": 0.75})],
        notes=["a note"],
    )
    document = [table.model_dump(mode="json")]
    (folder / "table.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_counts_and_denominators_of_many_runs_add_up(
    benchmark_folder: Path, evaluated: Path
) -> None:
    one, two = read_run(evaluated), read_run(benchmark_folder)
    assert two.num_runs == 2
    assert len(two.candidates) == 2 * len(one.candidates) == len(two.columns)
    assert set(one.rates) - set(two.rates) == {"unique"}  # not known of all together
    for name, rate in two.rates.items():
        assert (rate.count, rate.of) == (2 * one.rates[name].count, 2 * one.rates[name].of)
    assert two.reasons == {name: 2 * count for name, count in one.reasons.items()}


def test_tables_stand_on_the_page(benchmark_folder: Path) -> None:
    page = build_page(read_run(benchmark_folder))
    assert "Success &lt;of all&gt;" in page
    assert "0.5000 ± 0.2500" in page
    assert "a paper, table 1" in page
    assert "a note" in page
    assert "puts 2 runs together" in page


def test_tables_that_are_none_are_refused(benchmark_folder: Path) -> None:
    (benchmark_folder / "table.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"table\.json holds no tables"):
        read_run(benchmark_folder)


def test_a_table_in_another_order_is_joined_by_id(run_folder: Path) -> None:
    import pandas as pd

    (run_folder / "structures.parquet").unlink(missing_ok=True)
    table = pd.read_csv(run_folder / "structures.csv")
    table.iloc[::-1].to_csv(run_folder / "structures.csv", index=False)
    run = read_run(run_folder)
    assert [row["candidate_id"] for row in run.columns] == [
        candidate.candidate_id for candidate in run.candidates
    ]


def test_the_table_knows_more_than_the_candidate(run_folder: Path) -> None:
    import pandas as pd

    (run_folder / "structures.parquet").unlink(missing_ok=True)
    table = pd.read_csv(run_folder / "structures.csv")
    table["energy_above_hull"] = [0.25] + [None] * (len(table) - 1)
    table.to_csv(run_folder / "structures.csv", index=False)
    run = read_run(run_folder)
    assert run.value(0, "energy_above_hull") == 0.25
    assert run.value(1, "energy_above_hull") is None
    assert run.value(0, "min_distance") == pytest.approx(5.7 / 2)
    assert "0.250" in build_page(run)
