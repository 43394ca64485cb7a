"""Tables of runs: means, standard deviations, published rows and their sources."""

from __future__ import annotations

import math

import pytest

from crystalicl_jobflow.benchmarks import benchmark_table, markdown, seed_figures
from crystalicl_jobflow.benchmarks.suites import SHOTS, STRATEGIES
from crystalicl_jobflow.benchmarks.tables import COLUMNS, seed_rows, table_row
from crystalicl_jobflow.schemas.benchmark import RunDoc


def run(label: str, seed: int, **figures: float | None) -> RunDoc:
    return RunDoc(label=label, seed=seed, figures=figures)


def test_mean_and_standard_deviation_by_hand() -> None:
    runs = [run("a", 0, formula=0.5), run("a", 1, formula=0.7), run("a", 2, formula=None)]
    row = table_row("a", runs, asked=5, data_set="mp_20")
    assert row.mean["formula"] == pytest.approx(0.6)
    assert row.std["formula"] == pytest.approx(math.sqrt(0.02))
    assert row.of["formula"] == 2
    assert (row.runs, row.missing_runs) == (3, 2)
    assert table_row("a", runs[:1], asked=1, data_set="mp_20").std["formula"] is None


def test_the_published_figures_are_those_of_the_papers() -> None:
    def figure(table: str, label: str, name: str, data_set: str = "mp_20") -> float | None:
        (row,) = [item for item in seed_rows([table], data_set=data_set) if item.label == label]
        return row.mean[name]

    assert figure("1", "CrystalICL (SGS) 3-shot", "formula") == 0.8868
    assert figure("1", "CrystalICL (SGS) 3-shot", "band_gap", "mp_30") == 0.7943
    assert figure("2", "CrystalICL (XYZ)", "valid") == 0.8747
    assert figure("3", "CrystalICL, 3-shot", "formation_energy_per_atom") == 0.9685
    assert figure("4", "C", "space_group") == 0.9948
    assert figure("7", "CrystalICL (SGS) 3-shot", "symmetry_adherence") == 0.9666
    assert figure("CrystaLLM 3", "CrystaLLM b (large)", "match_at_1") == 0.5870
    assert figure("CrystaLLM 3", "CrystaLLM b (large)", "rms_at_1") == 0.0408


def test_every_published_row_is_complete() -> None:
    known = {*COLUMNS["conditional"], *COLUMNS["realism"], *COLUMNS["unconditional"]}
    known |= {f"{name}_at_{n}" for name in ("match", "rms") for n in (1, 3, 5, 10, 20)}
    for number, table in seed_figures()["tables"].items():
        assert table["source"] in seed_figures()["sources"]
        assert set(table["columns"]) <= known, number
        for row in table["rows"]:
            assert len(row["mean"]) == len(table["columns"])
            assert len(row.get("std", row["mean"])) == len(table["columns"])
    assert [row["label"] for row in seed_figures()["tables"]["4"]["rows"]] == list(STRATEGIES)
    shots = [row["label"] for row in seed_figures()["tables"]["5"]["rows"]]
    assert shots == [f"{count}-shot {name}" for count, name in SHOTS]


def test_a_table_shows_what_was_measured_and_what_is_missing() -> None:
    runs = [run("a", 0, formula=0.25, joint=None), run("a", 1, formula=0.75), None]
    table = benchmark_table(
        "Title", {"a": "mp_20", "b": "mp_20"}, runs, columns=COLUMNS["conditional"],
        repeats=2, tables=("1",), notes=("A remark.",),
    )  # fmt: skip
    assert table.columns == ["formula"]
    assert {row.data_set for row in table.published} == {"mp_20"}
    words = markdown(table).splitlines()
    assert words[0] == "## Title"
    assert "| a | 0.5 ± 0.4 | here, 2 runs |" in words
    assert "| b | - | here, 0 runs |" in words
    assert "| CrystalICL (SGS) 0-shot | 0.722 ± 0.013 | CrystalICL, table 1 |" in words
    assert "2 runs are missing: their jobs failed." in words
    assert "A remark." in words
