"""One Maker per step: what it takes, what it returns, how it is changed and stored."""

from __future__ import annotations

import json
import logging

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import JSONStore, MemoryStore, MontyStore
from monty.json import MontyDecoder, jsanitize

from crystalicl_jobflow.generation.constraints import ConstraintOptions
from crystalicl_jobflow.jobs import EvaluateMaker, GenerateMaker, RetrieveMaker, ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_conditions, as_retrievals, log_progress
from crystalicl_jobflow.schemas import (
    Condition,
    ConditionError,
    Retrieval,
    SamplingParams,
    TreeSearch,
)
from crystalicl_jobflow.schemas.generation import GenerateDoc
from job_names import step
from reciting import PEROVSKITE

ASKED = Condition(formula="CaTiO3", space_group=221)


def memory_store() -> JobStore:
    return JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})


def run(job, **kwargs):
    """Run one job and return its output as another job would get it."""
    store = memory_store()
    run_locally(job, store=store, ensure_success=True, log=False, **kwargs)
    return job.output.resolve(store)


@pytest.mark.parametrize(
    "maker",
    [
        RetrieveMaker(pool="mongodb://host/db/pool", strategy="CF", shots=5, exclude_ids=["a"]),
        GenerateMaker(sampling=SamplingParams(seed=3), constrain=ConstraintOptions(max_atoms=9)),
        GenerateMaker(constrain=False, shard_size=10, adapter="none"),
        GenerateMaker(search=TreeSearch(simulations=20, energy="chgnet")),
        ValidateMaker(processes=2),
        EvaluateMaker(name="evaluate perovskites"),
    ],
    ids=lambda maker: maker.name,
)
def test_a_maker_survives_a_workflow_database(maker):
    stored = jsanitize(maker, strict=True, enum_values=True)
    assert MontyDecoder().process_decoded(stored) == maker
    # FireWorks takes what as_dict returns, and turns what is no plain data into its repr
    plain = json.loads(json.dumps(maker.as_dict()))
    assert MontyDecoder().process_decoded(plain) == maker


def test_a_pool_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RetrieveMaker(pool="pool.json").pool == str(tmp_path / "pool.json")
    assert RetrieveMaker(pool="pools/").pool == str(tmp_path / "pools") + "/"
    assert RetrieveMaker().pool == "prototypes"


def test_demonstrations_are_in_the_store_for_large_data_only():
    """A document of MongoDB ends at 16 MB."""
    store = memory_store()
    made = RetrieveMaker(shots=2).make([{"formula": "CaTiO3"}, {"formula": "NaCl"}])
    run_locally(made, store=store, ensure_success=True, log=False)
    document = json.dumps(jsanitize(store.docs_store.query_one()), default=str)
    assert "demonstration_id" not in document
    assert document.count('"blob_uuid"') == 1
    assert store.additional_stores["data"].count() == 1
    resolved = made.output.resolve(store)
    assert [len(item.demonstrations) for item in as_retrievals(resolved)] == [2, 2]


@pytest.mark.parametrize("pool", ["memory:", MemoryStore("pool")])
def test_a_pool_in_memory_is_refused(pool):
    with pytest.raises(ValueError, match="does not reach a job"):
        RetrieveMaker(pool=pool)


def test_stores_on_disk_are_taken_as_pools(tmp_path):
    for store in (
        JSONStore(str(tmp_path / "pool.json"), read_only=False),
        MontyStore("pool", database_path=str(tmp_path), storage="sqlite"),
    ):
        assert RetrieveMaker(pool=store).pool is store


@pytest.mark.parametrize(
    "given", [ASKED, [ASKED], {"formula": "CaTiO3", "space_group": "Pm-3m"}, [ASKED.model_dump()]]
)
def test_conditions_are_taken_one_or_many_in_any_form(given):
    assert as_conditions(given) == [ASKED]
    assert [item.condition for item in as_retrievals(given)] == [ASKED]
    assert as_retrievals(given)[0].shots == 0


def test_an_impossible_condition_is_told_in_one_line():
    with pytest.raises(ConditionError, match="Xx is not an element"):
        as_conditions({"formula": "Xx2O3"})


@pytest.mark.parametrize("options", [{"num_shards": 0}, {"shard_size": -1}, {"num_samples": 0}])
def test_numbers_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        GenerateMaker(**options)
    with pytest.raises(ValueError, match="not both"):
        GenerateMaker(num_shards=2, shard_size=2)


def test_generation_answers_conditions_without_demonstrations(reciting):
    doc = run(GenerateMaker(num_samples=3, constrain=False).make([ASKED, {"formula": "NaCl"}]))
    assert isinstance(doc, GenerateDoc)
    assert (doc.num_conditions, doc.num_samples, doc.num_completions) == (2, 6, 6)
    assert doc.num_missing == 0
    assert doc.model.engine == "reciting"
    assert doc.num_tokens == sum(c.num_tokens for g in doc.generations for c in g.completions)


