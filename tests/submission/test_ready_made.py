"""Ready-made files: copied whole, nothing of the user's replaced, and of use as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.stores import load_job_store
from crystalicl_jobflow.submission import load_flow_file
from crystalicl_jobflow.submission.ready_made import (
    ReadyMadeError,
    copy_ready_made,
    ready_made_files,
)


def test_a_project_holds_stores_flows_and_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = copy_ready_made(tmp_path / "a" / "project")
    monkeypatch.chdir(tmp_path / "a" / "project")
    names = {path.relative_to(tmp_path / "a" / "project").as_posix() for path in copies}
    assert {"stores/json.yaml", "flows/generate.yaml", "flows/workers/fireworks_gpu.yaml"} <= names
    assert not [name for name in names if "__pycache__" in name]
    assert load_flow_file("flows/generate.yaml").flow.jobs
    assert load_job_store("stores/json.yaml").additional_stores
    for name in names:
        if name.endswith(".yaml"):
            assert isinstance(yaml.safe_load(Path(name).read_text()), dict), name


def test_nothing_is_replaced_unless_asked(tmp_path: Path) -> None:
    mine = tmp_path / "stores" / "json.yaml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ReadyMadeError, match=r"json\.yaml would be replaced; nothing was copied"):
        copy_ready_made(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["json.yaml", "stores"]
    copy_ready_made(tmp_path, overwrite=True)
    assert mine.read_text() != "mine"


def test_the_command_tells_what_it_copied(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "new")])
    assert done.exit_code == 0
    assert str(tmp_path / "new" / "flows" / "discover.yaml") in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) == len(ready_made_files())
    again = CliRunner().invoke(cli, ["init", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "more would be replaced" in again.stderr
    (tmp_path / "file").touch()
    assert "is a file" in CliRunner().invoke(cli, ["init", str(tmp_path / "file")]).stderr


def test_worker_files_are_what_their_programs_read(tmp_path: Path) -> None:
    fireworks = pytest.importorskip("fireworks")
    remote = pytest.importorskip("jobflow_remote.config.base")
    files = ready_made_files()
    for name in ("login", "gpu"):
        worker = fireworks.FWorker.from_file(str(files[f"flows/workers/fireworks_{name}.yaml"]))
        assert worker.name == name
    read = yaml.safe_load(files["flows/workers/jobflow_remote.yaml"].read_text())
    project = remote.Project.model_validate(read)
    assert set(project.workers) == {"login", "gpu", "cluster"}
