"""The ready-to-run scripts: help, one-line errors, what they build, and the local run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generation.tiny import save_tiny_model

SCRIPTS = Path(__file__).resolve().parents[2] / "flows"


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
    )


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("[a-z]*.py")))
def test_every_script_explains_itself(script):
    done = run(script, "--help")
    assert done.returncode == 0, done.stderr
    assert "--formula" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--formula", "Xx"], "Xx is not an element"),
        (["--space-group", "231"], "231"),
        (["--samples", "0"], "num_samples must be at least 1"),
        (["--pool", "memory:"], "a pool in memory"),
    ],
    ids=lambda value: str(value),
)
def test_a_mistake_is_answered_with_one_line(arguments, said):
    done = run("local.py", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_jobflow_remote_sends_the_model_to_the_gpu():
    pytest.importorskip("jobflow_remote")
    done = run("submit_jobflow_remote.py", "--worker", "head", "--gpu-worker", "gpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "retrieve: worker head",
        "generate: worker gpu",
        "validate: worker head",
        "evaluate: worker head",
        "Not submitted; add --submit.",
    ]


def test_fireworks_sends_the_model_to_the_gpu():
    pytest.importorskip("fireworks")
    done = run("submit_fireworks.py", "--category", "gpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "retrieve: category any",
        "generate: category gpu",
        "validate: category any",
        "evaluate: category any",
        "Not submitted; add --submit.",
    ]


@pytest.mark.parametrize(
    ("relax", "job"), [("forcefield", "Force field relax"), ("vasp", "relax each")]
)
def test_a_relaxation_follows_the_validation(relax, job):
    pytest.importorskip("atomate2")
    done = run("relax_after.py", "--relax", relax)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "retrieve",
        "generate",
        "validate",
        "evaluate",
        job,
        "Not run; add --run.",
    ]


def test_the_local_script_runs_the_whole_chain(tmp_path):
    # random weights, but every part of the real chain: pool, retrieval, constraint, checks
    save_tiny_model(tmp_path)
    done = run(
        "local.py",
        *("--formula", "CaTiO3", "NaCl", "--space-group", "221", "--samples", "2"),
        *("--model", str(tmp_path / "base"), "--adapter", str(tmp_path / "adapter")),
        *("--candidates", str(tmp_path / "candidates.json")),
        CRYSTALICL_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert "parsed: 1.000 (4 of 4)" in done.stdout
    assert "formula: 1.000 (4 of 4)" in done.stdout
    assert done.stdout.count("CaTiO3, group 221") == 2
    assert (tmp_path / "candidates.json").stat().st_size > 1000
