"""``crystalicl submit``: what is shown, run here, or handed to jobflow-remote and FireWorks."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from job_names import step
from reciting import RecitingGenerator

from .conftest import Run

EXAMPLES = Path(__file__).resolve().parents[2] / "flows"
PAGE = (EXAMPLES.parent / "docs" / "submit.md").read_text(encoding="utf-8")
PASSWORD = "correct-horse-Battery9"

FLOW = """\
flow: generate
name: perovskites
conditions:
  - {formula: CaTiO3, space_group: 221}
  - {formula: NaCl}
retrieve: {shots: 1}
generate: {num_samples: 3, shard_size: 4, constrain: false}
"""

WORKERS = """\
workers:
  default: login
  generation: {worker: gpu, resources: {gres: "gpu:1"}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str) -> Path:
    Path("flow.yaml").write_text(text)
    return Path("flow.yaml")


def shown(output: str) -> list[list[str]]:
    """Return the rows of the table: its columns are two spaces apart."""
    lines = [line.strip() for line in output.splitlines()]
    rows = [[part.strip() for part in line.split("  ") if part.strip()] for line in lines]
    return [[step(row[0]), *row[1:]] for row in rows if len(row) == 3 and row[0] != "Job"]


class TestDryRun:
    """The jobs and their workers are shown, and nothing is submitted."""

    @pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
    def test_every_example_describes_a_flow(self, run: Run, here: Path, path: Path) -> None:
        pytest.importorskip("atomate2")
        pytest.importorskip("jobflow_remote")
        result = run("submit", path, "--dry-run")
        assert result.exit_code == 0, result.output
        assert "nothing was submitted" in result.output
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize(
        "text", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    )
    def test_every_file_of_the_documentation_describes_a_flow(
        self, run: Run, here: Path, text: str
    ) -> None:
        pytest.importorskip("atomate2")
        result = run("submit", written(text), "--dry-run")
        assert result.exit_code == 0, result.output

    def test_every_job_with_its_worker(self, run: Run, here: Path) -> None:
        pytest.importorskip("atomate2")
        result = run("submit", EXAMPLES / "discover.yaml", "--dry-run")
        gpu = "gres=gpu:1, time=02:00:00"
        assert shown(result.stdout) == [
            ["retrieve", "login", "-"],
            ["generate", "gpu", gpu],
            ["validate", "login", "-"],
            ["select", "login", "-"],
            ["start forcefield", "login", "-"],
            ["select dft", "login", "-"],
            ["start dft", "login", "-"],
            ["evaluate", "login", "-"],
            ["summary", "login", "-"],
            ["(later) generation", "gpu", gpu],
            ["(later) forcefield", "gpu", "-"],
            ["(later) vasp", "cluster", "nodes=2, time=12:00:00"],
        ]
        assert "9 jobs for jobflow-remote" in result.stdout

    def test_the_same_file_for_fireworks(self, run: Run, here: Path) -> None:
        pytest.importorskip("atomate2")
        result = run("submit", EXAMPLES / "discover.yaml", "--launchpad", "none.yaml", "--dry-run")
        assert result.exit_code == 0, result.output
        assert ["generate", "gpu", "gres=gpu:1, time=02:00:00"] in shown(result.stdout)
        assert "9 jobs for fireworks" in result.stdout

    def test_a_local_run_has_no_workers(self, run: Run, here: Path) -> None:
        result = run("submit", written(FLOW + WORKERS), "--local", "--dry-run")
        assert shown(result.stdout)[1] == ["generate", "here", "-"]

    def test_jobs_by_a_part_of_their_name(self, run: Run, here: Path) -> None:
        more = "  names: {validate: big, gather: {worker: small}}\n"
        result = run("submit", written(FLOW + WORKERS + more), "--dry-run")
        rows = shown(result.stdout)
        assert ["validate", "big", "-"] in rows
        assert ["(later) *gather*", "small", "-"] in rows


