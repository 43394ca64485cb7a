"""On a real server: two builders at once, a server that goes away, documents too large."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    CandidateQuery,
    find_documents,
    open_candidate_store,
)
from crystalicl_jobflow.candidates.blobs import GridFSBlobs
from crystalicl_jobflow.candidates.contributions import Part, candidate_part, evaluation_part
from crystalicl_jobflow.candidates.indexes import ensure_indexes
from crystalicl_jobflow.candidates.writing import write_parts
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import EvaluateMaker, ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.validation.validate import build_candidates
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

pytestmark = pytest.mark.mongodb

PROXY = """
import socket, sys, threading
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
server = socket.create_server(("127.0.0.1", int(sys.argv[3])), reuse_port=True)
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    target = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    for ends in ((client, target), (target, client)):
        threading.Thread(target=pump, args=ends, daemon=True).start()
"""
"""A server between us and the database, which can be stopped and killed like the database."""


class Proxy:
    """The database, as seen through a process that the test may stop and kill."""

    def __init__(self, uri: str) -> None:
        host, _, port = uri.partition("://")[2].rpartition("@")[2].partition(":")
        self.target = (host, port or "27017")
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", PROXY, *self.target, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def away(self, how: str, seconds: float) -> None:
        """Stop and continue the server, or kill it and start it again."""
        if how == "stopped":
            os.kill(self.process.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(self.process.pid, signal.SIGCONT)
        else:
            self.kill()
            time.sleep(seconds)
            self.start()


@pytest.fixture
def proxy(mongodb_uri) -> Iterator[Proxy]:
    opened = Proxy(mongodb_uri)
    yield opened
    opened.kill()


@pytest.fixture
def collection(mongodb_uri, tmp_path) -> Iterator[str]:
    """Name of an empty collection, removed at the end."""
    name = f"servers_{tmp_path.name}"
    store = open_candidate_store(f"{mongodb_uri}/crystalicl_test/{name}")
    database = store._collection.database
    for suffix in ("", "_blobs.files", "_blobs.chunks"):
        database.drop_collection(name + suffix)
    ensure_indexes(store)
    yield name
    for suffix in ("", "_blobs.files", "_blobs.chunks"):
        database.drop_collection(name + suffix)


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    """What validations and evaluations say of thirty candidates."""
    generations = generate_for_retrievals(
        as_retrievals([{"elements": ["Na"]}]),
        RecitingGenerator([PEROVSKITE, ROCK_SALT]),
        num_samples=30,
        constrain=False,
    )
    return [candidate_part(item.model_dump(mode="json")) for item in build_candidates(generations)]


def says(parts: list[Part], builder: str, job: int) -> list[Part]:
    """Return what one more evaluation job says of every candidate."""
    origin = {"name": "evaluate", "job_uuid": f"{builder}-{job}", "job_index": 1, "job_name": "",
              "completed_at": f"2026-01-{job + 1:02d}"}  # fmt: skip
    said = []
    for part in parts:
        made = evaluation_part({"candidate_id": part.candidate_id, "rms": 0.1 * job}, origin)
        made.origins, made.run_ids = [origin], {builder}
        said.append(made)
    return said


@contextmanager
def at_once(*calls: Callable[[], None]) -> Iterator[None]:
    """Run calls in threads beside the block; fail where one fails."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=180)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_two_builders_at_once_lose_no_update(mongodb_uri, collection, parts):
    uri = f"{mongodb_uri}/crystalicl_test/{collection}"
    rounds = 6

    def build(name: str) -> Callable[[], None]:
        store = open_candidate_store(uri)  # a connection of its own, as another process has

        def work() -> None:
            for job in range(rounds):
                write_parts([*parts, *says(parts, name, job)], store)

        return work

    with at_once(build("one"), build("two")):
        pass
    found = list(find_documents(open_candidate_store(uri)))
    assert len(found) == 30
    expected = {f"{name}-{job}" for name in ("one", "two") for job in range(rounds)}
    for document in found:
        assert {item["origin"]["job_uuid"] for item in document["evaluations"]} == expected
        assert document["run_ids"] == ["one", "two"]
        assert document["formula_pretty"] in ("CaTiO3", "NaCl")


class TornReads:
    """A collection whose whole documents are read while another writer replaces them.

    The first of such reads gives the old fields with the new revision, as the development
    server does once in some hundred times where two clients are busy with one document.
    """

    def __init__(self, collection: Any, replace: Callable[[], Any]) -> None:
        self.collection, self.replace = collection, replace
        self.torn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def find(self, query: dict[str, Any], *projection: Any) -> list[dict[str, Any]]:
        old = list(self.collection.find(query, *projection))
        if projection or self.torn or not old:
            return old
        self.replace()
        new = {item["candidate_id"]: item for item in self.collection.find(query)}
        for document in old:
            document["revision"] = new[document["candidate_id"]]["revision"]
        self.torn = len(old)
        return old


def test_what_is_read_while_it_is_replaced_is_not_written_over_the_new(
    mongodb_uri, collection, parts
):
    store = open_candidate_store(f"{mongodb_uri}/crystalicl_test/{collection}")
    write_parts(parts, store)
    other = open_candidate_store(f"{mongodb_uri}/crystalicl_test/{collection}")
    replace = partial(write_parts, says(parts, "two", 0), other)
    torn = TornReads(store._collection, replace)
    store._coll = torn
    write_parts(says(parts, "one", 0), store)
    assert torn.torn == 30
    for document in find_documents(other):
        told = {item["origin"]["job_uuid"] for item in document["evaluations"]}
        assert told == {"one-0", "two-0"}
        assert document["revision"] == 3


