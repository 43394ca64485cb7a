"""EvaluateMaker: reference sets in any form, rows in the additional store."""

from __future__ import annotations

import pytest
from jobflow import Flow, JobStore, job, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.jobs import EvaluateMaker
from crystalicl_jobflow.jobs._inputs import as_crystals
from crystalicl_jobflow.schemas import Candidate, Completion, Generation, ModelInfo, SamplingParams
from crystalicl_jobflow.schemas.base import ROWS_SIZE
from crystalicl_jobflow.schemas.evaluation import EvaluateDoc
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation, RelaxDoc
from crystalicl_jobflow.validation.validate import build_candidates

CSCL = "Pm-3m\n4.1 4.1 4.1\n90 90 90\nCs\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"


def memory_store() -> JobStore:
    return JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})


@pytest.fixture
def cscl() -> Structure:
    return Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def candidates() -> list[Candidate]:
    texts = [CSCL, CSCL.replace("Cs", "Rb"), "nonsense"]
    generation = Generation(
        condition={},
        prompt="",
        sampling=SamplingParams(),
        model=ModelInfo(engine="by hand", base_model="nobody"),
        completions=[
            Completion(request_index=0, sample_index=i, text=text, finished=True, num_tokens=9)
            for i, text in enumerate(texts)
        ],
    )
    return build_candidates([generation])


@job
def known_crystals(structure):
    return [structure]


@pytest.mark.parametrize("form", ["reference", "list", "csv"])
def test_a_reference_set_in_any_form(form, cscl, candidates, tmp_path):
    store = memory_store()
    jobs = []
    if form == "reference":
        jobs = [known_crystals(cscl)]
        reference = jobs[0].output
    elif form == "list":
        reference = [cscl]
    else:
        import pandas as pd

        reference = str(tmp_path / "known.csv")
        row = {"material_id": "mp-22865", "cif": cscl.to(fmt="cif")}
        pd.DataFrame([row]).to_csv(reference, index=False)
    evaluate = EvaluateMaker(novelty=True).make(candidates, reference_set=reference)
    run_locally(Flow([*jobs, evaluate]), store=store, ensure_success=True, log=False)
    document = evaluate.output.resolve(store)
    assert isinstance(document, EvaluateDoc)
    assert (document.rates["novel"].count, document.rates["novel"].of) == (1, 3)
    assert document.results[0]["known_as"] == ("mp-22865" if form == "csv" else "0")
    assert document.metrics["wasserstein:num_elements"] == 0


def test_rows_lie_in_the_additional_store(candidates):
    store = memory_store()
    evaluate = EvaluateMaker().make(candidates)
    run_locally(evaluate, store=store, ensure_success=True, log=False)
    (document,) = store.query()
    assert candidates[0].candidate_id not in str(document["output"])
    rows, crystals = store.additional_stores["data"].query()
    assert candidates[0].candidate_id in str(rows)
    assert candidates[0].candidate_id in str(crystals)
    assert [row["formula_pretty"] for row in evaluate.output.resolve(store).results] == [
        "CsCl",
        "RbCl",
        None,
    ]
    valid = [item for item in candidates if item.valid]
    found = evaluate.output.resolve(store)
    assert found.structures == [item.structure for item in valid]
    assert found.candidate_ids == [item.candidate_id for item in valid]


def test_many_rows_are_divided_and_read_as_one_list():
    rows = [{"candidate_id": str(i)} for i in range(2 * ROWS_SIZE + 1)]
    document = EvaluateDoc(num_candidates=len(rows), results=rows)
    stored = document.model_dump(mode="json")
    assert [len(blob["batch"]) for blob in stored["results"]] == [ROWS_SIZE, ROWS_SIZE, 1]
    assert EvaluateDoc.model_validate(stored) == document


def test_crystals_from_documents_keep_their_ids(cscl, candidates):
    assert as_crystals(None) is None
    data = as_crystals(candidates[:2])
    assert data.ids == [candidate.candidate_id for candidate in candidates[:2]]
    data = as_crystals({"a": cscl, "b": {"structure": cscl.as_dict()}})
    assert data.ids == ["a", "b"]
    assert data.structures == [cscl, cscl]
    with pytest.raises(ValueError, match="known crystal 0 holds no structure"):
        as_crystals([{"formula": "CsCl"}])


def test_relaxations_from_another_job(cscl, candidates):
    relaxed = CandidateRelaxation(
        candidate_id=candidates[0].candidate_id,
        structure=cscl,
        energy_above_hull=0.05,
        converged=True,
    )
    document = RelaxDoc.from_relaxations([relaxed])
    for given in (document, [relaxed, None], document.model_dump(mode="json")):
        store = memory_store()
        evaluate = EvaluateMaker().make(candidates, relaxations=given)
        run_locally(evaluate, store=store, ensure_success=True, log=False)
        rates = evaluate.output.resolve(store).rates
        assert (rates["metastable"].count, rates["metastable"].of) == (1, 1)
        assert (rates["stable"].count, rates["stable"].of) == (0, 1)


def test_whether_a_crystal_is_stable_is_open_where_nothing_tells(cscl, candidates):
    def relaxed(place: int, **fields) -> CandidateRelaxation:
        return CandidateRelaxation(
            candidate_id=candidates[place].candidate_id, structure=cscl, **fields
        )

    found = [
        relaxed(0, converged=True, energy_above_hull=-0.1, level="forcefield"),
        # a run of a higher level that left nothing does not undo a lower one
        CandidateRelaxation(
            candidate_id=candidates[0].candidate_id, level="dft", failure_reason="failed"
        ),
        relaxed(1, converged=False, energy_above_hull=-0.2, failure_reason="not_converged"),
    ]
    store = memory_store()
    evaluate = EvaluateMaker().make(candidates, relaxations=found)
    run_locally(evaluate, store=store, ensure_success=True, log=False)
    document = evaluate.output.resolve(store)
    told = [(row.get("stable"), row.get("relaxed")) for row in document.results]
    assert told == [(True, True), (False, False), (None, None)]
    # the third was not relaxed: nothing could judge it
    assert (document.rates["stable"].count, document.rates["stable"].of) == (1, 2)
    assert (document.rates["relaxed"].count, document.rates["relaxed"].of) == (1, 3)