class TestLocal:
    """With ``--local`` the Flow runs in this process."""

    def test_it_runs_and_its_candidates_can_be_queried(self, run: Run, here: Path) -> None:
        result = run("submit", written(FLOW), "--local", "--out", "run")
        assert result.exit_code == 0, result.output
        lines = [line.split("\t") for line in result.stdout.splitlines()]
        assert [step(name) for _, name in lines] == [
            "retrieve", "generate", "validate", "evaluate",
        ]  # fmt: skip
        assert "6 candidates in run/candidates.sqlite" in result.stderr
        found = run("query", "run", "--format", "jsonl").stdout.splitlines()
        assert len({json.loads(line)["candidate_id"] for line in found}) == 6
        evaluation = json.loads(Path("run/result.json").read_text())
        assert evaluation["rates"]["parsed"]["of"] == len(evaluation["results"]) == 6
        # and what `crystalicl report` needs for a page of the run
        metrics = json.loads(Path("run/evaluation/metrics.json").read_text())
        assert metrics["rates"]["parsed"]["of"] == metrics["num_candidates"] == 6
        assert run("report", "run").exit_code == 0
        assert "6 texts in all" in Path("run/report.html").read_text()
        # what the message says about the store: the outputs are there for other programs
        again = run("collect", "run/store.yaml", "--store", "again.sqlite")
        assert "6 candidates in again.sqlite" in again.output

    def test_what_jobs_print_is_kept_out_of_the_ids(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sample = RecitingGenerator._sample

        def chatty(self: RecitingGenerator, *arguments: Any) -> Any:
            print("CHGNet will run on cpu")
            return sample(self, *arguments)

        monkeypatch.setattr(RecitingGenerator, "_sample", chatty)
        result = run("submit", written(FLOW), "--local", "--out", "run")
        assert len(result.stdout.splitlines()) == 4
        assert "CHGNet will run on cpu" in result.stderr

    def test_outputs_go_into_the_store_that_the_file_names(self, run: Run, here: Path) -> None:
        store = {
            "docs_store": {"type": "JSONStore", "paths": "mine.json"},
            "additional_stores": {"data": {"type": "JSONStore", "paths": "mine_data.json"}},
        }
        text = FLOW + yaml.safe_dump({"store": store, "manager": "local"})
        result = run("submit", written(text), "--out", "run")
        assert result.exit_code == 0, result.output
        names = {item["name"] for item in json.loads(Path("mine.json").read_text())}
        assert set(map(step, names)) >= {
            "retrieve", "generate 1/2", "gather generations", "evaluate",
        }  # fmt: skip
        assert not Path("run/outputs.json").exists()

    def test_a_job_that_fails_is_named_and_the_status_says_so(
        self,
        run: Run,
        here: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(*_arguments: object, **_options: object) -> None:
            raise RuntimeError(f"no GPU for mongodb://me:{PASSWORD}@host")

        monkeypatch.setattr(RecitingGenerator, "generate", fail)
        text = FLOW.replace("shard_size: 4, ", "")
        result = run("submit", written(text), "--local", "--out", "run")
        assert result.exit_code == 1
        words = "CaTiO3 221 and 1 more ×3"
        said = f"  generate {words} failed: RuntimeError: no GPU for mongodb://host"
        assert said in result.stderr
        left = [f"{name} {words}" for name in ("generate", "validate", "evaluate")]
        assert f"not done: {', '.join(left)}" in result.stderr
        assert PASSWORD not in result.output
        assert PASSWORD not in caplog.text  # what handlers of others got to see

    def test_a_killed_run_goes_on(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, unfinished: Path
    ) -> None:
        asked: list[int] = []
        sample = RecitingGenerator._sample

        def dying(self: RecitingGenerator, *arguments: Any) -> Any:
            if len(asked) == 2:
                raise KeyboardInterrupt
            asked.append(1)
            return sample(self, *arguments)

        monkeypatch.setattr(RecitingGenerator, "_sample", dying)
        assert run("submit", written(FLOW), "--local", "--out", "run").exit_code != 0
        monkeypatch.setattr(RecitingGenerator, "_sample", sample)
        result = run("submit", written(FLOW), "--local", "--out", "run")
        assert result.exit_code == 0, result.output
        assert "2 of 4 texts are written" in result.stderr
        assert "6 candidates in" in result.stderr
        assert list(unfinished.iterdir()) == []


class TestJobflowRemote:
    """The Flow goes into the queue of a project."""

    @pytest.fixture
    def runner(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """The runner of a project whose queue is in memory, in this process."""
        pytest.importorskip("jobflow_remote")
        from jobflow_remote import SETTINGS
        from jobflow_remote.config.base import Project
        from jobflow_remote.jobs.runner import Runner

        worker = {"type": "local", "scheduler_type": "shell", "timeout_execute": 60}
        # jobflow-remote closes its stores and opens them again, which those in memory do not take
        store = {"type": "MontyStore", "database_path": str(here / "db"), "storage": "sqlite"}
        project = {
            "name": "crystals",
            "base_dir": str(here / "base"),
            "runner": {
                f"delay_{name}": 1
                for name in ("checkout", "check_run_status", "advance_status", "refresh_limited")
            },
            "queue": {"store": {"type": "MemoryStore", "collection_name": "jobs"}},
            "jobstore": {
                "docs_store": {**store, "collection_name": "outputs"},
                "additional_stores": {"data": {**store, "collection_name": "data"}},
            },
            "workers": {
                name: {**worker, "work_dir": str(here / name)} for name in ("login", "gpu")
            },
        }
        # workers call 'jf', which lies beside the Python that runs the tests
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        monkeypatch.setenv("PATH", path)
        (here / "projects").mkdir()
        (here / "projects" / "crystals.yaml").write_text(yaml.safe_dump(project))
        monkeypatch.setattr(SETTINGS, "projects_folder", str(here / "projects"))
        monkeypatch.setattr(SETTINGS, "project", "crystals")
        found = Runner(project_name="crystals")
        found.job_controller.reset()
        # a store in memory is another one for everybody who opens it
        monkeypatch.setattr(Project, "get_job_controller", lambda self: found.job_controller)
        yield found
        found.cleanup()

    def test_jobs_with_their_workers_are_in_the_queue(
        self, run: Run, here: Path, runner: Any
    ) -> None:
        text = FLOW + WORKERS.replace('resources: {gres: "gpu:1"}', "priority: 5")
        result = run("submit", written(text), "--project", "crystals")
        assert result.exit_code == 0, result.output
        assert "Submitted 'perovskites' to jobflow-remote: 4 jobs" in result.stderr
        ids = dict(reversed(line.split("\t")) for line in result.stdout.splitlines())
        infos = {info.name: info for info in runner.job_controller.get_jobs_info()}
        assert {name: info.db_id for name, info in infos.items()} == ids
        assert {step(name): (info.worker, info.priority) for name, info in infos.items()} == {
            "retrieve": ("login", 0),
            "generate": ("gpu", 5),
            "validate": ("login", 0),
            "evaluate": ("login", 0),
        }

    @pytest.mark.slow
    def test_the_runner_completes_it(self, run: Run, here: Path, runner: Any) -> None:
        text = FLOW.replace("num_samples: 3, shard_size: 4", "num_samples: 2, shard_size: 2")
        text = text.replace("{shots: 1}", "false") + "evaluate: false\n"
        text += WORKERS.replace('{gres: "gpu:1"}', "{}")
        assert run("submit", written(text), "--project", "crystals").exit_code == 0
        runner.run_all_jobs(max_seconds=500)
        found = {
            (step(info.name), info.worker, info.state.name)
            for info in runner.job_controller.get_jobs_info()
        }
        assert found == {
            ("generate", "gpu", "COMPLETED"),
            ("generate 1/2", "gpu", "COMPLETED"),
            ("generate 2/2", "gpu", "COMPLETED"),
            ("gather generations", "login", "COMPLETED"),
            ("validate", "login", "COMPLETED"),
        }

    def test_without_workers_the_projects_first_one_takes_all(
        self, run: Run, here: Path, runner: Any
    ) -> None:
        result = run("submit", written(FLOW + "manager: jobflow-remote\n"))
        assert result.exit_code == 0, result.output
        workers = {info.worker for info in runner.job_controller.get_jobs_info()}
        assert len(workers) == 1

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["submit", "dry-run"])
    @pytest.mark.parametrize(
        ("text", "project", "words"),
        [
            (WORKERS.replace("gpu,", "cluster,"), "crystals", "has no worker cluster"),
            (WORKERS, "metals", "metals"),
            ("workers: {generation: gpu}\n", "crystals", "workers: jobflow-remote needs a default"),
        ],
    )
    def test_a_project_that_does_not_fit_is_refused(
        self, refused: Callable[..., str], here: Path, runner: Any, dry: list[str], text: str,
        project: str, words: str,
    ) -> None:  # fmt: skip
        line = refused("submit", written(FLOW + text), "--project", project, *dry)
        assert words in line
        assert runner.job_controller.count_jobs() == 0


class TestFireWorks:
    """The Flow goes to a launch pad."""

    @pytest.fixture
    def launchpad(self, here: Path, mongodb_uri: str) -> Iterator[Any]:
        """A launch pad of the test's own, and its file."""
        pytest.importorskip("fireworks")
        from fireworks import LaunchPad

        database = f"crystalicl_test_{uuid4().hex}"
        pad = LaunchPad(
            host=f"{mongodb_uri}/{database}", uri_mode=True, name=database, strm_lvl="ERROR"
        )
        pad.reset("", require_password=False, max_reset_wo_password=10**6)
        pad.to_file("my_launchpad.yaml")
        yield pad
        pad.connection.drop_database(pad.db.name)

    def test_jobs_with_their_categories_are_on_the_launch_pad(
        self, run: Run, here: Path, launchpad: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fireworks.utilities import fw_utilities

        # as in a process of its own, where the launch pad of the command makes the logger
        monkeypatch.setattr(fw_utilities, "PREVIOUS_STREAM_LOGGERS", [])
        monkeypatch.setattr(logging.getLogger("launchpad"), "handlers", [])
        launchpad.strm_lvl = "INFO"  # which FireWorks takes when the file says nothing
        launchpad.to_file("my_launchpad.yaml")
        result = run("submit", written(FLOW + WORKERS), "--launchpad", "my_launchpad.yaml")
        assert result.exit_code == 0, result.output
        ids = dict(reversed(line.split("\t")) for line in result.stdout.splitlines())
        assert list(map(step, ids)) == ["retrieve", "generate", "validate", "evaluate"]
        assert "Added a workflow" in result.stderr
        for name, number in ids.items():
            spec = launchpad.get_fw_by_id(int(number)).spec
            assert launchpad.get_fw_by_id(int(number)).name == name
            assert spec["_category"] == ("gpu" if step(name) == "generate" else "login")
        assert launchpad.get_wf_by_fw_id(int(next(iter(ids.values())))).name == "perovskites"

    def test_workers_of_both_categories_complete_it(
        self, run: Run, here: Path, launchpad: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fireworks import FWorker
        from fireworks.core.rocket_launcher import rapidfire
        from jobflow import SETTINGS

        from crystalicl_jobflow.stores import load_job_store

        store = load_job_store(
            {
                "docs_store": {"type": "JSONStore", "paths": str(here / "outputs.json")},
                "additional_stores": {
                    "data": {"type": "JSONStore", "paths": str(here / "outputs_data.json")}
                },
            }
        )
        monkeypatch.setattr(SETTINGS, "JOB_STORE", store)
        run("submit", written(FLOW + WORKERS), "--launchpad", "my_launchpad.yaml")
        (here / "launches").mkdir()
        for _ in range(3):
            for category in ("login", "gpu"):
                worker = FWorker(name=category, category=category)
                rapidfire(launchpad, worker, m_dir=str(here / "launches"), strm_lvl="ERROR")
        states = {
            (step(item["name"]), item["spec"]["_category"], item["state"])
            for item in launchpad.fireworks.find({}, {"name": 1, "spec._category": 1, "state": 1})
        }
        assert states == {
            ("retrieve", "login", "COMPLETED"),
            ("generate", "gpu", "COMPLETED"),
            ("generate 1/2", "gpu", "COMPLETED"),
            ("generate 2/2", "gpu", "COMPLETED"),
            ("gather generations", "login", "COMPLETED"),
            ("validate", "login", "COMPLETED"),
            ("evaluate", "login", "COMPLETED"),
        }

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "launch pad my_launchpad.yaml does not exist"),
            ("[1, 2]", "my_launchpad.yaml is no launch pad file"),
            ("{host: 'mongodb://127.0.0.1:9', uri_mode: true}", "my_launchpad.yaml is no launch"),
            (f"{{host: 'mongodb://me:{PASSWORD}@127.0.0.1:9/fw?serverSelectionTimeoutMS=50',"
             " uri_mode: true, name: fw}", "my_launchpad.yaml cannot be used: 127.0.0.1:9"),
        ],
        ids=["missing", "wrong", "without a database", "unreachable"],
    )  # fmt: skip
    def test_a_launch_pad_that_cannot_be_used_is_one_line_without_its_password(
        self, refused: Callable[..., str], here: Path, content: str | None, words: str
    ) -> None:
        pytest.importorskip("fireworks")
        if content is not None:
            Path("my_launchpad.yaml").write_text(content)
        line = refused("submit", written(FLOW), "--launchpad", "my_launchpad.yaml")
        assert words in line
        assert PASSWORD not in line


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (FLOW, [], "say what runs the Flow: --project NAME, --launchpad FILE, --local"),
        (FLOW, ["--local", "--project", "x"], "--project and --local exclude each other"),
        (FLOW + "manager: cluster\n", ["--dry-run"], "line 8: manager: should be 'local'"),
        (
            FLOW + "store: nowhere.yaml\n",
            ["--local"],
            "line 8: store: store configuration nowhere.yaml",
        ),
        (FLOW + "store: x.yaml\n", ["--project", "x"], "line 8: store: only a local run takes one"),
        (
            FLOW + "references: /nowhere/true.csv\n",
            ["--local"],
            "line 8: references: /nowhere/true.csv does not exist",
        ),
        (
            "flow: benchmark\nsuite:\n  dataset: /nowhere/true.csv\n",
            ["--local"],
            "line 3: suite.dataset: /nowhere/true.csv does not exist",
        ),
        (FLOW + "store: {docs: 1}\n", ["--local"], "line 8: store: the job-store configuration"),
        (FLOW + "genrate: {}\n", ["--dry-run"], "line 8: genrate: there is no such field; did you"),
        (FLOW + "workers: {default: {exec_config: x}}\n", ["--launchpad", "x"], "no exec_config"),
    ],
)
def test_a_mistake_is_one_line(
    refused: Callable[..., str], here: Path, text: str, arguments: list[str], words: str
) -> None:
    assert words in refused("submit", written(text), *arguments)
    assert {path.name for path in here.iterdir()} <= {"flow.yaml"}


