"""A launch pad of FireWorks, and workers that are processes of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml
from jobflow import Flow

from integration.processes import Place, wait_for

ENDED = {"COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED"}


class LaunchPadPlace:
    """A launch pad and two kinds of workers: of category gpu, and without one.

    Parameters
    ----------
    place
        Where it lives.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        folder = place.folder
        place.environment |= {
            "JOBFLOW_CONFIG_FILE": str(folder / "jobflow.yaml"),
            "FW_CONFIG_FILE": str(folder / "FW_config.yaml"),
        }
        self._write("jobflow.yaml", {"JOB_STORE": place.stores})
        self._write("FW_config.yaml", {"CONFIG_FILE_DIR": str(folder)})
        launchpad = {"host": place.uri, "uri_mode": True, "name": place.database}
        self._write("my_launchpad.yaml", launchpad)
        for name, category in {"gpu": "gpu", "cpu": "__none__"}.items():
            worker = {"name": name, "category": category, "query": json.dumps({})}
            self._write(f"{name}.yaml", worker)
        self.lpad("reset", "--password", _today())

    def _write(self, name: str, content: Any) -> None:
        (self.place.folder / name).write_text(yaml.safe_dump(content))

    def lpad(self, *words: str) -> str:
        """Call the command ``lpad``; return what it prints."""
        return self.place.run("lpad", *words).stdout

    def start(self, worker: str) -> subprocess.Popen[bytes]:
        """Start a worker: ``rlaunch rapidfire`` until the test ends."""
        folder = self.place.folder / worker
        folder.mkdir(exist_ok=True)
        return self.place.start(
            *("rlaunch", "-l", str(self.place.folder / "my_launchpad.yaml")),
            *("-w", str(self.place.folder / f"{worker}.yaml")),
            *("rapidfire", "--nlaunches", "infinite", "--sleep", "1"),
            log=f"{worker}.log",
            cwd=folder,
        )

    def submit(self, flow: Flow) -> None:
        """Put a Flow on the launch pad, from a process of its own as a user does."""
        from monty.serialization import dumpfn

        path = self.place.folder / f"{flow.uuid}.json"
        dumpfn(flow, str(path))
        code = (
            "import sys; from monty.serialization import loadfn;"
            "from fireworks import LaunchPad;"
            "from jobflow.managers.fireworks import flow_to_workflow;"
            "LaunchPad.from_file(sys.argv[2]).add_wf(flow_to_workflow(loadfn(sys.argv[1])))"
        )
        launchpad = str(self.place.folder / "my_launchpad.yaml")
        self.place.run("python", "-c", code, str(path), launchpad)

    def states(self) -> dict[str, str]:
        """Return name → state of all fireworks."""
        found = self.place.collection("fireworks").find({}, {"name": 1, "state": 1})
        return {item["name"]: item["state"] for item in found}

    def launches(self) -> list[tuple[str, str, str]]:
        """Return firework, worker and state of every launch, in their order."""
        names = {
            item["fw_id"]: item["name"]
            for item in self.place.collection("fireworks").find({}, {"fw_id": 1, "name": 1})
        }
        found = self.place.collection("launches").find().sort("launch_id", 1)
        return [(names[item["fw_id"]], item["fworker"]["name"], item["state"]) for item in found]

    def finished(self) -> Mapping[str, str]:
        """Return all states when no firework has anything to do any more."""
        states = self.states()
        return states if all(state in ENDED for state in states.values()) else {}

    def wait(self) -> Mapping[str, str]:
        """Wait for the end of all fireworks."""
        return wait_for("the fireworks' end", self.finished, words=self.words)

    def words(self) -> str:
        """Return what is known of the fireworks, for a failed test."""
        lines = [f"{name}: {state}" for name, state in self.states().items()]
        for log in sorted(self.place.folder.glob("*.log")):
            lines += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-60:]]
        return "\n".join(lines)


def _today() -> str:
    """Return the date that ``lpad reset`` wants as its password."""
    from datetime import datetime

    return datetime.now().strftime("%Y-%m-%d")
