"""Which of two results is later: by the Flow, then in UTC; never by the clocks of the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store, read_document
from crystalicl_jobflow.candidates.ordering import end_in_utc, is_later, job_key, ranks
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, RelaxDoc
from reciting import ROCK_SALT, RecitingGenerator

needs_tzset = pytest.mark.skipif(not hasattr(time, "tzset"), reason="time zones of POSIX")


def origin(uuid: str, at: str, *, index: int = 1, ended_at: str | None = None, follows=()) -> dict:
    return {"name": "relax", "job_uuid": uuid, "job_index": index, "completed_at": at,
            "ended_at": ended_at, "follows": list(follows)}  # fmt: skip


def order(*origins: dict) -> list[str]:
    """Return the jobs in order, which must not depend on the order in which they are given."""
    found = [ranks(given) for given in permutations(origins)]
    assert all(item == found[0] for item in found)
    return [f"{uuid}/{index}" for uuid, index in sorted(found[0], key=found[0].__getitem__)]


class TestOrder:
    def test_by_time_where_nothing_else_is_known(self):
        jobs = [origin("b", "2026-01-01T09:00"), origin("a", "2026-01-01T10:00")]
        assert order(*jobs) == ["b/1", "a/1"]

    def test_a_job_comes_after_what_it_read_whatever_the_clocks_say(self):
        first = origin("first", "2026-01-02", ended_at="2026-01-02T00:00:00+00:00")
        second = origin("second", "2026-01-01", ended_at="2026-01-01T00:00:00+00:00",
                        follows=["first"])  # fmt: skip
        third = origin("third", "2025-12-31", follows=["second"])
        assert order(first, second, third) == ["first/1", "second/1", "third/1"]
        assert is_later(job_key(third), job_key(first), [first, second, third])
        assert not is_later(job_key(first), job_key(third), [first, second, third])

    def test_the_index_goes_before_the_time(self):
        jobs = [origin("a", "2026-01-02", index=1), origin("a", "2026-01-01", index=2)]
        assert order(*jobs) == ["a/1", "a/2"]

    def test_utc_counts_where_it_is_known(self):
        tokyo = origin("tokyo", "2026-06-01T18:00", ended_at="2026-06-01T09:00:00+00:00")
        chicago = origin("chicago", "2026-06-01T05:00", ended_at="2026-06-01T10:00:00+00:00")
        assert order(tokyo, chicago) == ["tokyo/1", "chicago/1"]

    def test_the_end_of_summer_time(self):
        # clocks go from 3:00 back to 2:00 at 01:00 UTC
        before = origin("before", "2026-10-25T02:50", ended_at="2026-10-25T00:50:00+00:00")
        after = origin("after", "2026-10-25T02:10", ended_at="2026-10-25T01:10:00+00:00")
        assert order(before, after) == ["before/1", "after/1"]

    def test_what_claims_a_circle_is_ordered_by_time(self):
        jobs = [origin("a", "2026-01-02", follows=["b"]), origin("b", "2026-01-01", follows=["a"])]
        assert order(*jobs) == ["b/1", "a/1"]


class TestEndInUtc:
    def test_what_our_jobs_have_left(self):
        document = {"completed_at": "2026-01-01T23:00:00",
                    "metadata": {"ended_at": "2026-01-01T14:00:00.123+00:00"}}  # fmt: skip
        assert end_in_utc(document) == datetime(2026, 1, 1, 14, 0, 0, 123000)

    def test_a_time_with_its_zone(self):
        document = {"completed_at": "2026-01-01T23:00:00+09:00"}
        assert end_in_utc(document) == datetime(2026, 1, 1, 14)

    def test_emmets_documents_say_it_in_utc(self):
        output = {"@module": "emmet.core.tasks", "last_updated": datetime(2026, 1, 1, 14)}
        assert end_in_utc({"completed_at": "2026-01-01T23:00", "output": output}) == datetime(
            2026, 1, 1, 14
        )
        # the same words in another's document may mean anything
        other = {"completed_at": "2026-01-01T23:00", "output": output | {"@module": "mine"}}
        assert end_in_utc(other) is None

    def test_the_zone_of_the_workers_where_it_is_given(self):
        document = {"completed_at": "2026-07-01T12:00:00"}
        assert end_in_utc(document) is None
        assert end_in_utc(document, ZoneInfo("Europe/Berlin")) == datetime(2026, 7, 1, 10)

    def test_a_zone_that_is_not_known_is_told(self):
        with pytest.raises(ValueError, match="time_zone 'Mars' is not known; one such as"):
            CandidateBuilder(JobStore(MemoryStore()), open_candidate_store("memory:"),
                             time_zone="Mars")  # fmt: skip


@contextmanager
def worker_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process be a worker in another time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@crystal_job(name="press", output_schema=RelaxDoc, data=DATA)
def pressed(validated, energy: float) -> RelaxDoc:
    relaxations = [
        CandidateRelaxation(
            candidate_id=item.candidate_id, structure=item.structure, converged=True,
            energy_per_atom=energy, method="pressing 1",
        )
        for item in validated.candidates
    ]  # fmt: skip
    return RelaxDoc.from_relaxations(relaxations)


def memory_store() -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return store


@pytest.fixture
def server_store(mongodb_uri, tmp_path) -> Iterator[JobStore]:
    names = [f"ordering_{tmp_path.name}{suffix}" for suffix in ("", "_data")]
    docs, data = (_mongo(mongodb_uri, name) for name in names)
    store = JobStore(docs, additional_stores={"data": data})
    store.connect()
    yield store
    for part in (docs, data):
        part._collection.drop()


def _mongo(uri: str, collection: str) -> MongoStore:
    host, _, port = uri.partition("://")[2].rpartition("@")[2].partition(":")
    return MongoStore("crystalicl_test", collection, host=host, port=int(port or 27017))


def in_two_zones(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run two jobs one after the other, the second where it is still the day before."""
    generations = generate_for_retrievals(
        as_retrievals({"formula": "NaCl"}), RecitingGenerator([ROCK_SALT]), constrain=False
    )
    validate = ValidateMaker().make(generations)
    run_locally(Flow([validate]), store=store, ensure_success=True, log=False)
    first, second = pressed(validate.output, -5.0), pressed(validate.output, -5.1)
    for zone, made in (("Pacific/Kiritimati", first), ("Pacific/Honolulu", second)):
        with worker_in(zone, monkeypatch):
            run_locally(
                Flow([made]),
                store=store,
                ensure_success=True,
                log=False,
                allow_external_references=True,
            )
    ended = [store.query_one({"uuid": made.uuid})["completed_at"] for made in (first, second)]
    assert ended[0] > ended[1]  # as the workers wrote it
    return [first.uuid, second.uuid]


