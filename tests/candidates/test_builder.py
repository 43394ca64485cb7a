"""The candidates' own store: written once, found by what they are."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    open_candidate_store,
    query_candidates,
    store_candidates,
)
from crystalicl_jobflow.candidates.contributions import Part
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.schemas import Candidate, Condition, ConditionError, Generation
from crystalicl_jobflow.validation.validate import build_candidates
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT, RecitingGenerator


@pytest.fixture(scope="module")
def generations() -> list[Generation]:
    """Forty texts of four kinds, drawn once each."""
    return generate_for_retrievals(
        as_retrievals([{"formula": "CaTiO3"}, {"elements": ["Na"]}]),
        RecitingGenerator([PEROVSKITE, ROCK_SALT, NO_CRYSTAL, OVERLAPPING]),
        num_samples=20,
        constrain=False,
    )


@pytest.fixture(scope="module")
def candidates(generations) -> list[Candidate]:
    """Their candidates, with gaps that grow from 0 to 3.9 eV."""
    built = build_candidates(generations)
    for number, candidate in enumerate(built):
        candidate.properties["band_gap"] = number / 10
    return built


@pytest.fixture(params=["memory:", "candidates.json", "candidates.db", "mongodb"])
def store(request, tmp_path):
    """An empty store of candidates of each kind."""
    if request.param == "mongodb":
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        opened = open_candidate_store(f"{uri}/crystalicl_test/{tmp_path.name}")
        opened.remove_docs({})
        yield opened
        opened.remove_docs({})
        return
    named = request.param if request.param == "memory:" else str(tmp_path / request.param)
    yield open_candidate_store(named)


def ids(found) -> list[str]:
    return sorted(item.candidate_id for item in found)


def test_candidates_come_back_as_they_were(store, candidates):
    assert store_candidates(candidates, store) == 40
    found = {item.candidate_id: item for item in query_candidates(store)}
    assert len(found) == 40
    for candidate in candidates:
        stored = found[candidate.candidate_id]
        assert stored.model_dump(exclude={"created_at"}) == candidate.model_dump(
            exclude={"created_at"}
        )


def test_storing_again_changes_only_what_has_changed(store, candidates):
    store_candidates(candidates[:30], store)
    changed = candidates[3].model_copy(update={"properties": {"band_gap": 9.0}})
    written = store_candidates([changed, *candidates[4:]], store)
    assert store.count() == 40
    if not hasattr(store, "uri"):  # a server replaces in one go, whatever has changed
        assert written == 11
    (found,) = query_candidates(store, properties={"band_gap": (8, 10)})
    assert found.candidate_id == changed.candidate_id


def test_candidates_outlive_the_process(tmp_path, candidates):
    for name in ("candidates.json", "candidates.db"):
        store_candidates(candidates, open_candidate_store(str(tmp_path / name)))
        again = open_candidate_store(str(tmp_path / name), must_exist=True)
        assert ids(query_candidates(again)) == ids(candidates)


@pytest.mark.parametrize(
    ("asked", "meets"),
    [
        ({"formula": "Ca2Ti2O6"}, lambda c: c.formula_pretty == "CaTiO3"),
        ({"elements": ["O", "Ca"]}, lambda c: {"Ca", "O"} <= set(c.elements)),
        ({"elements": "Na"}, lambda c: "Na" in c.elements),
        ({"chemsys": "Na-Cl"}, lambda c: c.chemsys == "Cl-Na"),
        ({"space_group": 221}, lambda c: c.space_group == 221),
        ({"space_group": "Fm-3m"}, lambda c: c.space_group == 225),
        ({"space_group": [221, 225]}, lambda c: c.space_group in (221, 225)),
        ({"valid": True}, lambda c: c.valid),
        ({"valid": False}, lambda c: not c.valid),
        ({"properties": {"band_gap": (1, 2)}}, lambda c: 1 <= c.properties["band_gap"] <= 2),
        ({"properties": {"bandgap": ":0.5"}}, lambda c: c.properties["band_gap"] <= 0.5),
        ({"properties": {"band_gap": 0.7}}, lambda c: c.properties["band_gap"] == 0.7),
        (
            {"valid": True, "elements": ["Ca"], "properties": {"band_gap": "2:"}},
            lambda c: c.valid and "Ca" in c.elements and c.properties["band_gap"] >= 2,
        ),
        (
            {"criteria": {"failure_reason": "atoms_overlap"}},
            lambda c: c.checks.structure_valid is False,
        ),
    ],
    ids=lambda value: "meets" if callable(value) else str(value),
)
def test_candidates_are_found_by_what_they_are(store, candidates, asked, meets):
    store_candidates(candidates, store)
    expected = [candidate for candidate in candidates if meets(candidate)]
    assert expected
    assert ids(query_candidates(store, **asked)) == ids(expected)


def test_the_search_stops_at_the_limit(store, candidates):
    store_candidates(candidates, store)
    assert len(query_candidates(store, limit=7)) == 7


@pytest.mark.parametrize(
    "asked",
    [
        {"formula": "Xx"},
        {"space_group": 231},
        {"properties": {"band_gap": (2, 1)}},
        {"properties": {"colour": 1}},
    ],
    ids=lambda value: "meets" if callable(value) else str(value),
)
def test_an_impossible_search_is_told_in_one_line(asked):
    with pytest.raises(ConditionError) as error:
        query_candidates(open_candidate_store("memory:"), **asked)
    assert "\n" not in str(error.value)


@given(st.data())
def test_any_range_finds_what_lies_in_it(data):
    low = data.draw(st.floats(-1, 5))
    high = data.draw(st.floats(low, 5))
    store = open_candidate_store("memory:")
    gaps = data.draw(st.lists(st.floats(-1, 5), max_size=8))
    base = build_candidates(
        generate_for_retrievals(
            as_retrievals(Condition()), RecitingGenerator([NO_CRYSTAL]), constrain=False
        )
    )[0]
    made = [
        base.model_copy(
            update={"candidate_id": str(i), "properties": {"formation_energy_per_atom": e}}
        )
        for i, e in enumerate(gaps)
    ]
    store_candidates(made, store)
    found = query_candidates(store, properties={"formation_energy_per_atom": (low, high)})
    assert ids(found) == sorted(str(i) for i, e in enumerate(gaps) if low <= e <= high)


def test_a_store_with_another_key_is_refused(candidates):
    other = MemoryStore("outputs", key="task_id")
    other.connect()
    with pytest.raises(ValueError, match="'candidate_id', not 'task_id'"):
        store_candidates(candidates, other)


class TestBuilder:
    """Candidates of finished jobs, job by job."""

    @staticmethod
    def validate(generations, store: JobStore, **metadata) -> None:
        job = ValidateMaker().make(generations)
        job.update_metadata(metadata)
        run_locally(job, store=store, ensure_success=True, log=False)

    @pytest.fixture
    def job_store(self) -> JobStore:
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        store.connect()
        return store

    def test_a_second_run_does_only_what_is_new(self, generations, job_store):
        target = open_candidate_store("memory:")
        builder = CandidateBuilder(job_store, target)
        self.validate(generations[:1], job_store)
        builder.run()
        assert target.count() == 20
        assert list(builder.get_items()) == []
        self.validate(generations[1:], job_store)
        assert len(list(builder.get_items())) == 1
        builder.run()
        assert target.count() == 40

    def test_jobs_can_be_chosen(self, generations, job_store):
        target = open_candidate_store("memory:")
        self.validate(generations[:1], job_store, project="perovskites")
        self.validate(generations[1:], job_store, project="halides")
        CandidateBuilder(job_store, target, query={"metadata.project": "halides"}).run()
        assert {c.condition.elements for c in query_candidates(target)} == {("Na",)}

    @pytest.mark.parametrize(("target", "waits"), [("memory:", True), ("a.sqlite", False)])
    def test_stores_that_are_written_as_a_whole_are_written_seldom(
        self, candidates, job_store, tmp_path, target, waits
    ):
        target = open_candidate_store(target if waits else str(tmp_path / target))
        builder = CandidateBuilder(job_store, target)
        assert builder.is_large_enough([[Part("a")]])  # the store is empty
        store_candidates(candidates[:20], target)
        few, many = [[Part("a")] * 10, [Part("b")] * 9], [[Part("a")] * 10] * 2
        assert builder.is_large_enough(few) is not waits
        assert builder.is_large_enough(many)

    def test_lost_data_of_one_job_does_not_hide_the_others(self, generations, job_store, caplog):
        self.validate(generations[:1], job_store)
        job_store.additional_stores["data"].remove_docs({})
        self.validate(generations[1:], job_store)
        target = open_candidate_store("memory:")
        with caplog.at_level(logging.WARNING):
            CandidateBuilder(job_store, target).run()
        assert target.count() == 20
        assert "data is missing" in caplog.text
