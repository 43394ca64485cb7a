"""The Builder gathers what every kind of job says, once, whatever happens in between."""

from __future__ import annotations

import pytest
from jobflow import Flow, JobStore, Maker, job, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    CandidateQuery,
    find_documents,
    open_candidate_store,
    read_document,
)
from crystalicl_jobflow.candidates.blobs import MaggmaBlobs, move_large_fields, resolve_blobs
from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import EvaluateMaker, ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.schemas import Generation
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.candidate import ValidateDoc
from crystalicl_jobflow.schemas.generation import GenerateDoc
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, RelaxDoc
from crystalicl_jobflow.validation.validate import build_candidates
from reciting import NO_CRYSTAL, PEROVSKITE, ROCK_SALT, RecitingGenerator


@pytest.fixture(scope="module")
def generations() -> list[Generation]:
    return generate_for_retrievals(
        as_retrievals([{"formula": "CaTiO3"}, {"elements": ["Na"]}]),
        RecitingGenerator([PEROVSKITE, ROCK_SALT, NO_CRYSTAL]),
        num_samples=6,
        constrain=False,
    )


@pytest.fixture
def job_store() -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return store


@job(name="write", output_schema=GenerateDoc, data=DATA)
def written(generations: list[Generation]) -> GenerateDoc:
    read = [Generation.model_validate(item) for item in generations]
    return GenerateDoc.from_generations(read, num_samples=12)


@job(name="press", output_schema=RelaxDoc, data=DATA)
def pressed(validated: ValidateDoc) -> RelaxDoc:
    """Pretend to relax: shrink what is a crystal."""
    relaxations = []
    for number, candidate in enumerate(validated.candidates):
        if candidate.structure is None:
            continue
        structure = candidate.structure.copy()
        structure.apply_strain(-0.02)
        relaxations.append(
            CandidateRelaxation(
                candidate_id=candidate.candidate_id, structure=structure, converged=True,
                energy_per_atom=-5.0, energy_above_hull=0.01 * (number - 2), method="pressing 1",
            )
        )  # fmt: skip
    return RelaxDoc.from_relaxations(relaxations)


def chain(generations: list[Generation]) -> Flow:
    generate = written(generations)
    validate = ValidateMaker().make(generate.output.generations)
    relax = pressed(validate.output)
    evaluate = EvaluateMaker().make(validate.output.candidates)
    return Flow([generate, validate, relax, evaluate], name="chain")


def run(flow: Flow, store: JobStore) -> Flow:
    run_locally(flow, store=store, ensure_success=True, log=False)
    return flow


def documents(store, **asked) -> dict[str, dict]:
    return {item["candidate_id"]: item for item in find_documents(store, CandidateQuery(**asked))}


def test_one_document_from_condition_to_relaxed_energy(generations, job_store):
    flow = run(chain(generations), job_store)
    target = open_candidate_store("memory:")
    CandidateBuilder(job_store, target).run()
    found = documents(target)
    assert len(found) == 12
    for item in found.values():
        document = read_document(item)  # the schema, nothing more and nothing less
        steps = {origin.name: origin.job_uuid for origin in document.origins}
        jobs = {name: flow.jobs[i].uuid for i, name in enumerate(("generate", "validate"))}
        assert jobs.items() <= steps.items()
        assert flow.uuid in document.run_ids
        assert document.is_unique is not None or not document.parsed
        if document.parsed:
            assert steps["relax"] == flow.jobs[2].uuid
            assert document.energy_per_atom == -5.0
            assert document.is_stable == (document.energy_above_hull <= 0)
            assert document.structure.volume < document.generated.structure.volume
    assert len(documents(target, run=flow.uuid)) == 12
    assert set(documents(target, stable=True)) < set(found)


def test_a_second_run_reads_and_changes_nothing(generations, job_store):
    run(chain(generations), job_store)
    target = open_candidate_store("memory:")
    builder = CandidateBuilder(job_store, target)
    builder.run()
    before = documents(target)
    assert list(builder.get_items()) == []
    CandidateBuilder(job_store, target, rebuild=True).run()
    assert documents(target) == before


