"""Settings of a benchmark: the name of a run's folder."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.benchmarks import BenchmarkSetting


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("3 shots, CF", "3-shots-cf"),
        ("Llama 3.1", "llama-3.1"),
        ("..", "run"),
        ("../../etc/passwd", "etc-passwd"),
        ("\x1b[31mred\x00", "31mred"),
        ("", "run"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_runs_folder_stays_inside_whatever_its_label(label: str, folder: str) -> None:
    assert BenchmarkSetting(dataset="rows.csv", label=label).slug == folder
