"""The ready-to-run scripts: help, one-line errors, what they build, and the local run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.candidates import CandidateQuery, find_documents, open_candidate_store
from generation.tiny import save_tiny_model
from job_names import step

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
    ids=str,
)
def test_a_mistake_is_answered_with_one_line(arguments, said):
    done = run("local.py", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


WORKERS = ("--generation", "gpu", "--forcefield", "cpu", "--vasp", "cluster")


def test_jobflow_remote_sends_the_model_to_the_gpu():
    pytest.importorskip("jobflow_remote")
    done = run("submit_jobflow_remote.py", "--default", "head", "--generation", "gpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "retrieve CaTiO3: worker head",
        "generate CaTiO3 ×4: worker gpu",
        "validate CaTiO3 ×4: worker head",
        "evaluate CaTiO3 ×4: worker head",
        "Not submitted; add --submit.",
    ]


def test_jobflow_remote_relaxes_too():
    pytest.importorskip("jobflow_remote")
    pytest.importorskip("atomate2")
    arguments = ("--relax", "both", "--default", "head", "--retrieval", "db", *WORKERS)
    done = run(
        "submit_jobflow_remote.py", *arguments, "--resources", '{"generation": {"gres": "gpu:1"}}'
    )
    assert done.returncode == 0, done.stderr
    # the relaxations themselves are not made yet
    assert done.stdout.splitlines() == [
        "retrieve CaTiO3: worker db",
        "generate CaTiO3 ×4: worker gpu",
        "validate CaTiO3 ×4: worker head",
        "select CaTiO3 ×4: worker head",
        "start forcefield: worker head",
        "select dft: worker head",
        "start dft: worker head",
        "evaluate CaTiO3 ×4: worker head",
        "summary: worker head",
        "Not submitted; add --submit.",
    ]


def test_fireworks_sends_the_model_to_the_gpu():
    pytest.importorskip("fireworks")
    pytest.importorskip("atomate2")
    done = run("submit_fireworks.py", "--relax", "vasp", *WORKERS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "retrieve CaTiO3: category none",
        "generate CaTiO3 ×4: category gpu",
        "validate CaTiO3 ×4: category none",
        "select CaTiO3 ×4: category none",
        "start dft: category none",
        "evaluate CaTiO3 ×4: category none",
        "summary: category none",
        "Not submitted; add --submit.",
    ]


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("submit_jobflow_remote.py", ["--generation", "gpu"], "--default"),
        (
            "submit_jobflow_remote.py",
            ["--default", "head", "--resources", "gpu:1"],
            "--resources is not JSON",
        ),
        (
            "submit_jobflow_remote.py",
            ["--default", "head", "--resources", '{"gpu": {}}'],
            "resources of 'gpu': it is not one of default, retrieval",
        ),
        (
            "submit_jobflow_remote.py",
            ["--default", "head", "--project", "nowhere", "--submit"],
            "nowhere",
        ),
        ("submit_fireworks.py", ["--relax", "both", "--n-dft", "-1"], "n_dft must be 0 or more"),
    ],
    ids=str,
)
def test_a_mistake_in_a_submission_is_answered_with_one_line(script, arguments, said, tmp_path):
    for package in ("jobflow_remote", "fireworks", "atomate2"):
        pytest.importorskip(package)
    done = run(script, *arguments, JFREMOTE_PROJECTS_FOLDER=str(tmp_path))
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("relax", "jobs"),
    [
        ("forcefield", ["select", "start forcefield"]),
        ("vasp", ["select", "start dft"]),
        ("both", ["select", "start forcefield", "select dft", "start dft"]),
    ],
)
def test_relaxations_follow_the_validation(relax, jobs):
    pytest.importorskip("atomate2")
    done = run("discover.py", "--relax", relax)
    assert done.returncode == 0, done.stderr
    assert [step(line) for line in done.stdout.splitlines()] == [
        "retrieve",
        "generate",
        "validate",
        *jobs,
        "evaluate",
        "summary",
        "Not run; add --run.",
    ]


@pytest.mark.slow
def test_the_discovery_script_finds_and_stores_crystals(tmp_path, monkeypatch):
    for package in ("atomate2", "chgnet"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rivals").mkdir()
    rival = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    rival.to(str(tmp_path / "rivals" / "rival.cif"))
    done = run(
        "discover.py",
        *("--formula", "NaCl", "--space-group", "225", "--samples", "2", "--run"),
        *("--candidates", "candidates.sqlite", "--known", "rivals"),
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"[0-9a-f]{24} +NaCl +225 +-0.\d+ eV/atom +MLFF.CHGNet", done.stdout)
    assert "forcefield relaxed: 1" in done.stdout
    found = find_documents(open_candidate_store("candidates.sqlite"), CandidateQuery())
    assert sorted(bool(item["is_relaxed"]) for item in found) == [False, True]


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