def test_jobs_are_added_as_they_come(generations, job_store):
    target = open_candidate_store("memory:")
    generate = written(generations)
    run(Flow([generate]), job_store)
    CandidateBuilder(job_store, target).run()
    assert {item["stage"] for item in documents(target).values()} == {"generated"}
    run(Flow([ValidateMaker().make(generations)]), job_store)
    CandidateBuilder(job_store, target).run()
    found = documents(target)
    assert len(found) == 12
    assert {item["stage"] for item in found.values()} == {"validated"}


def test_a_builder_killed_in_a_job_reads_it_again(generations, job_store, monkeypatch):
    run(Flow([ValidateMaker().make(generations)]), job_store)
    target = open_candidate_store("memory:")
    from crystalicl_jobflow.candidates import builder as module

    whole = module.write_parts

    def killed(parts, store, **how):
        whole(list(parts)[:5], store, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_parts", killed)
    with pytest.raises(KeyboardInterrupt):
        CandidateBuilder(job_store, target).run()
    assert target.count() == 5
    monkeypatch.setattr(module, "write_parts", whole)
    CandidateBuilder(job_store, target).run()
    assert target.count() == 12
    assert list(CandidateBuilder(job_store, target).get_items()) == []


def test_a_job_that_ran_again_is_read_again(generations, job_store):
    validate = ValidateMaker().make(generations[:1])
    run(Flow([validate]), job_store)
    target = open_candidate_store("memory:")
    CandidateBuilder(job_store, target).run()
    job_store.docs_store._collection.update_one(
        {"uuid": validate.uuid}, {"$set": {"completed_at": "2999-01-01T00:00:00"}}
    )
    assert len(list(CandidateBuilder(job_store, target).get_items())) == 1


def test_an_output_that_is_not_understood_hides_no_other(generations, job_store, caplog):
    run(Flow([ValidateMaker().make(generations)]), job_store)
    job_store.update(
        {"uuid": "broken", "index": 1, "output": {"@class": "ValidateDoc"}, "completed_at": "1"}
    )
    target = open_candidate_store("memory:")
    CandidateBuilder(job_store, target).run()
    assert target.count() == 12
    assert "broken" in caplog.text


class TestAtomate2:
    """Relaxation jobs of atomate2 as they are, named by their metadata."""

    @staticmethod
    def documents_of(output, generations, job_store, *, names=None, **metadata) -> dict[str, dict]:
        run(Flow([ValidateMaker().make(generations[:1])]), job_store)
        target = open_candidate_store("memory:")
        CandidateBuilder(job_store, target).run()
        crystals = [n for n, item in documents(target).items() if item["parsed"]]
        wanted = {"candidate_id": crystals[0]} if names is None else {"candidate_ids": crystals[:2]}
        wanted |= metadata
        job_store.update(
            {"uuid": "r", "index": 1, "name": "relax", "metadata": wanted, "hosts": ["flow"],
             "completed_at": "2026", "output": output(documents(target), crystals)}
        )  # fmt: skip
        CandidateBuilder(job_store, target).run()
        return documents(target, run="r")

    def test_a_force_field_job_with_a_list(self, generations, job_store):
        def output(found, crystals):
            return [
                {"@class": "ForceFieldTaskDocument", "forcefield_name": "MLFF.CHGNet",
                 "is_force_converged": converged,
                 "output": {"structure": found[name]["structure"], "energy_per_atom": -3.0,
                            "n_steps": 7}}
                for name, converged in zip(crystals[:2], (True, False), strict=True)
            ]  # fmt: skip

        found = self.documents_of(output, generations, job_store, names=2)
        assert sorted(item["is_relaxed"] for item in found.values()) == [False, True]
        assert {item["energy_per_atom"] for item in found.values()} == {-3.0}
        assert {r["level"] for item in found.values() for r in item["relaxations"]} == {
            "forcefield"
        }

    @pytest.mark.slow
    def test_a_real_relaxation_with_chgnet(self, generations, job_store, tmp_path, monkeypatch):
        pytest.importorskip("chgnet")
        forcefields = pytest.importorskip("atomate2.forcefields.jobs")
        monkeypatch.chdir(tmp_path)
        crystals = [item for item in build_candidates(generations[:1]) if item.structure][:2]
        maker = forcefields.ForceFieldRelaxMaker(force_field_name="CHGNet", steps=50)
        relax = maker.make([item.structure for item in crystals])
        relax.update_metadata({"candidate_ids": [item.candidate_id for item in crystals]})
        run(Flow([ValidateMaker().make(generations[:1]), relax]), job_store)
        target = open_candidate_store("memory:")
        CandidateBuilder(job_store, target).run()
        found = documents(target, run=relax.uuid)
        assert set(found) == {item.candidate_id for item in crystals}
        for item in map(read_document, found.values()):
            assert item.is_relaxed is True
            assert item.energy_per_atom < -3
            assert item.relaxations[0].method.startswith("MLFF.CHGNet")
            assert item.relaxations[0].steps > 1
            assert item.symmetry.number in (221, 225)

    def test_a_vasp_job(self, generations, job_store):
        def output(found, crystals):
            return {"@class": "TaskDoc", "run_type": "PBE", "state": "successful",
                    "task_type": "Structure Optimization",
                    "structure": found[crystals[0]]["structure"],
                    "output": {"structure": found[crystals[0]]["structure"],
                               "energy_per_atom": -4.0}}  # fmt: skip

        (document,) = self.documents_of(output, generations, job_store).values()
        assert document["is_relaxed"] is True
        assert document["relaxations"][0]["level"] == "dft"
        assert document["relaxations"][0]["method"] == "VASP PBE"

    def test_a_relaxation_without_result_is_a_failed_one(self, generations, job_store):
        found = self.documents_of(
            lambda *_: None, generations, job_store, relax_maker="DoubleRelaxMaker"
        )
        (document,) = found.values()
        assert document["is_relaxed"] is False
        assert document["is_stable"] is not True
        assert document["structure"] is not None

    def test_a_job_that_others_have_replaced_is_no_failed_relaxation(self, generations, job_store):
        (document,) = self.documents_of(lambda *_: None, generations, job_store).values()
        assert (document["relaxations"], document["calculations"]) == ([], [])
        assert document["is_relaxed"] is None
        assert "r" in {item["job_uuid"] for item in document["origins"]}


class TestLargeFields:
    """A document that is too large is divided, not lost."""

    @pytest.fixture
    def blobs(self) -> MaggmaBlobs:
        return MaggmaBlobs(_empty())

    def test_large_fields_go_and_come_back(self, blobs):
        document = {"candidate_id": "a", "text": "x" * 400_000, "structure": {"sites": [1] * 9},
                    "provenance": {"prompt": "y" * 300_000, "tolerances": {}}}  # fmt: skip
        small = move_large_fields(document, blobs, max_bytes=100_000)
        assert set(small["text"]) == {"blob_uuid", "bytes"}
        assert small["structure"] == document["structure"]
        assert document["text"].startswith("xx")
        assert resolve_blobs(small, blobs) == document
        assert move_large_fields(document, blobs, max_bytes=100_000) == small
        assert blobs.store.count() == 2

    def test_many_relaxations_go_as_a_whole(self, blobs):
        entries = [{"structure": None, "failure_message": "z" * 200} for _ in range(2000)]
        document = {"candidate_id": "a", "relaxations": entries}
        small = move_large_fields(document, blobs, max_bytes=100_000)
        assert resolve_blobs(small, blobs) == document

    def test_a_missing_blob_is_told_in_one_line(self, blobs):
        small = move_large_fields(
            {"candidate_id": "a", "text": "x" * 400_000}, blobs, max_bytes=1000
        )
        with pytest.raises(ValueError, match="candidate a: text: its blob is missing"):
            resolve_blobs(small, MaggmaBlobs(_empty()))
        with pytest.raises(ValueError, match="store of blobs that is not given"):
            resolve_blobs(small, None)


def _empty() -> MemoryStore:
    store = MemoryStore(key="blob_uuid")
    store.connect()
    return store


def test_the_flow_maker_leaves_what_the_builder_needs(job_store, reciting):
    maker = CrystalGenerationFlowMaker(retrieve_maker=None)
    assert isinstance(maker, Maker)
    flow = run(maker.make([{"formula": "CaTiO3"}]), job_store)
    target = open_candidate_store("memory:")
    CandidateBuilder(job_store, target).run()
    (document,) = documents(target).values()
    assert [origin["name"] for origin in document["origins"]] == [
        "generate", "validate", "evaluate",
    ]  # fmt: skip
    assert flow.uuid in document["run_ids"]