def test_two_candidate_builders_at_once_gather_everything(mongodb_uri, collection):
    uri = f"{mongodb_uri}/crystalicl_test/{collection}"
    generations = generate_for_retrievals(
        as_retrievals([{"elements": ["Na"]}]),
        RecitingGenerator([PEROVSKITE, ROCK_SALT]),
        num_samples=20,
        constrain=False,
    )
    jobs = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    validate = ValidateMaker().make(generations)
    evaluate = EvaluateMaker().make(validate.output.candidates)
    run_locally(Flow([validate, evaluate]), store=jobs, ensure_success=True, log=False)
    names = [item.candidate_id for item in build_candidates(generations)]
    for number in range(4):
        jobs.update(
            {"uuid": f"r{number}", "index": 1, "name": "relax", "completed_at": f"{number}",
             "metadata": {"candidate_ids": names, "relax_maker": "X"},
             "output": [None] * len(names)}
        )  # fmt: skip
    # each takes some jobs that the other one takes as well
    queries = [{"uuid": {"$ne": "r0"}}, {"uuid": {"$nin": ["r3", validate.uuid]}}]
    builders = [
        CandidateBuilder(jobs, open_candidate_store(uri), query=query, chunk_size=1)
        for query in queries
    ]
    with at_once(*(builder.run for builder in builders)):
        pass
    found = list(find_documents(open_candidate_store(uri)))
    assert {document["candidate_id"] for document in found} == set(names)
    for document in found:
        assert len(document["relaxations"]) == 4
        assert (document["stage"], document["is_stable"]) == ("validated", None)
        assert {origin["name"] for origin in document["origins"]} == {
            "validate", "evaluate", "relax",
        }  # fmt: skip


ROUNDS = 8


def interrupted(
    proxy: Proxy, collection: str, parts: list[Part], how: str, seconds: float
) -> list[dict[str, Any]]:
    """Write while the server goes away, and return what is there afterwards."""
    options = "?socketTimeoutMS=1500&connectTimeoutMS=1500&serverSelectionTimeoutMS=1500"
    uri = f"mongodb://127.0.0.1:{proxy.port}/crystalicl_test/{collection}{options}"
    store = open_candidate_store(uri)
    begun = threading.Event()

    def work() -> None:
        for job in range(ROUNDS):
            write_parts([*parts, *says(parts, "one", job)], store)
            begun.set()

    with at_once(work):
        assert begun.wait(60)
        proxy.away(how, seconds)
    return list(find_documents(store, CandidateQuery(run="one")))


def assert_nothing_is_lost(found: list[dict[str, Any]]) -> None:
    assert len(found) == 30
    for document in found:
        assert [item["origin"]["job_uuid"] for item in document["evaluations"]] == [
            f"one-{job}" for job in range(ROUNDS)
        ]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_server_that_goes_away_costs_a_retry_not_a_document(proxy, collection, parts, how):
    assert_nothing_is_lost(interrupted(proxy, collection, parts, how, 2.0))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_nor_does_half_a_minute(proxy, collection, parts, how):
    assert_nothing_is_lost(interrupted(proxy, collection, parts, how, 30.0))


def test_a_page_is_asked_for_again(proxy, mongodb_uri, collection, parts):
    write_parts(parts, open_candidate_store(f"{mongodb_uri}/crystalicl_test/{collection}"))
    options = "?socketTimeoutMS=1000&serverSelectionTimeoutMS=1000"
    uri = f"mongodb://127.0.0.1:{proxy.port}/crystalicl_test/{collection}{options}"
    store = open_candidate_store(uri)
    pages = []

    def ask() -> None:
        pages.append(list(find_documents(store, limit=10, sort="nsites")))

    proxy.kill()
    with at_once(ask):
        time.sleep(1.0)
        proxy.start()
    assert [len(page) for page in pages] == [10]


def test_a_document_of_more_than_16_megabytes_is_not_lost(mongodb_uri, collection, parts):
    store = open_candidate_store(f"{mongodb_uri}/crystalicl_test/{collection}")
    blobs = GridFSBlobs(store)
    text = {**parts[0].text, "text": "x" * 17_000_000}
    large = Part(parts[0].candidate_id, stage="validated", text=text)
    assert write_parts([large, *parts[1:]], store, blobs=blobs) == 30
    assert write_parts([large, *parts[1:]], store, blobs=blobs) == 0
    (found,) = find_documents(store, CandidateQuery(candidate_ids=large.candidate_id))
    assert found["text"] == text["text"]
    assert found["structure"] == parts[0].text["generated"]["structure"]
    raw = store.query_one({"candidate_id": large.candidate_id})
    assert set(raw["text"]) == {"blob_uuid", "bytes"}
    # what comes later finds the document whole
    write_parts(says(parts[:1], "one", 1), store, blobs=blobs)
    (found,) = find_documents(store, CandidateQuery(candidate_ids=large.candidate_id))
    assert (found["text"], found["run_ids"]) == (text["text"], ["one"])


def test_two_builders_may_fill_one_sqlite_file(tmp_path: Path, parts):
    path = str(tmp_path / "candidates.sqlite")

    def build(name: str) -> Callable[[], None]:
        store = open_candidate_store(path)

        def work() -> None:
            for job in range(3):
                write_parts([*parts, *says(parts, name, job)], store)

        return work

    with at_once(build("one"), build("two")):
        pass
    found = list(find_documents(open_candidate_store(path)))
    assert len(found) == 30
    assert all(len(document["evaluations"]) == 6 for document in found)
