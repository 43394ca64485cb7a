"""Candidates with predicted properties: what is judged, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from crystalicl_jobflow.energies import judge_properties, predictors_for
from crystalicl_jobflow.schemas import Candidate, Completion, Condition, FailureReason, Generation
from crystalicl_jobflow.validation.validate import validate_completion

NACL = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
Write = Callable[..., tuple[Completion, Generation]]


def constant(name: str, value: float | None) -> Any:
    return SimpleNamespace(
        property_name=name,
        name="constant",
        version="1",
        predict=lambda crystals: [None if item is None else value for item in crystals],
    )


def candidate(write: Write, text: str = NACL, **asked: Any) -> Candidate:
    return validate_completion(*write(text, condition=Condition.build(**asked)))


def test_a_property_asked_for_is_judged(write: Write) -> None:
    before = candidate(write, formula="NaCl", properties={"band_gap": 5.0})
    assert before.success == {"formula": True, "band_gap": None}
    assert before.joint_success is None
    (after,) = judge_properties([before], [constant("band_gap", 4.6)])
    assert after.success == {"formula": True, "band_gap": True}
    assert after.joint_success is True
    assert after.failure_reason is None
    assert after.properties == {"band_gap": 4.6}
    assert after.provenance.versions["predictor:band_gap"] == "constant 1"
    # the document that came in is as it was
    assert before.properties == {}
    assert "predictor:band_gap" not in before.provenance.versions


def test_a_missed_property_is_the_reason(write: Write) -> None:
    before = candidate(write, formula="NaCl", properties={"band_gap": 1.0})
    (after,) = judge_properties([before], [constant("band_gap", 4.6)])
    assert after.joint_success is False
    assert after.failure_reason == FailureReason.CONDITION_NOT_MET
    assert after.failure_message == "The band gap is 4.6, asked for was 1."
    # a better predictor takes the reason away again
    (again,) = judge_properties([after], [constant("band_gap", 1.2)])
    assert again.failure_reason is None
    assert again.joint_success is True


def test_what_is_unphysical_stays_the_reason(write: Write) -> None:
    squeezed = NACL.replace("5.7", "1.9")
    before = candidate(write, squeezed, properties={"formation_energy_per_atom": -1.0})
    assert before.failure_reason == FailureReason.ATOMS_OVERLAP
    (after,) = judge_properties([before], [constant("formation_energy_per_atom", 2.0)])
    assert after.failure_reason == FailureReason.ATOMS_OVERLAP
    assert after.success["formation_energy_per_atom"] is False


def test_a_text_that_is_no_crystal_stays_what_it_is(write: Write) -> None:
    before = candidate(write, "nonsense", properties={"band_gap": 1.0})
    (after,) = judge_properties([before], [constant("band_gap", 1.0)])
    assert after == before
    assert after.success == {"band_gap": False}


def test_without_a_value_nothing_is_judged(write: Write) -> None:
    before = candidate(write, formula="NaCl", properties={"band_gap": 1.0})
    (after,) = judge_properties([before], [constant("band_gap", None)])
    assert after.success["band_gap"] is None
    assert after.joint_success is None


@pytest.mark.parametrize("text", [NACL, NACL.replace("5.7", "1.9"), "nonsense"])
def test_the_same_judgement_as_with_all_checks_anew(write: Write, text: str) -> None:
    asked = Condition.build(formula="NaCl", space_group=225, properties={"band_gap": 1.0})
    completion, generation = write(text, condition=asked)
    before = validate_completion(completion, generation)
    (quick,) = judge_properties([before], [constant("band_gap", 1.3)])
    whole = validate_completion(completion, generation, properties={"band_gap": 1.3})
    for name in ("success", "joint_success", "failure_reason", "failure_message", "checks"):
        assert getattr(quick, name) == getattr(whole, name)


def test_predictors_are_loaded_for_what_is_asked_and_can_be_predicted() -> None:
    asked = [
        Condition.build(formula="NaCl", properties={"band_gap": 1.0}),
        Condition.build(properties={"band_gap": 2.0, "energy_above_hull": 0.0}),
    ]
    (found,) = predictors_for(asked)
    assert (found.property_name, found.name) == ("band_gap", "trees")
    assert predictors_for([Condition.build(formula="NaCl")]) == []
    with pytest.raises(ValueError, match="no predictor 'oracle' of band_gap"):
        predictors_for(asked, names={"band_gap": "oracle"})


def test_another_models_value_does_not_stand_for_one_that_has_none(write: Write) -> None:
    before = candidate(write, formula="NaCl", properties={"band_gap": 1.0})
    (first,) = judge_properties([before], [constant("band_gap", 4.6)])
    assert first.joint_success is False
    (second,) = judge_properties([first], [constant("band_gap", None)])
    assert second.properties == {}
    assert second.success == {"formula": True, "band_gap": None}
    assert (second.joint_success, second.failure_reason) == (None, None)
