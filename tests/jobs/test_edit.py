"""The editing job, alone and in a Flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow import EditMaker
from crystalicl_jobflow.jobs import EvaluateMaker, GenerateMaker
from crystalicl_jobflow.schemas import TreeSearch
from crystalicl_jobflow.schemas.candidate import EditDoc
from crystalicl_jobflow.schemas.evaluation import Evaluation
from reciting import PEROVSKITE, RecitingGenerator


@pytest.fixture(scope="module")
def rutile() -> Structure:
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )


def run(*jobs: Any) -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(Flow(list(jobs)), store=store, ensure_success=True, log=False)
    return store


@pytest.fixture(scope="module")
def done(rutile: Structure, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, JobStore]:
    """An edit with the model that ships, and the evaluation of what it gave."""
    from crystalicl_jobflow.settings import SETTINGS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SETTINGS, "RESUME_DIR", str(tmp_path_factory.mktemp("unfinished")))
        job = EditMaker(substitute={"Ti": ["Sn", "Ge"]}, samples=2).make({"rutile": rutile})
        judged = EvaluateMaker().make(job.output.candidates)
        return job, judged, run(job, judged)


def test_every_crystal_is_a_candidate_with_its_parent(done: tuple[Any, Any, JobStore]) -> None:
    job, _, store = done
    document = job.output.resolve(store)
    assert isinstance(document, EditDoc)
    assert document.num_candidates == 4
    assert document.parent_ids == ["rutile"]
    assert document.new_candidates == document.valid_candidates
    for candidate in document.candidates:
        edit = candidate.provenance.edit
        assert edit is not None
        assert (edit.parent_id, edit.parent_formula) == ("rutile", "TiO2")
        assert edit.matches_parent is False
        assert edit.substitution_probability is not None
    formulas = [item.formula_pretty for item in document.candidates]
    assert formulas == ["SnO2"] * 2 + ["GeO2"] * 2


def test_what_follows_takes_its_output(done: tuple[Any, Any, JobStore]) -> None:
    job, judged, store = done
    evaluation = judged.output.resolve(store)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.num_candidates == 4
    assert len(job.output.structures.resolve(store)) == 4


def test_texts_and_structures_are_in_the_store_for_large_data(
    done: tuple[Any, Any, JobStore],
) -> None:
    document = json.dumps(
        jsanitize(done[2].docs_store.query_one({"name": {"$regex": "^edit"}})), default=str
    )
    assert "parent_id" not in document
    assert '"blob_uuid"' in document


def test_a_job_waits_for_the_crystal_of_another(
    monkeypatch: pytest.MonkeyPatch, rutile: Structure
) -> None:
    recites = RecitingGenerator([PEROVSKITE])
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: recites)
    first = EditMaker(name="first", mutate=True, shots=0, samples=1).make({"rutile": rutile})
    second = EditMaker(mask="O", shots=0, samples=1).make(first.output.candidates)
    store = run(first, second)
    (parent,) = first.output.resolve(store).candidates
    (child,) = second.output.resolve(store).candidates
    assert child.provenance.edit.parent_id == parent.candidate_id
    assert child.provenance.edit.matches_parent is True  # it is recited again


@pytest.mark.parametrize(
    "maker",
    [
        EditMaker(substitute={"Ti": ["Zr", "Hf"]}, samples=3),
        EditMaker(mask=["O 4c", "2"], elements=["O", "F"], redraw=["cell"]),
        EditMaker(mutate=True, formula="SnO2", generate=GenerateMaker(text_format="sgsw")),
        EditMaker(complete=True, pool="pool.json"),
    ],
)
def test_a_maker_survives_a_workflow_database(maker: EditMaker) -> None:
    stored = jsanitize(maker, strict=True, enum_values=True)
    assert MontyDecoder().process_decoded(stored) == maker
    plain = json.loads(json.dumps(maker.as_dict(), default=str))
    assert MontyDecoder().process_decoded(plain) == maker


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "none is given"),
        ({"mutate": True, "mask": "O"}, "mask and mutate are given"),
        ({"substitute": "Ti=Xx"}, "'Xx' is not an element"),
        ({"mutate": True, "samples": 0}, "samples must be at least 1"),
        ({"mutate": True, "generate": GenerateMaker(search=TreeSearch())}, "search"),
        ({"mutate": True, "generate": GenerateMaker(base_model="substitution")}, "cannot edit"),
        ({"mutate": True, "generate": GenerateMaker(constrain=False)}, "constraint"),
        ({"mutate": True, "generate": GenerateMaker(text_format="cif")}, "sgs"),
        ({"mutate": True, "redraw": ["atoms"]}, "redraw"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_job(options: Any, words: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=words) as caught:
        EditMaker(**options)
    assert "\n" not in str(caught.value)


def test_a_file_is_read_where_the_job_runs(
    tmp_path: Path, rutile: Structure, reciting: RecitingGenerator
) -> None:
    rutile.to(filename=str(tmp_path / "TiO2.cif"))
    job = EditMaker(mutate=True, shots=0, samples=1).make(str(tmp_path / "TiO2.cif"))
    assert job.output.resolve(run(job)).parent_ids == ["TiO2"]