def collected(store: JobStore, target, **how) -> dict:
    CandidateBuilder(store, target, **how).run()
    (document,) = target.query()
    document.pop("_id", None)
    return document


@needs_tzset
class TestTwoZones:
    def check(self, store: JobStore, target: Callable[[], object], monkeypatch) -> None:
        first, second = in_two_zones(store, monkeypatch)
        document = collected(store, target())
        assert document["energy_per_atom"] == -5.1
        assert [item["origin"]["job_uuid"] for item in document["relaxations"]] == [first, second]
        ends = [item.ended_at for item in read_document(document).origins]
        assert None not in ends
        assert ends == sorted(ends)
        # read in the other order
        other = target()
        for query in ({"uuid": {"$ne": first}}, {}):
            document = collected(store, other, query=query)
        assert document["energy_per_atom"] == -5.1
        # the second runs again on a node whose clock is behind: what is there now is read
        store.docs_store._collection.update_one(
            {"uuid": second},
            {"$set": {"completed_at": "2020-01-01T00:00:00",
                      "metadata.ended_at": "2020-01-01T00:00:00+00:00"}},
        )  # fmt: skip
        document = collected(store, other)
        assert len(document["relaxations"]) == 2
        assert document["relaxations"][0]["origin"]["job_uuid"] == second

    def test_in_memory(self, monkeypatch):
        self.check(memory_store(), lambda: open_candidate_store("memory:"), monkeypatch)

    @pytest.mark.mongodb
    def test_on_a_server(self, server_store, mongodb_uri, tmp_path, monkeypatch):
        names: list[str] = []

        def target():
            names.append(f"ordered_{tmp_path.name}_{len(names)}")
            return open_candidate_store(f"{mongodb_uri}/crystalicl_test/{names[-1]}")

        try:
            self.check(server_store, target, monkeypatch)
        finally:
            database = server_store.docs_store._collection.database
            for name in names:
                database.drop_collection(name)


def test_what_users_write_on_their_flows_survives():
    store = memory_store()
    generations = generate_for_retrievals(
        as_retrievals({"formula": "NaCl"}), RecitingGenerator([ROCK_SALT]), constrain=False
    )
    validate = ValidateMaker().make(generations)
    relax = pressed(validate.output, -5.0)
    inner = Flow([relax], name="inner")
    flow = Flow([validate, inner], name="outer")
    flow.update_metadata({"project": "salts", "tags": ["batch 7"], "run": "monday"})
    relax.update_metadata({"project": "salts, relaxed", "tags": ["relaxed"]})
    run_locally(flow, store=store, ensure_success=True, log=False)
    document = read_document(collected(store, open_candidate_store("memory:")))
    assert document.tags == ["batch 7", "relaxed"]
    assert document.metadata == {"project": "salts, relaxed"}
    assert document.hosts == [flow.uuid, inner.uuid]
    assert "monday" in document.run_ids
    validated, relaxed = document.origins
    assert (validated.metadata, validated.tags) == ({"project": "salts"}, ["batch 7"])
    assert relaxed.hosts == [inner.uuid, flow.uuid]
    assert relaxed.follows == [validate.uuid]
