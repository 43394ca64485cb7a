"""A run with good, bad and hostile texts in a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.evaluation import evaluate
from crystalicl_jobflow.evaluation.table import write_evaluation
from crystalicl_jobflow.report import write_report
from crystalicl_jobflow.schemas import (
    CANDIDATES_FILE,
    Candidate,
    Completion,
    Condition,
    Generation,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.validation.validate import validate_completion

RUTILE = "P4_2/mnm\n4.6 4.6 3.0\n90 90 90\nTi\n0.00 0.00 0.00\nO\n0.30 0.30 0.00"
HOSTILE = "</pre></script><script>window.broken = 1; alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="session")
def candidates() -> list[Candidate]:
    """Return seven candidates for three conditions, one of them a hostile text."""
    asked = [
        ("NaCl", 225, [NACL, NACL, CSCL]),
        ("TiO2", 136, [RUTILE, HOSTILE]),
        ("FeNi", 123, [FENI, ""]),
    ]
    return [
        _candidate(text, Condition(formula=formula, space_group=group), request, sample)
        for request, (formula, group, texts) in enumerate(asked)
        for sample, text in enumerate(texts)
    ]


def _candidate(text: str, condition: Condition, request: int, sample: int) -> Candidate:
    completion = Completion(
        request_index=request, sample_index=sample, text=text, finished=True, num_tokens=9
    )
    generation = Generation(
        condition=condition,
        prompt="### Instruction: <b>…",
        strategy="C",
        demonstration_ids=["a", "b"],
        sampling=SamplingParams(seed=7),
        model=ModelInfo(engine="by hand", base_model="nobody", base_revision="sha256:12ab"),
        versions={"torch": "0"},
        completions=[completion],
    )
    return validate_completion(completion, generation)


@pytest.fixture(scope="session")
def evaluated(candidates: list[Candidate], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as ``crystalicl evaluate`` leaves it; not to be changed."""
    folder = tmp_path_factory.mktemp("report") / "run & <b>co"
    write_evaluation(folder, evaluate(candidates))
    write_candidates(folder, candidates)
    return folder


@pytest.fixture
def run_folder(evaluated: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, to be changed at will."""
    return Path(shutil.copytree(evaluated, tmp_path / evaluated.name))


@pytest.fixture(scope="session")
def page_file(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder's page."""
    return write_report(evaluated, out=tmp_path_factory.mktemp("page") / "report.html")


def write_candidates(folder: Path, candidates: list[Candidate]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [candidate.model_dump_json() + "\n" for candidate in candidates]
    (folder / CANDIDATES_FILE).write_text("".join(lines), encoding="utf-8")
