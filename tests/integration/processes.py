"""Processes of workflow managers, as a user's machines have them: daemon, runner, workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from jobflow import JobStore
from pymongo import MongoClient

WAIT_SECONDS = 900
"""How long anything may take before a test gives up: machines of CI are slow at times."""

LOST = "CRYSTALICL_TEST_PLACE"
"""Variable in the environment of every process of a test, by which they are found again."""


class Place:
    """A folder and a database of a test's own, and the processes that work there."""

    def __init__(self, uri: str) -> None:
        # short: the path of a socket has 100 letters at most
        self.folder = Path(tempfile.mkdtemp(prefix="cj"))
        self.uri = uri
        self._client: MongoClient[Any] = MongoClient(uri)
        self.database = f"crystalicl_test_{uuid4().hex}"
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "200",
            "CRYSTALICL_CACHE_DIR": str(self.folder / "cache"),
            "CRYSTALICL_NUM_THREADS": "1",
            LOST: self.database,
        }
        self.environment.pop("CRYSTALICL_RESUME_DIR", None)

    @property
    def stores(self) -> dict[str, Any]:
        """The job store's configuration: documents in MongoDB, large data in GridFS."""
        data = self.store("outputs_data") | {"type": "GridFSStore"}
        return {"docs_store": self.store("outputs"), "additional_stores": {"data": data}}

    def store(self, collection: str) -> dict[str, Any]:
        """Return the configuration of a collection's store."""
        return {
            "type": "MongoStore",
            "uri": self.uri,
            "database": self.database,
            "collection_name": collection,
        }

    def job_store(self) -> JobStore:
        """Return the connected job store."""
        store = JobStore.from_dict_spec(self.stores)
        store.connect()
        return store

    def collection(self, name: str) -> Any:
        """Return a collection of the database."""
        return self._client[self.database][name]

    def path(self, name: str) -> Path:
        """Return a path below the folder."""
        return self.folder / name

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *command: str, log: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command in the background; its words go to a file."""
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                command,
                cwd=cwd or self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this test, those of daemons too."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(LOST) == self.database:
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.pid != os.getpid()]

    def close(self) -> None:
        """End what still runs, remove database and folder."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.Error:
                continue
        self._client.drop_database(self.database)
        self._client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def unfinished(self) -> dict[str, int]:
        """Return file → texts that a generation has written down and not handed in."""
        files = (self.folder / "cache").rglob("unfinished-*.jsonl")
        return {path.name: path.read_bytes().count(b'"completion"') for path in files}

    def wait_for_texts(self, number: int, *, besides: Iterable[str] = ()) -> str:
        """Wait until a generation has written down so many texts; return its file's name."""

        def ready() -> str | None:
            found = {name: texts for name, texts in self.unfinished().items() if texts >= number}
            return next((name for name in found if name not in besides), None)

        def words() -> str:
            return "\n".join(" ".join(item.cmdline()) for item in self.processes())

        name: str = wait_for(f"{number} texts", ready, every=0.02, words=words)
        return name


def wait_for(
    what: str,
    ready: Callable[[], Any],
    *,
    seconds: float = WAIT_SECONDS,
    every: float = 0.5,
    words: Callable[[], str] = str,
) -> Any:
    """Return the first true answer; fail with what is known when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ready():
            return answer
        time.sleep(every)
    pytest.fail(f"{what}: not within {seconds} s\n{words()}")


@contextmanager
def place(uri: str) -> Iterator[Place]:
    """Give a test a place, and clean it up whatever happens."""
    here = Place(uri)
    try:
        yield here
    finally:
        here.close()


def kill(process: psutil.Process) -> None:
    """End a process as a machine that crashes does."""
    process.send_signal(signal.SIGKILL)
    process.wait(30)