def test_another_base_for_an_adapter_is_allowed_only_if_asked_for(reciting, monkeypatch):
    given = []

    def load(*_args, **options):
        given.append(options["allow_other_base"])
        return reciting

    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", load)
    for maker in (GenerateMaker(constrain=False), GenerateMaker("g", allow_other_base=True)):
        run(MontyDecoder().process_decoded(maker.as_dict()).make({"formula": "NaCl"}))
    assert given == [False, True]


def test_constraint_options_may_be_a_mapping(reciting):
    reciting.texts = [PEROVSKITE]
    doc = run(GenerateMaker(constrain={"max_atoms": 17}).make(ASKED))
    assert "at most 17 atoms" in doc.generations[0].completions[0].constraint


def test_the_model_is_asked_once_for_all_conditions(reciting):
    run(GenerateMaker(num_samples=2, constrain=False).make([ASKED, {"formula": "NaCl"}]))
    assert len(reciting.calls) == 1


def test_a_seed_can_be_changed_in_a_job_that_is_made(reciting):
    job = GenerateMaker(num_samples=20, constrain=False).make(ASKED)
    other = GenerateMaker(num_samples=20, constrain=False).make(ASKED)
    other.update_maker_kwargs({"sampling": {"seed": 1}})
    first, second = run(job), run(other)
    assert second.generations[0].sampling.seed == 1
    assert first.generations[0].completions != second.generations[0].completions


def test_candidates_and_rates_follow_from_plain_documents(reciting):
    generated = run(GenerateMaker(num_samples=12, constrain=False).make(ASKED))
    validated = run(ValidateMaker().make(generated))
    assert validated.num_candidates == 12
    one = run(ValidateMaker().make(generated.generations[0].model_dump()))
    assert [c.candidate_id for c in one.candidates] == [
        c.candidate_id for c in validated.candidates
    ]
    evaluation = run(EvaluateMaker().make(validated))
    assert evaluation.rates["valid"].count == validated.num_valid
    assert evaluation.rates["valid"].of == 12
    assert len(evaluation.results) == 12


@pytest.mark.parametrize("form", ["list", "places", "ids"])
def test_references_are_given_per_condition_or_per_candidate(reciting, form):
    reciting.texts = [PEROVSKITE]
    asked = [{"formula": "NaCl"}, ASKED]
    validated = run(
        ValidateMaker().make(run(GenerateMaker(num_samples=2, constrain=False).make(asked)))
    )
    truth = validated.candidates[-1].structure
    ours = [item for item in validated.candidates if item.condition == ASKED]
    references = {
        "list": [None, truth],
        "places": {1: truth},
        "ids": {item.candidate_id: truth for item in ours},
    }[form]
    evaluation = run(EvaluateMaker().make(validated, references))
    assert (evaluation.rates["match"].count, evaluation.rates["match"].of) == (2, 2)


def test_a_misspelt_attribute_is_refused_when_the_job_is_made():
    output = EvaluateMaker().make([]).output
    assert output.rates["joint"].attributes == (("a", "rates"), ("i", "joint"))
    with pytest.raises(AttributeError, match="does not have attribute 'rate'"):
        _ = output.rate
    with pytest.raises(AttributeError, match="does not have attribute 'candidate'"):
        _ = ValidateMaker().make([]).output.candidate
    assert ValidateMaker().make([]).output.structures is not None


