"""Rates over candidates: every one with its denominator, nothing dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymatgen.core import Structure

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.evaluation import (
    RATE_MEANINGS,
    evaluate,
    metrics_document,
    rate_meaning,
    rate_title,
)
from crystalicl_jobflow.schemas import Candidate, Condition, Evaluation, Rate, structure_columns
from crystalicl_jobflow.validation.success import with_properties

Make = Callable[..., Candidate]
SODIUM_CHLORIDE = Condition(formula="NaCl", space_group=225)


@pytest.fixture
def mixed(make: Make) -> list[Candidate]:
    """Six draws of NaCl in Fm-3m: right twice, wrong in four ways."""
    overlapping = NACL.replace("5.7 5.7 5.7", "1.5 1.5 1.5")
    texts = [NACL, NACL.replace("5.7 5.7 5.7", "5.6 5.6 5.6"), CSCL, "nonsense", overlapping, ""]
    return [make(t, condition=SODIUM_CHLORIDE, sample_index=i) for i, t in enumerate(texts)]


def counts(evaluation: Evaluation, name: str) -> tuple[int, int]:
    rate = evaluation.rates[name]
    assert rate.rate == (rate.count / rate.of if rate.of else None)
    return rate.count, rate.of


def test_a_text_that_is_no_crystal_fails_everything(mixed: list[Candidate]) -> None:
    evaluation = evaluate(mixed)
    assert evaluation.num_candidates == 6
    assert counts(evaluation, "parsed") == (4, 6)
    assert counts(evaluation, "formula") == (3, 6)
    assert counts(evaluation, "space_group") == (3, 6)
    assert counts(evaluation, "joint") == (3, 6)
    assert counts(evaluation, "valid") == (3, 6)
    assert counts(evaluation, "composition_valid") == (4, 6)
    assert counts(evaluation, "symmetry_adherence") == (3, 6)
    # 0.75 Å between Na and Cl: CDVAE's rule lets it pass, the radii do not
    assert counts(evaluation, "structure_valid") == (4, 6)
    assert counts(evaluation, "structure_valid_radii") == (3, 6)
    assert counts(evaluation, "overlap") == (1, 4)
    assert evaluation.reasons == {
        "empty": 1,
        "bad_space_group": 1,
        "atoms_overlap": 1,
        "symmetry_differs": 1,
    }


def test_a_contact_that_nobody_believes_is_not_valid(make: Make) -> None:
    """Sodium and chlorine 0.75 Å apart: both rules have their rates, 'valid' needs both."""
    evaluation = evaluate([make(NACL.replace("5.7 5.7 5.7", "1.5 1.5 1.5")), make(NACL)])
    assert counts(evaluation, "structure_valid") == (2, 2)
    assert counts(evaluation, "structure_valid_radii") == (1, 2)
    assert counts(evaluation, "valid") == (1, 2)
    rates = metrics_document(evaluation)["rates"]
    assert [rates[name]["count"] for name in ("structure_valid", "structure_valid_radii")] == [2, 1]
    assert rate_title("structure_valid") == "structure valid, 0.5 Å alone"


def test_only_what_was_asked_for_has_a_rate(make: Make) -> None:
    evaluation = evaluate(
        [
            make(NACL, condition=Condition(formula="NaCl")),
            make(CSCL, condition=Condition(num_sites=2), sample_index=1),
            make(FENI, sample_index=2),
        ]
    )
    assert counts(evaluation, "formula") == (1, 1)
    assert counts(evaluation, "num_sites") == (1, 1)
    assert counts(evaluation, "joint") == (2, 2)
    assert "space_group" not in evaluation.rates
    assert "joint" not in evaluate([make(NACL)]).rates


def test_every_rate_is_explained(mixed: list[Candidate], nacl: Structure) -> None:
    evaluation = evaluate(mixed, references={0: nacl})
    explained = {name for name in RATE_MEANINGS if "{n}" not in name}
    assert explained <= set(evaluation.rates)
    assert all(rate_meaning(name) for name in evaluation.rates)
    assert rate_meaning("match_at_7") == RATE_MEANINGS["match_at_{n}"].replace("{n}", "7")
    assert rate_meaning("luck") is None


def test_equal_crystals_count_once(mixed: list[Candidate]) -> None:
    evaluation = evaluate(mixed)
    # NaCl twice, CsCl, and the overlapping NaCl, which the matcher scales to the first
    assert counts(evaluation, "unique") == (2, 6)
    ids = [candidate.candidate_id for candidate in mixed]
    assert [row.get("duplicate_of") for row in evaluation.results] == [
        None, ids[0], None, None, ids[0], None,
    ]  # fmt: skip
    assert "unique" not in evaluate(mixed, unique=False).rates


def test_draws_and_redraws_are_counted(make: Make) -> None:
    evaluation = evaluate(
        [
            make(NACL, attempts=3, rejected={"empty": 1, "truncated": 1}),
            make("", attempts=6, rejected={"empty": 5}, finished=False),
        ]
    )
    assert counts(evaluation, "redrawn") == (2, 2)
    assert counts(evaluation, "finished") == (1, 2)
    assert counts(evaluation, "parsed_per_draw") == (1, 9)
    assert evaluation.metrics["draws"] == 9
    assert evaluation.metrics["rejected:empty"] == 6
    assert evaluation.metrics["rejected:truncated"] == 1


def test_a_text_is_no_draw_thrown_away_before_itself(make: Make) -> None:
    """As substitution once recorded the texts that it kept with a flaw."""
    evaluation = evaluate([make(NACL, attempts=1, rejected={"symmetry_differs": 1})])
    assert counts(evaluation, "parsed_per_draw") == (1, 1)


def test_a_property_that_nothing_predicts_has_no_rate(make: Make) -> None:
    condition = Condition(formula="NaCl", properties={"band_gap": 5.0})
    candidates = [
        make(NACL, condition=condition),
        make("nonsense", condition=condition, sample_index=1),
    ]
    evaluation = evaluate(candidates)
    assert evaluation.rates["band_gap"] == Rate(rate=None, count=0, of=0)
    assert evaluation.rates["joint"] == Rate(rate=None, count=0, of=0)
    assert evaluation.metrics["not_judged:band_gap"] == 1
    # once some have a value, those without count as failures: no rate over the easy ones
    candidates = [
        *(with_properties(c, {"band_gap": 5.1}) for c in candidates),
        make(NACL, condition=condition, sample_index=2),
    ]
    assert counts(evaluate(candidates), "band_gap") == (1, 3)


def test_adherence_where_no_group_is_declared(make: Make) -> None:
    xyz = "5.0 5.0 5.0\n90 90 90\nCs\n0.00 0.00 0.00"
    candidates = [
        make(xyz, text_format="xyz"),
        make("nonsense", text_format="xyz", sample_index=1),
    ]
    assert counts(evaluate(candidates), "parsed") == (1, 2)
    assert evaluate(candidates).rates["symmetry_adherence"].of == 0


def test_match_against_references(mixed: list[Candidate], nacl: Structure) -> None:
    for references in (
        {0: nacl},
        {candidate.candidate_id: nacl for candidate in mixed},
        [nacl] * len(mixed),
    ):
        evaluation = evaluate(mixed, references=references)
        # the overlapping one has the right structure at the wrong size
        assert counts(evaluation, "match") == (3, 6)
        assert counts(evaluation, "match_valid") == (3, 6)
        assert counts(evaluation, "match_any") == (1, 1)
        assert evaluation.metrics["rms"] == pytest.approx(0, abs=1e-6)
        assert [row["match"] for row in evaluation.results] == [
            True,
            True,
            False,
            False,
            True,
            False,
        ]


def test_the_gate_is_on_the_prediction(make: Make) -> None:
    # magnetite is real, but CDVAE's composition rule does not pass it
    magnetite = (
        "Fd-3m\n8.4 8.4 8.4\n90 90 90\nFe\n0.00 0.00 0.00\nFe\n0.62 0.62 0.62\nO\n0.38 0.38 0.38"
    )
    candidate = make(magnetite)
    assert candidate.structure is not None
    evaluation = evaluate([candidate], references=[candidate.structure])
    assert counts(evaluation, "match") == (1, 1)
    assert counts(evaluation, "match_valid") == (0, 1)
    assert evaluation.metrics["rms_valid"] is None


def test_candidates_without_reference_do_not_enter_the_match_rates(
    make: Make, nacl: Structure
) -> None:
    candidates = [make(NACL), make(CSCL, request_index=1), make(NACL, request_index=2)]
    evaluation = evaluate(candidates, references=[nacl, None, nacl])
    assert counts(evaluation, "match") == (2, 2)
    assert counts(evaluation, "match_any") == (2, 2)
    assert "match" not in evaluation.results[1]


def test_as_many_references_as_candidates(make: Make, nacl: Structure) -> None:
    with pytest.raises(ValueError, match="2 references for 1 candidates"):
        evaluate([make(NACL)], references=[nacl, nacl])


def test_rows_tell_each_candidates_fate(mixed: list[Candidate]) -> None:
    evaluation = evaluate(mixed)
    assert [row["candidate_id"] for row in evaluation.results] == [c.candidate_id for c in mixed]
    first, third = evaluation.results[0], evaluation.results[2]
    assert first["joint_success"] is True
    assert first["failure_reason"] is None
    assert third["success_formula"] is False
    assert third["success_space_group"] is False
    assert set(first) <= set(structure_columns(["formula", "space_group"]))
    assert third["failure_reason"] == "symmetry_differs"
    assert "221" in third["failure_message"]


def test_nothing_to_evaluate() -> None:
    evaluation = evaluate([])
    assert evaluation.num_candidates == 0
    assert evaluation.rates["parsed"] == Rate(rate=None, count=0, of=0)


def test_the_evaluation_survives_json_and_names_its_tolerances(mixed: list[Candidate]) -> None:
    evaluation = evaluate(mixed)
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation
    assert evaluation.tolerances["oxidation_states_set"] == "smact14"
    assert evaluation.tolerances["match_stol"] == 0.5
    assert evaluation.tolerances["unique_stol"] == 0.3
