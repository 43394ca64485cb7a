"""The Flow from conditions to rates, in every kind of job store."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import bson
import pytest
from jobflow import Flow, JobStore, job, run_locally
from maggma.stores import GridFSStore, JSONStore, MemoryStore, MongoURIStore, MontyStore

from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store, query_candidates
from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
from crystalicl_jobflow.jobs import GenerateMaker, RetrieveMaker, ValidateMaker
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.schemas import Condition, Evaluation
from crystalicl_jobflow.text import SGS
from job_names import step
from reciting import RecitingGenerator

ASKED = [Condition(formula="CaTiO3", space_group=221), {"elements": ["Na"]}]
FREE = GenerateMaker(num_samples=6, constrain=False)


def _sqlite(folder, name: str) -> MontyStore:
    return MontyStore(name, database_path=str(folder), storage="sqlite")


@pytest.fixture(params=["memory", "json", "monty", "mongodb", "gridfs"])
def job_store(request, tmp_path) -> Iterator[JobStore]:
    """A job store of each kind, with the additional store ``data``."""
    if request.param == "memory":
        docs, data = MemoryStore(), MemoryStore()
    elif request.param == "json":
        docs = JSONStore(str(tmp_path / "docs.json"), read_only=False)
        data = JSONStore(str(tmp_path / "data.json"), read_only=False)
    elif request.param == "monty":
        docs, data = _sqlite(tmp_path, "docs"), _sqlite(tmp_path, "data")
    else:
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        database = f"crystalicl_test_{uuid4().hex}"
        docs = MongoURIStore(f"{uri}/{database}", "docs")
        data = MongoURIStore(f"{uri}/{database}", "data")
        if request.param == "gridfs":
            data = GridFSStore(None, "data", uri=f"{uri}/{database}")
    store = JobStore(docs, additional_stores={"data": data})
    store.connect()
    yield store
    if isinstance(docs, MongoURIStore):
        docs._collection.database.client.drop_database(docs.database)


@pytest.fixture(scope="session")
def pool(tmp_path_factory) -> str:
    """A JSON pool of three demonstrations."""
    folder = tmp_path_factory.mktemp("pool")
    for name, text in {
        "srtio3": "Pm-3m\n3.9 3.9 3.9\n90 90 90\nSr\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\n"
        "O\n0.00 0.50 0.50",
        "nacl": "Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50",
        "cscl": "Pm-3m\n4.1 4.1 4.1\n90 90 90\nCs\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50",
    }.items():
        SGS.decode(text).to(str(folder / f"{name}.cif"))
    path = str(folder / "pool.json")
    report = fill_pool(folder, path, fingerprints=False, processes=1)
    assert report.added == 3
    return path


def test_stages_are_named_and_the_last_is_the_output():
    flow = CrystalGenerationFlowMaker().make(ASKED)
    names = [item.name for item in flow.jobs]
    assert names == [
        "retrieve CaTiO3 221 and 1 more", "generate CaTiO3 221 and 1 more ×1",
        "validate CaTiO3 221 and 1 more ×1", "evaluate CaTiO3 221 and 1 more ×1",
    ]  # fmt: skip
    assert flow.output == flow.jobs[-1].output
    assert flow.jobs[-1].output.rates.attributes == (("a", "rates"),)
    with pytest.raises(AttributeError, match="ratse"):
        _ = flow.jobs[-1].output.ratse


def test_stages_can_be_left_out_and_changed():
    maker = CrystalGenerationFlowMaker(
        retrieve_maker=None, evaluate_maker=None, validate_maker=ValidateMaker(name="check")
    )
    flow = maker.make(ASKED)
    assert [item.name for item in flow.jobs] == ["generate CaTiO3 221 and 1 more ×1", "check"]
    only = CrystalGenerationFlowMaker(
        retrieve_maker=None, validate_maker=None, evaluate_maker=None
    ).make(ASKED)
    assert only.output == only.jobs[0].output
    with pytest.raises(ValueError, match="needs a validate_maker"):
        CrystalGenerationFlowMaker(validate_maker=None).make(ASKED)
    changed = maker.update_kwargs({"num_samples": 9}, class_filter=GenerateMaker)
    assert changed.generate_maker.num_samples == 9


def test_the_whole_flow_runs_in_every_store(job_store, pool, reciting, tmp_path):
    maker = CrystalGenerationFlowMaker(
        retrieve_maker=RetrieveMaker(pool=pool, shots=2), generate_maker=FREE
    )
    flow = maker.make(ASKED)
    outputs = {step(item.name): item.output for item in flow.jobs}
    run_locally(flow, store=job_store, ensure_success=True, log=False)

    evaluation = outputs["evaluate"].resolve(job_store)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.num_candidates == 12
    assert evaluation.rates["formula"].of == 6
    assert evaluation.rates["joint"].of == 12
    assert len(evaluation.results) == 12

    retrieved = outputs["retrieve"].retrievals.resolve(job_store)
    assert retrieved[0].demonstrations[0].formula == "SrTiO3"
    candidates = outputs["validate"].candidates.resolve(job_store)
    by_condition = [item.condition for item in candidates]
    assert by_condition == [Condition.parse(ASKED[0])] * 6 + [Condition.parse(ASKED[1])] * 6
    for candidate in candidates:
        place = 0 if candidate.condition.formula else 1
        shown = [item.demonstration_id for item in retrieved[place].demonstrations]
        assert candidate.provenance.demonstration_ids == shown
        assert (candidate.structure is not None) == candidate.parsed
    assert outputs["validate"].structures.resolve(job_store) == [
        item.structure for item in candidates if item.valid
    ]
    # what the whole Flow returns goes on to any Maker that takes crystals
    assert flow.output.structures.resolve(job_store) == [
        item.structure for item in candidates if item.valid
    ]
    assert flow.output.candidate_ids.resolve(job_store) == [
        item.candidate_id for item in candidates if item.valid
    ]

    # the candidates' own store: every draw once, also the second time
    store = open_candidate_store(str(tmp_path / "candidates.json"))
    for _ in range(2):
        CandidateBuilder(job_store, store).run()
        assert store.count() == 12
    found = query_candidates(store, valid=True)
    assert sorted(c.candidate_id for c in found) == sorted(
        c.candidate_id for c in candidates if c.valid
    )
    # every field survives both stores; databases cut times to milliseconds without a zone
    original = {c.candidate_id: c.model_dump(exclude={"created_at"}) for c in candidates}
    for candidate in query_candidates(store):
        assert candidate.model_dump(exclude={"created_at"}) == original[candidate.candidate_id]


@pytest.mark.parametrize("place", ["data", "documents"])
def test_what_is_large_lies_in_the_additional_store(place, reciting):
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    maker = CrystalGenerationFlowMaker(
        retrieve_maker=None, generate_maker=GenerateMaker(num_samples=150, constrain=False)
    )
    run_locally(maker.make([ASKED[0]]), store=store, ensure_success=True, log=False)
    if place == "documents":
        for document in store.query():
            assert len(bson.encode(document)) < 10_000, document["name"]
            assert "CaTiO3" not in str(document["output"].get("candidates"))
    else:
        blobs = list(store.additional_stores["data"].query())
        # generations, two batches of candidates, evaluation's rows, the structures of both
        assert len(blobs) == 6
        assert any("@class" in str(blob["data"]) for blob in blobs)


def test_the_same_seed_gives_the_same_candidates(reciting):
    ids = []
    for _ in range(2):
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        flow = CrystalGenerationFlowMaker(retrieve_maker=None, generate_maker=FREE).make(ASKED)
        run_locally(flow, store=store, ensure_success=True, log=False)
        ids.append([row["candidate_id"] for row in flow.output.resolve(store).results])
    assert ids[0] == ids[1]


def test_conditions_may_come_from_another_job(reciting):
    @job
    def ask() -> list[dict]:
        return [{"formula": "NaCl"}, {"formula": "CaTiO3"}]

    first = ask()
    flow = CrystalGenerationFlowMaker(retrieve_maker=None, generate_maker=FREE).make(first.output)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(Flow([first, flow]), store=store, ensure_success=True, log=False)
    assert flow.output.resolve(store).rates["formula"].of == 12


def test_an_impossible_condition_stops_before_the_model(reciting: RecitingGenerator):
    flow = CrystalGenerationFlowMaker(retrieve_maker=None, evaluate_maker=None).make(
        {"formula": "Na29Cl12", "space_group": 227}
    )
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    with pytest.raises(ValueError, match="Na29Cl12"):
        run_locally(flow, store=store, log=False, raise_immediately=True)
    assert reciting.calls == []


def test_jobs_of_a_shared_queue_say_whose_they_are(reciting):
    maker = CrystalGenerationFlowMaker(
        generate_maker=GenerateMaker(num_samples=6, constrain=False, num_shards=2)
    )
    flow = maker.make(ASKED[0])
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(flow, store=store, ensure_success=True, log=False)
    stored = list(store.query(properties=["name", "metadata"]))
    assert {"generate CaTiO3 221 ×6 1/2", "generate CaTiO3 221 ×6 2/2"} < {
        item["name"] for item in stored
    }
    for item in stored:  # also those that were made on the way
        assert item["metadata"]["run"] == flow.uuid
        assert item["metadata"]["tags"] == ["CaTiO3, group 221"]
    assert maker.make(ASKED[0]).uuid != flow.uuid
    own = maker.make(ASKED[0])
    own.update_metadata({"run": "perovskites"})
    assert {item.metadata["run"] for item in own.jobs} == {"perovskites"}


def test_a_long_condition_or_none_makes_no_long_name():
    def names(asked):
        return [item.name for item in CrystalGenerationFlowMaker().make(asked).jobs]

    assert names([{}]) == ["retrieve", "generate", "validate", "evaluate"]
    long = {"elements": ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "O", "S", "F", "Cl"],
            "properties": {"band_gap": 1.0, "energy_above_hull": {"max": 0.1}}}  # fmt: skip
    assert all(len(name) < 80 for name in names(long))
    assert names(long)[0].endswith("…")
