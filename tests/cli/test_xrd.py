"""``--xrd``: a measured pattern at ``generate``, in the run's report, and its benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
from crystalicl_jobflow.schemas.diffraction import PowderPattern
from crystalicl_jobflow.text import SGS
from reciting import NO_CRYSTAL, PEROVSKITE, ROCK_SALT, RecitingGenerator

from .conftest import Run
from .test_benchmark import dataset, load
from .test_generate import read

__all__ = ["dataset"]

CSCL_TYPE = "Pm-3m\n3.5 3.5 3.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
ASKED = ("generate", "--formula", "NaCl", "--shots", 0, "--max-redraws", 0, "--no-constrain")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Return a file with a measurement of rock salt, its cell 1 % longer than the text's."""
    crystal = SGS.decode(ROCK_SALT.replace("5.6", "5.656"))
    pattern = simulate_pattern(crystal, PatternSimulation(), name="NaCl", seed=0)
    path = tmp_path / "halite.xy"
    np.savetxt(path, np.column_stack([pattern.two_theta, pattern.intensity]), fmt="%.3f")
    return path


@pytest.fixture
def compared(
    run: Run, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Any]:
    """Return the folder of a run with a pattern, and what the command said."""
    load(monkeypatch, RecitingGenerator([CSCL_TYPE, CSCL_TYPE, ROCK_SALT, NO_CRYSTAL]))
    out = tmp_path / "run"
    done = run(*ASKED, "--samples", 8, "--xrd", measured, "--out", out)
    assert done.exit_code == 0, done.output
    return out, done


def test_crystals_are_ranked_and_refined(compared: tuple[Path, Any], measured: Path) -> None:
    out, done = compared
    candidates, summary = read(out)
    assert all((item.xrd is None) == (item.structure is None) for item in candidates)
    by_id = {item.candidate_id: item for item in candidates}
    first, *others = [by_id[name] for name in summary["kept"]]
    assert first.space_group == 225
    assert all(item.space_group == 221 for item in others)
    assert summary["xrd"]["name"] == "halite.xy"
    assert summary["xrd"]["most_similar"] == first.candidate_id
    assert summary["xrd"]["similarity"] == first.xrd.similarity > 0.97
    assert "Pattern: halite.xy, 4,000 points" in done.stderr
    assert "Similarity" in done.stdout
    assert f"{first.xrd.similarity:.3f}" in done.stdout
    # the crystal as the model wrote it, and beside it the one with the refined cell
    written = Structure.from_file(next((out / "cifs").glob("NaCl_225_????????.cif")))
    refined = Structure.from_file(next((out / "cifs").glob("NaCl_225_*_refined.cif")))
    assert written.volume == pytest.approx(5.6**3, rel=1e-3)
    assert refined.volume == pytest.approx(5.656**3, rel=0.006)
    assert sorted(summary["cifs"]) == sorted(f"cifs/{p.name}" for p in (out / "cifs").iterdir())
    pattern = PowderPattern.model_validate_json((out / "pattern.json").read_text())
    assert len(pattern.two_theta) == 4000


def test_the_report_of_the_run_draws_the_pattern(compared: tuple[Path, Any], run: Run) -> None:
    out, _ = compared
    done = run("report", out)
    assert done.exit_code == 0, done.output
    page = (out / "report.html").read_text()
    assert "measured: halite.xy" in page
    assert "calculated: NaCl Fm-3m (225), similarity 0.9" in page


def test_a_run_without_a_pattern_leaves_none_behind(compared: tuple[Path, Any], run: Run) -> None:
    out, _ = compared
    done = run(*ASKED, "--samples", 8, "--no-resume", "--out", out)
    assert done.exit_code == 0, done.output
    assert not (out / "pattern.json").exists()
    assert not list((out / "cifs").glob("*_refined.cif"))
    candidates, summary = read(out)
    assert all(item.xrd is None for item in candidates)
    assert "xrd" not in summary
    assert "Similarity" not in done.stdout


