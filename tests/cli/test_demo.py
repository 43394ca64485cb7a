"""``crystalicl demo`` runs the Flow end to end and leaves everything behind."""

from __future__ import annotations

import json
from pathlib import Path

from job_names import step

from .conftest import Run


def test_demo(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = run("demo", "--out", out, "--samples", 2, "--seed", 1)
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    documents = [json.loads(line) for line in (out / "candidates.jsonl").read_text().splitlines()]
    assert len(documents) == summary["num_candidates"] == 6
    assert len(list((out / "cifs").iterdir())) == summary["num_valid"]

    # one document per candidate in a maggma store, and the Flow's own outputs
    stored = json.loads((out / "stores" / "candidates.json").read_text())
    assert {item["candidate_id"] for item in stored} == {item["candidate_id"] for item in documents}
    jobs = json.loads((out / "stores" / "jobs.json").read_text())
    assert [step(job["name"]) for job in jobs] == ["retrieve", "generate", "validate", "evaluate"]
    assert jobs[1]["name"] == "generate CaTiO3 221 and 2 more ×2"
    assert {"retrieve", "generate", "validate", "evaluate"} < set(summary["seconds"])

    # demonstrations came from the pool, progress went to stderr, the table to stdout
    assert all(len(item["provenance"]["demonstration_ids"]) == 3 for item in documents)
    for name in ("retrieve", "generate", "validate", "evaluate"):
        assert f"{name} CaTiO3 221 and 2 more" in result.stderr
    assert "Asked for" in result.stdout
    assert f"crystalicl query {out}" in result.stdout


def test_a_second_demo_fills_nothing_twice(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    for _ in range(2):
        result = run("demo", "--out", out, "--samples", 1)
        assert result.exit_code == 0, result.output
    assert "Pool: 0 added, 0 updated, 288 unchanged" in result.stderr
    assert len(json.loads((out / "stores" / "candidates.json").read_text())) == 3