class TestShards:
    """A generation divided among several jobs."""

    maker = GenerateMaker(num_samples=5, constrain=False)
    asked = (ASKED, Condition(formula="NaCl"), Condition(formula="NaCl"))

    def generate(self, **options):
        job = GenerateMaker(num_samples=5, constrain=False, **options).make(list(self.asked))
        store = memory_store()
        run_locally(job, store=store, ensure_success=True, log=False)
        return job.output.resolve(store), sorted(store.query(), key=lambda doc: doc["name"])

    @pytest.mark.parametrize(
        ("options", "count"),
        [({"num_shards": 2}, 2), ({"num_shards": 15}, 15), ({"shard_size": 4}, 4)],
    )
    def test_the_texts_are_those_of_one_job(self, reciting, options, count):
        whole, _ = self.generate()
        doc, stored = self.generate(**options)
        assert [g.completions for g in doc.generations] == [
            g.completions for g in whole.generations
        ]
        assert doc.num_shards == count
        assert doc.num_completions == doc.num_samples == 15
        assert [step(item["name"]) for item in stored if "/" in item["name"]] == sorted(
            f"generate {number}/{count}" for number in range(1, count + 1)
        )

    def test_one_shard_is_no_shard(self, reciting):
        doc, stored = self.generate(num_shards=1)
        assert doc.num_shards == 1
        assert [step(item["name"]) for item in stored] == ["generate"]

    def test_a_shard_that_fails_costs_its_own_texts_only(self, reciting, monkeypatch):
        generate = reciting.generate

        def fail_in_second(requests, *args, **kwargs):
            if len(reciting.calls) == 1:
                reciting.calls.append([])
                raise RuntimeError("CUDA error: device lost")
            return generate(requests, *args, **kwargs)

        whole, _ = self.generate()
        reciting.calls.clear()
        monkeypatch.setattr(reciting, "generate", fail_in_second)
        job = GenerateMaker(num_samples=5, constrain=False, num_shards=3).make(list(self.asked))
        validate = ValidateMaker().make(job.output.generations)
        store = memory_store()
        run_locally(Flow([job, validate]), store=store, log=False)
        doc = job.output.resolve(store)
        assert doc.missing_shards == [2]
        assert (doc.num_samples, doc.num_completions, doc.num_missing) == (15, 10, 5)
        assert [g.completions for g in doc.generations] == [
            whole.generations[0].completions,
            whole.generations[2].completions,
        ]
        assert validate.output.resolve(store).num_candidates == 10

    def test_nothing_is_made_up_where_all_shards_fail(self, reciting, monkeypatch):
        def fail(*args, **kwargs):
            raise RuntimeError("no GPU")

        monkeypatch.setattr(reciting, "generate", fail)
        job = GenerateMaker(num_samples=5, constrain=False, num_shards=2).make(ASKED)
        store = memory_store()
        run_locally(job, store=store, log=False)
        assert store.query_one({"name": "gather generations"}) is None

    def test_shards_go_where_the_job_was_sent_and_the_gathering_does_not(self, reciting):
        job = GenerateMaker(num_samples=4, constrain=False, num_shards=2).make(ASKED)
        job.config.manager_config = {"worker": "gpu"}
        responses = run_locally(job, store=memory_store(), ensure_success=True, log=False)
        workers = {
            step(item.name): item.config.manager_config.get("worker")
            for item, _ in responses[job.uuid][1].replace.iterflow()
        }
        assert workers == {"generate 1/2": "gpu", "generate 2/2": "gpu", "gather generations": None}

    def test_metadata_stays_on_the_job(self, reciting):
        job = GenerateMaker(num_samples=4, constrain=False, num_shards=2).make(ASKED)
        job.update_metadata({"project": "perovskites"})
        store = memory_store()
        run_locally(job, store=store, ensure_success=True, log=False)
        newest = store.query_one({"uuid": job.uuid}, sort={"index": -1})
        assert newest["metadata"]["project"] == "perovskites"
        assert newest["output"]["@class"] == "GenerateDoc"


def test_progress_is_logged_now_and_then_and_at_the_end(caplog):
    report = log_progress(logging.getLogger("crystalicl"), "generate", every=1000)
    with caplog.at_level(logging.INFO):
        for done in range(1, 11):
            report(done, 10)
    assert caplog.messages == ["generate: 10 of 10"]


def test_a_retrieval_is_taken_as_it_is():
    retrieval = Retrieval(condition=ASKED, strategy="R", shots=2, seed=4)
    assert as_retrievals([retrieval.model_dump()]) == [retrieval]


def test_best_of_counts_all_its_draws(reciting):
    sampling = {"best_of": 3, "max_redraws": 0}
    doc = run(GenerateMaker(num_samples=2, constrain=False, sampling=sampling).make(ASKED))
    assert (doc.num_samples, doc.num_completions, doc.num_draws) == (2, 2, 6)
    assert doc.num_tokens_drawn > doc.num_tokens
    assert [request.num_samples for request in reciting.calls[0]] == [6]


def test_a_search_writes_its_simulations(reciting):
    conditions = [ASKED, Condition(formula="CaTiO3"), Condition(formula="NaCl")]
    search = {"simulations": 6, "parallel": 2}
    whole = run(GenerateMaker(search=search, constrain=False).make(conditions))
    assert (whole.num_conditions, whole.num_samples, whole.num_completions) == (3, 18, 18)
    assert all(item.search == TreeSearch(**search) for item in whole.generations)
    rewards = [item.search.reward for one in whole.generations for item in one.completions]
    assert len(set(rewards)) > 1
    # jobs have whole conditions
    for options, count in (({"num_shards": 2}, 2), ({"shard_size": 6}, 3), ({"shard_size": 1}, 3)):
        parts = run(GenerateMaker(search=search, constrain=False, **options).make(conditions))
        assert parts.num_shards == count
        assert parts.num_samples == 18
        texts = [[item.completions for item in one.generations] for one in (whole, parts)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"search": {"simulation": 3}}, "search: simulation"),
        ({"search": {"simulations": 0}}, "search: simulations"),
        ({"search": {}, "num_samples": 3}, "must be 1"),
        ({"search": {}, "sampling": SamplingParams(best_of=2)}, "must be 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        GenerateMaker(**options)


def test_the_number_of_texts_of_a_search_is_that_of_its_simulations():
    maker = GenerateMaker(search=TreeSearch()).with_texts(7)
    assert (maker.num_samples, maker.search.simulations) == (1, 7)
    assert GenerateMaker().with_texts(7).num_samples == 7
