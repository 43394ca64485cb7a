"""What jobs say about a candidate becomes one document, in whatever order it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.candidates.contributions import (
    Part,
    candidate_part,
    evaluation_part,
    generation_parts,
    relaxation_part,
)
from crystalicl_jobflow.candidates.merging import merge, same
from crystalicl_jobflow.candidates.query import read_candidate, read_document
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.validation.validate import build_candidates
from reciting import NO_CRYSTAL, PEROVSKITE, RecitingGenerator

GENERATIONS = generate_for_retrievals(
    as_retrievals([{"formula": "CaTiO3", "space_group": 221}]),
    RecitingGenerator([PEROVSKITE]),
    num_samples=1,
    constrain=False,
)
(CANDIDATE,) = build_candidates(GENERATIONS)
ID = CANDIDATE.candidate_id


def origin(name: str, number: int, completed_at: str) -> dict:
    return {
        "name": name, "job_uuid": f"{name}-{number}", "job_index": 1, "job_name": name,
        "completed_at": completed_at,
    }  # fmt: skip


def from_job(part: Part, source: dict) -> Part:
    part.origins, part.stamp, part.run_ids = [source], source["completed_at"], {"flow-1"}
    return part


def relaxation(number: int, completed_at: str, *, strain: float, **fields) -> Part:
    structure = CANDIDATE.structure.copy()
    structure.apply_strain(strain)
    document = {
        "candidate_id": ID, "structure": structure.as_dict(), "converged": True,
        "level": "forcefield", "method": "CHGNet", **fields,
    }  # fmt: skip
    source = origin("relax", number, completed_at)
    return from_job(relaxation_part(document, source), source)


def evaluation(number: int, completed_at: str, **row) -> Part:
    source = origin("evaluate", number, completed_at)
    return from_job(evaluation_part({"candidate_id": ID, **row}, source), source)


def all_parts() -> list[Part]:
    (generated,) = generation_parts(GENERATIONS[0].model_dump(mode="json"))
    return [
        from_job(generated, origin("generate", 1, "2026-01-01T00:00:01")),
        from_job(
            candidate_part(CANDIDATE.model_dump(mode="json")),
            origin("validate", 1, "2026-01-01T00:00:02"),
        ),
        relaxation(1, "2026-01-01T00:00:03", strain=0.02, energy_above_hull=0.2),
        relaxation(2, "2026-01-01T00:00:04", strain=0.01, level="dft", energy_above_hull=-0.01),
        relaxation(3, "2026-01-01T00:00:05", strain=0.5, converged=False,
                   failure_reason="not_converged"),
        evaluation(1, "2026-01-01T00:00:06", novel=True, unique=True, rms=0.1),
        evaluation(2, "2026-01-01T00:00:07", novel=False, known_as="mp-1"),
        Part(ID, completes={"validate-1/1/x"}),
    ]  # fmt: skip


WHOLE = merge(None, all_parts())


@given(st.data())
def test_order_and_repetition_make_no_difference(data):
    parts = all_parts()
    order = data.draw(st.permutations(range(len(parts))))
    document = None
    for number in order:
        for _ in range(data.draw(st.integers(1, 2))):
            document = merge(document, [parts[number]])
    assert same(document, WHOLE)
    assert same(merge(document, parts), WHOLE)


def test_the_best_relaxation_counts_and_all_are_kept():
    document = read_document(WHOLE)
    assert [item.level for item in document.relaxations] == ["forcefield", "dft", "forcefield"]
    assert document.energy_above_hull == -0.01
    assert (document.is_stable, document.is_metastable, document.is_relaxed) == (True, True, True)
    assert document.structure.volume == pytest.approx(CANDIDATE.structure.volume * 1.01**3)
    assert document.density == pytest.approx(document.structure.density)
    assert document.generated.structure.volume == pytest.approx(CANDIDATE.structure.volume)


@given(order=st.permutations(range(4)))
def test_what_a_gathering_job_has_read_is_held_once(order):
    parts = [
        relaxation(1, "2026-01-01T00:00:03", strain=0.02),
        relaxation(2, "2026-01-01T00:00:04", strain=0.01, level="dft"),
        relaxation(3, "2026-01-01T00:00:05", strain=0.02, source_uuid="relax-1",
                   energy_above_hull=0.2),
        relaxation(4, "2026-01-01T00:00:06", strain=0.01, source_uuid="relax-2", level="dft",
                   energy_above_hull=-0.01),
    ]  # fmt: skip
    document = merge(None, all_parts()[:2])
    for number in order:
        document = merge(document, [parts[number]])
    sources = [item["source_uuid"] for item in document["relaxations"]]
    assert sources == ["relax-1", "relax-2"]
    assert document["energy_above_hull"] == -0.01
    # the jobs that did the work are named all the same
    named = {item["job_uuid"] for item in document["origins"]}
    assert {f"relax-{number}" for number in (1, 2, 3, 4)} <= named


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned round"])
def test_of_two_checks_of_a_text_the_later_counts(turned):
    document = CANDIDATE.model_dump(mode="json")
    parts = [
        from_job(candidate_part(document | {"valid": True}), origin("validate", 1, "2026-01-01")),
        from_job(candidate_part(document | {"valid": False}), origin("validate", 2, "2026-01-02")),
    ]
    merged = None
    for part in reversed(parts) if turned else parts:
        merged = merge(merged, [part])
    assert merged["valid"] is False
    assert merged["stage_at"] == "2026-01-02"


def test_of_two_checks_that_ended_at_once_the_one_read_last_counts():
    document = CANDIDATE.model_dump(mode="json")
    parts = [
        from_job(candidate_part(document | {"valid": flag}), origin("validate", n, "2026-01-01"))
        for n, flag in enumerate([True, False])
    ]
    assert merge(merge(None, parts[:1]), parts[1:])["valid"] is False
    assert merge(merge(None, parts[1:]), parts[:1])["valid"] is True


@pytest.mark.parametrize("second", ["2026-01-02", "2025-12-31"], ids=["later", "clock behind"])
def test_of_a_job_that_ran_twice_what_the_store_holds_now_counts(second):
    parts = [
        relaxation(1, "2026-01-01", strain=0.02, energy_above_hull=0.2),
        relaxation(1, second, strain=0.01, energy_above_hull=0.1),
    ]
    merged = merge(None, all_parts()[:2])
    for part in parts:
        merged = merge(merged, [part])
    assert [item["energy_above_hull"] for item in merged["relaxations"]] == [0.1]
    assert merged["energy_above_hull"] == 0.1


def test_a_job_that_failed_and_ran_again_leaves_no_failure():
    parts = [
        relaxation(1, "2026-01-01", strain=0.0, converged=False, failure_reason="failed"),
        relaxation(1, "2026-01-02", strain=0.01, level="dft", energy_above_hull=0.1),
    ]
    merged = merge(merge(None, [*all_parts()[:2], parts[0]]), [parts[1]])
    assert [item["level"] for item in merged["relaxations"]] == ["dft"]


def test_a_validation_that_ran_again_on_a_node_whose_clock_is_behind_counts():
    document = CANDIDATE.model_dump(mode="json")
    first = from_job(candidate_part(document | {"valid": False}), origin("validate", 1, "2026-02"))
    again = from_job(candidate_part(document | {"valid": True}), origin("validate", 1, "2026-01"))
    assert merge(merge(None, [first]), [again])["valid"] is True


def test_a_later_relaxation_that_did_not_converge_takes_nothing_over():
    parts = [
        relaxation(1, "2026-01-01", strain=0.02, energy_above_hull=0.05),
        relaxation(2, "2026-01-02", strain=0.01, energy_above_hull=-0.3, converged=False),
    ]
    merged = merge(None, [*all_parts()[:2], *parts])
    assert merged["energy_above_hull"] == 0.05
    assert (merged["is_relaxed"], merged["is_stable"], merged["is_metastable"]) == (
        True, False, True,
    )  # fmt: skip


def test_the_energies_of_a_document_are_of_one_method():
    evaluated = evaluation(
        1, "2026-01-01", energy_per_atom=-5.0, formation_energy_per_atom=-1.0,
        energy_above_hull=0.0, stable=True, energy_method="chgnet 0.3.0",
    )  # fmt: skip
    document = merge(None, [*all_parts()[:2], evaluated])
    assert (document["energy_method"], document["is_stable"]) == ("chgnet 0.3.0", True)
    relaxed = relaxation(
        2, "2026-01-02", strain=0.01, level="dft", energy_per_atom=-4.0, method="VASP r2SCAN"
    )
    document = merge(document, [relaxed])
    names = ("energy_per_atom", "formation_energy_per_atom", "energy_above_hull", "is_stable")
    assert [document[name] for name in names] == [-4.0, None, None, None]
    assert document["energy_method"] == "VASP r2SCAN"


def test_of_two_evaluations_by_two_models_no_energies_are_mixed():
    first = evaluation(1, "2026-01-01", energy_per_atom=-5.0, energy_above_hull=0.1)
    second = evaluation(2, "2026-01-02", energy_per_atom=-6.0, energy_method="other")
    document = merge(None, [*all_parts()[:2], first, second])
    assert (document["energy_per_atom"], document["energy_above_hull"]) == (-6.0, None)


def test_a_relaxation_with_a_formation_energy_counts_before_a_later_one_without():
    judged = relaxation(1, "2026-01-01", strain=0.0, energy_per_atom=-5.0,
                        formation_energy_per_atom=-1.0, energy_above_hull=0.02)  # fmt: skip
    tight = relaxation(2, "2026-01-02", strain=0.001, energy_per_atom=-5.001)
    document = merge(None, [*all_parts()[:2], judged, tight])
    assert (document["energy_per_atom"], document["energy_above_hull"]) == (-5.0, 0.02)


def test_a_computed_gap_counts_before_a_predicted_one():
    document = CANDIDATE.model_dump(mode="json") | {"properties": {"band_gap": 2.0}}
    predicted = merge(None, [candidate_part(document)])
    assert predicted["band_gap"] == 2.0
    computed = merge(predicted, [evaluation(1, "2026-01-01", band_gap=0.0)])
    assert (computed["band_gap"], computed["properties"]) == (0.0, {"band_gap": 2.0})


def test_later_evaluations_change_only_what_they_say():
    assert (WHOLE["is_novel"], WHOLE["known_as"], WHOLE["is_unique"]) == (False, "mp-1", True)
    assert WHOLE["evaluations"][0]["row"]["rms"] == 0.1


def test_everything_leads_back_to_its_job():
    names = [item["name"] for item in WHOLE["origins"]]
    assert names == ["generate", "validate", "relax", "relax", "relax", "evaluate", "evaluate"]
    assert WHOLE["run_ids"] == ["flow-1"]


def test_the_candidate_comes_back_as_the_validation_made_it():
    back = read_candidate(WHOLE)
    assert back.model_dump(exclude={"created_at"}) == CANDIDATE.model_dump(exclude={"created_at"})


@pytest.mark.parametrize("failure", [{"converged": False}, {"failure_reason": "failed"}])
def test_a_failed_relaxation_is_unstable_whatever_its_energy(failure):
    part = relaxation(1, "2026", strain=0.0, energy_above_hull=-1.0, **failure)
    document = merge(None, [*all_parts()[:2], part])
    assert (document["is_stable"], document["is_metastable"]) == (False, False)
    assert document["is_relaxed"] is False


def test_a_failed_relaxation_without_competitors_has_no_verdict():
    reason = "no competing phase of Na-Cl in the reference set"
    part = relaxation(
        1, "2026", strain=0.0, converged=False, failure_reason="failed", no_hull_reason=reason
    )
    document = merge(None, [*all_parts()[:2], part])
    assert (document["is_stable"], document["is_metastable"]) == (None, None)
    assert (document["is_relaxed"], document["no_hull_reason"]) == (False, reason)


def test_a_text_that_was_not_checked_is_there_and_says_so():
    document = read_document(merge(None, all_parts()[:1]))
    assert (document.stage, document.valid, document.structure) == ("generated", False, None)
    assert document.text == CANDIDATE.text
    assert document.condition == CANDIDATE.condition
    assert document.provenance.prompt == CANDIDATE.provenance.prompt


def test_a_text_that_is_no_crystal_has_a_document():
    generations = generate_for_retrievals(
        as_retrievals({"formula": "NaCl"}), RecitingGenerator([NO_CRYSTAL]), constrain=False
    )
    (candidate,) = build_candidates(generations)
    document = read_document(merge(None, [candidate_part(candidate.model_dump(mode="json"))]))
    assert (document.parsed, document.structure, document.elements) == (False, None, [])
    assert document.failure_reason is not None


def test_parts_of_two_candidates_are_refused():
    with pytest.raises(ValueError, match="2 candidates"):
        merge(None, [Part("a"), Part("b")])
