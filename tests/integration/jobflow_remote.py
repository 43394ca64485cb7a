"""A project of jobflow-remote: its daemon, its runner and local workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil
import yaml
from jobflow import Flow

from integration.processes import Place, wait_for

PROJECT = "crystals"
ENDED = {"COMPLETED", "FAILED", "REMOTE_ERROR", "STOPPED", "USER_STOPPED"}


class RemoteProject:
    """Three workers, 'gpu', 'cpu' and 'login', that are shells on this machine.

    Parameters
    ----------
    place
        Where it lives.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        projects = place.folder / "projects"
        projects.mkdir()
        place.environment |= {
            "JFREMOTE_PROJECTS_FOLDER": str(projects),
            "JFREMOTE_CONFIG_FILE": str(place.folder / "none.yaml"),
            "JFREMOTE_PROJECT": PROJECT,
        }
        (projects / f"{PROJECT}.yaml").write_text(yaml.safe_dump(self.configuration()))

    def configuration(self) -> dict[str, Any]:
        """Return the project file."""
        folder = self.place.folder
        worker = {"type": "local", "scheduler_type": "shell", "timeout_execute": 120}
        return {
            "name": PROJECT,
            "base_dir": str(folder / "base"),
            "runner": {
                "delay_checkout": 1,
                "delay_check_run_status": 1,
                "delay_advance_status": 1,
                "delay_refresh_limited": 1,
                "max_step_attempts": 3,
                "delta_retry": [1, 1, 1],
            },
            "queue": {"store": self.place.store("jobs")},
            "jobstore": self.place.stores,
            "workers": {
                # one GPU: one job at a time
                "gpu": {**worker, "work_dir": str(folder / "gpu"), "max_jobs": 1},
                "cpu": {**worker, "work_dir": str(folder / "cpu"), "max_jobs": 2},
                "login": {**worker, "work_dir": str(folder / "login"), "max_jobs": 2},
            },
        }

    def jf(self, *words: str, check: bool = True) -> str:
        """Call the command ``jf``; return what it prints."""
        return self.place.run("jf", "-fe", *words, check=check).stdout

    def start(self) -> None:
        """Make the database and start daemon and runner."""
        self.jf("admin", "reset", "-y")
        self.go_on()

    def go_on(self) -> None:
        """Start the runner."""
        self.jf("runner", "start", "--single", "--log-level", "debug")

    def pause(self) -> None:
        """End the runner, after what it is doing."""

        # asked again: while supervisord goes, jobflow-remote finds it alive without its socket
        # and calls that an error, before it has written down that no runner is there any more
        def ended() -> bool:
            done = self.place.run("jf", "-fe", "runner", "stop", "--wait", check=False)
            return done.returncode == 0

        wait_for("the runner's end", ended, seconds=120, words=self.words)

    def stop(self) -> None:
        """End daemon and runner."""
        self.jf("runner", "kill", check=False)
        self.jf("runner", "shutdown", check=False)

    def submit(self, flow: Flow, **options: str) -> None:
        """Submit a Flow from a process of its own, as a user does."""
        from monty.serialization import dumpfn

        path = self.place.folder / f"{flow.uuid}.json"
        dumpfn(flow, str(path))
        code = (
            "import sys, json; from monty.serialization import loadfn;"
            "from jobflow_remote import submit_flow;"
            "print(submit_flow(loadfn(sys.argv[1]), **json.loads(sys.argv[2])))"
        )
        self.place.run("python", "-c", code, str(path), json.dumps(options))

    def jobs(self) -> list[Mapping[str, Any]]:
        """Return the documents of all jobs."""
        fields = {"uuid": 1, "index": 1, "db_id": 1, "state": 1, "worker": 1, "run_dir": 1,
                  "job.name": 1, "remote": 1, "error": 1, "resources": 1}  # fmt: skip
        return list(self.place.collection("jobs").find({}, fields))

    def state(self, db_id: str) -> str:
        """Return the state of a job."""
        return next(item["state"] for item in self.jobs() if item["db_id"] == db_id)

    def finished(self) -> list[Mapping[str, Any]]:
        """Return all jobs when none has anything to do any more."""
        jobs = self.jobs()
        return jobs if all(item["state"] in ENDED for item in jobs) else []

    def wait(self) -> list[Mapping[str, Any]]:
        """Wait for the end of all jobs."""
        return wait_for("the jobs' end", self.finished, words=self.words)

    def words(self) -> str:
        """Return what is known of the jobs, for a failed test."""
        lines = [
            f"{item['job']['name']}: {item['state']} on {item['worker']}"
            f" {item.get('error') or item['remote'].get('error') or ''}"
            for item in self.jobs()
        ]
        for log in sorted((self.place.folder / "base").rglob("*.log")):
            lines += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-20:]]
        for item in self.jobs():
            if item["state"] not in ("COMPLETED", "WAITING", "READY") and item["run_dir"]:
                for path in sorted(self.place.path(item["run_dir"]).glob("queue.*")):
                    tail = path.read_text(errors="replace").splitlines()[-20:]
                    lines += [f"--- {item['job']['name']}: {path.name}", *tail]
        return "\n".join(lines)

    def find_worker(self, name: str) -> tuple[psutil.Process, str]:
        """Return the process that runs a job whose name begins so, and the job's ``db_id``."""
        found = []
        for job in self.jobs():
            if not job["job"]["name"].startswith(name) or not job["run_dir"]:
                continue
            for process in self.place.processes():
                with suppress(psutil.Error):
                    words = process.cmdline()
                    if "execution" in words and words[-1].rstrip("/") == job["run_dir"]:
                        found.append((process, str(job["db_id"])))
        assert len(found) == 1, found
        return found[0]