def test_another_ranking_may_be_asked_for(
    run: Run, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([CSCL_TYPE, CSCL_TYPE, CSCL_TYPE, ROCK_SALT]))
    for ranking, group in (("times_drawn", 221), ("xrd_similarity", 225)):
        out = tmp_path / ranking
        run(
            *ASKED, "--samples", 12, "--xrd", measured, "--keep", 1, "--rank", ranking,
            "--out", out,
        )  # fmt: skip
        candidates, summary = read(out)
        (kept,) = summary["kept"]
        assert next(c for c in candidates if c.candidate_id == kept).space_group == group


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("", (), "sample.xy holds no rows of 2θ and intensity"),
        ("20 1\n21 x\n", (), "sample.xy, line 2: '21 x' is no row"),
        (None, ("--wavelength", "Xx"), "wavelength 'Xx' is neither a radiation"),
        (None, ("--wavelength", "15"), "wavelength '15' is neither a radiation"),
    ],
)
def test_mistakes_in_a_pattern_are_one_line_before_any_work(
    refused: Callable[..., str],
    measured: Path,
    tmp_path: Path,
    text: str | None,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    path = measured
    if text is not None:
        path = tmp_path / "sample.xy"
        path.write_text(text)
    out = tmp_path / "run"
    assert words in refused(*ASKED, "--xrd", path, *arguments, "--out", out)
    assert not out.exists()


def test_options_without_a_pattern_are_refused(refused: Callable[..., str]) -> None:
    assert refused(*ASKED, "--wavelength", "CuKa") == "--wavelength has no effect without --xrd"
    told = refused(*ASKED, "--keep", 1, "--rank", "xrd")
    assert told == "--rank xrd needs --xrd, a measured pattern"
    assert "does not exist" in refused(*ASKED, "--xrd", "missing.xy")


def test_the_benchmark_tells_what_a_pattern_adds(
    run: Run, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caesium chloride's type is drawn first or most often: only the pattern tells."""
    load(monkeypatch, RecitingGenerator([CSCL_TYPE, CSCL_TYPE, ROCK_SALT, PEROVSKITE]))
    out = tmp_path / "run"
    done = run(
        "benchmark", "xrd", "--dataset", dataset, "--n", 12, "--no-constrain", "--max-redraws", 0,
        "--shots", 0, "--simulate", "radiation=MoKa", "--simulate", "two_theta=5:50", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rates = json.loads((out / "metrics.json").read_text())["rates"]
    found = {
        name: rates[f"match_ranked_{name}_at_1"]["count"]
        for name in ("times_drawn", "xrd", "xrd_similarity")
    }
    # NaCl and CaTiO3 are among the draws, KCl is not
    assert found["xrd_similarity"] == 2 > found["times_drawn"]
    candidates = [json.loads(line) for line in (out / "candidates.jsonl").open()]
    assert len(candidates) == 36
    assert {item["xrd"]["radiation"] for item in candidates} == {"MoKa"}
    # each is compared with its own condition's pattern
    assert {item["xrd"]["pattern"] for item in candidates} == {
        f"truth-{x}" for x in ("NaCl", "KCl", "CaTiO3")
    }
    table = (out / "table.md").read_text()
    assert "match ranked xrd at 1" in table
    assert "'radiation': 'MoKa'" in table


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("zero_shift", "give NAME=VALUE or NAME=LOW:HIGH"),
        ("colour=red", "colour"),
        ("step=0", "step"),
        ("two_theta=90:10", "two_theta"),
        ("radiation=XxKa", "radiation"),
    ],
)
def test_mistakes_in_a_simulation_are_one_line(
    refused: Callable[..., str], dataset: Path, tmp_path: Path, field: str, words: str
) -> None:
    told = refused(
        "benchmark", "xrd", "--dataset", dataset, "--simulate", field, "--out", tmp_path / "run"
    )
    assert told.startswith("--simulate")
    assert words in told