def test_a_missing_file_is_one_line(refused: Callable[..., str], here: Path) -> None:
    assert refused("submit", "nowhere.yaml") == "nowhere.yaml does not exist"


def test_passwords_of_a_file_are_never_shown(run: Run, here: Path) -> None:
    text = FLOW + yaml.safe_dump(
        {
            "store": {
                "docs_store": {
                    "type": "MongoStore", "database": "db", "collection_name": "c",
                    "host": "127.0.0.1", "port": 9, "password": PASSWORD,
                    "mongoclient_kwargs": {"serverSelectionTimeoutMS": 50},
                }
            }
        }
    )  # fmt: skip
    for arguments in (["--local", "--dry-run"], ["--local"], ["--project", "x"]):
        assert PASSWORD not in run("submit", written(text), *arguments).output


@pytest.mark.parametrize(
    "text",
    [
        f"workers: {{default: {{worker: x, resources: {{api_key: {PASSWORD}}}}}}}\n",
        f"workers: {{default: {{worker: x, exec_config: {{export: {{A_TOKEN: {PASSWORD}}}}}}}}}\n",
        f"metadata: {{database: ['mongodb://me:{PASSWORD}@host/db']}}\n",
        f"references: 'mongodb://me:{PASSWORD}@host/db/c'\n",
    ],
    ids=["resources", "environment", "metadata", "references"],
)
def test_what_would_be_stored_with_the_jobs_holds_no_password(
    refused: Callable[..., str], here: Path, text: str
) -> None:
    line = refused("submit", written(FLOW + text), "--dry-run", "--local")
    assert line.startswith("flow.yaml, line 8: ")
    assert line.endswith("would be stored with the jobs; keep it in the environment")
    assert PASSWORD not in line
