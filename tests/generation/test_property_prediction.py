"""Properties predicted by a language model: the question, the answer, and what is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.generation import GenerationRequest, load_generator
from crystalicl_jobflow.generation.property_prediction import DRAWN, predict_property, read_answer
from crystalicl_jobflow.prompts import property_prompt
from crystalicl_jobflow.schemas import (
    PROPERTIES,
    Completion,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.schemas.predictions import PropertyFailure, PropertyPrediction
from crystalicl_jobflow.text import SGS

ROCK_SALT = Structure(
    Lattice.from_parameters(4.02, 4.02, 4.02, 60, 60, 60), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
)
PEROVSKITE = Structure(
    Lattice.cubic(3.9),
    ["Ca", "Ti", "O", "O", "O"],
    [[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
)
TWO = {"salt": ROCK_SALT, "perovskite": PEROVSKITE}


class Scripted:
    """Answers every request with given texts, sample by sample."""

    def __init__(self, *texts: str, finished: bool = True) -> None:
        self.texts, self.finished = texts, finished
        self.requests: list[GenerationRequest] = []

    @property
    def versions(self) -> dict[str, str]:
        return {}

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(engine="scripted", base_model="texts")

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingParams, **_options: Any
    ) -> list[list[Completion]]:
        self.requests += requests
        return [
            [
                completion(self.texts[sample % len(self.texts)], finished=self.finished)
                for sample in range(request.num_samples)
            ]
            for request in requests
        ]


def completion(text: str, *, finished: bool = True) -> Completion:
    return Completion(
        request_index=0, sample_index=0, text=text, finished=finished, num_tokens=len(text)
    )


def predict(generator: Any, **options: Any) -> list[PropertyPrediction]:
    return predict_property(TWO, "formation_energy_per_atom", generator, **options)


def test_the_question_is_the_papers_about_the_crystals_text() -> None:
    scripted = Scripted(" -2.0")
    first, second = predict(scripted)
    name = "formation_energy_per_atom"
    assert first.prompt == property_prompt(name, SGS.format(SGS.analyze(ROCK_SALT)))
    assert (first.crystal_id, first.formula, first.unit) == ("salt", "NaCl", "eV/atom")
    assert (first.value, second.value) == (-2.0, -2.0)
    assert first.constraint == "one number with at most 4 decimals"
    assert first.sampling is not None
    assert first.sampling.top_k == 1


def test_several_answers_give_their_median() -> None:
    prediction, _ = predict(Scripted(" -2.0", " -9.0", " -1.0"), samples=3)
    assert prediction.value == -2.0
    assert [answer.value for answer in prediction.answers] == [-2.0, -9.0, -1.0]
    assert prediction.sampling == DRAWN


def test_answers_that_are_no_number_do_not_count() -> None:
    prediction, _ = predict(Scripted("metallic", " -1.0", " -3.0"), samples=3, constrain=False)
    assert prediction.value == -2.0
    assert prediction.reason is None
    assert prediction.answers[0].reason is PropertyFailure.NOT_A_NUMBER
    assert prediction.constraint is None


@pytest.mark.parametrize(
    ("text", "name", "value", "reason"),
    [
        (" -1.5", "formation_energy_per_atom", -1.5, None),
        ("\n-1.5 eV/atom.", "formation_energy_per_atom", -1.5, None),
        (" 2", "band_gap", 2.0, None),
        (" 1e-3", "band_gap", 1e-3, None),
        (" -0.5", "band_gap", None, "out_of_range"),
        (" -0.02", "energy_above_hull", -0.02, None),
        ("", "band_gap", None, "empty"),
        (" \n", "band_gap", None, "empty"),
        (" about 2", "band_gap", None, "not_a_number"),
        (" 1.0 2.0", "band_gap", None, "not_a_number"),
        (" nan", "band_gap", None, "not_a_number"),
        (" 1e999", "band_gap", None, "out_of_range"),
    ],
)
def test_what_an_answer_says(text, name, value, reason) -> None:
    answer = read_answer(completion(text), PROPERTIES[name])
    assert (answer.text, answer.value, answer.reason) == (text, value, reason)


def test_an_answer_that_was_cut_off_is_none() -> None:
    prediction, _ = predict(Scripted(" -1.2", finished=False))
    assert (prediction.value, prediction.reason) == (None, PropertyFailure.TRUNCATED)
    assert prediction.message == "the model did not come to an end"


def test_a_crystal_that_cannot_be_read_keeps_its_place() -> None:
    asked = {"bad": "data_nothing\n", "salt": ROCK_SALT.to(fmt="cif"), "dict": ROCK_SALT.as_dict()}
    bad, salt, as_dict = predict_property(asked, "band_gap", Scripted(" 5.0"))
    assert (bad.crystal_id, bad.value, bad.reason) == ("bad", None, PropertyFailure.NOT_READ)
    assert bad.message is not None
    assert bad.message.startswith("the crystal cannot be read: ")
    assert salt.value == as_dict.value == 5.0


def test_the_alpaca_form_has_an_answer_without_a_blank() -> None:
    scripted = Scripted("5.0")
    prediction, _ = predict(scripted, template="alpaca", text_format="xyz")
    assert prediction.prompt.endswith("### Response:\n")
    (constraint,) = {request.constraint for request in scripted.requests}
    assert constraint is not None
    assert constraint.may_begin("5")  # type: ignore[attr-defined]


def test_mistakes_are_told_before_a_model_is_loaded() -> None:
    def load() -> Any:
        raise AssertionError("the model was loaded")

    for options, message in (
        (
            {"property_name": "colour"},
            "property 'colour' is not known; there are energy_above_hull",
        ),
        ({"samples": 0}, "at least 1, got 0"),
        ({"template": "vicuna"}, "'vicuna' is not one of"),
        ({"text_format": "poscar"}, "'poscar' is not one of"),
    ):
        asked = {"property_name": "band_gap", **options}
        with pytest.raises(ValueError, match=message):
            predict_property(TWO, generator=load, **asked)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def embedded() -> Any:
    return load_generator("embedded", device="cpu")


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_the_embedded_model_always_answers_with_a_number(embedded, name) -> None:
    predictions = predict_property(TWO, name, embedded, samples=4)
    for prediction in predictions:
        assert prediction.value is not None
        assert all(answer.reason is None for answer in prediction.answers)
        assert len({answer.text for answer in prediction.answers}) <= 4


def test_answers_do_not_depend_on_the_company_but_on_the_seed(embedded) -> None:
    options: dict[str, Any] = {"samples": 6}
    alone = predict_property({"other": ROCK_SALT}, "formation_energy", embedded, **options)[0]
    beside = predict(embedded, **options)[0]
    assert [a.text for a in alone.answers] == [a.text for a in beside.answers]
    assert len({a.text for a in alone.answers}) > 1
    seeded = predict(embedded, sampling=DRAWN.model_copy(update={"seed": 1}), **options)[0]
    assert [a.text for a in seeded.answers] != [a.text for a in beside.answers]


def test_crystals_come_as_people_hold_them() -> None:
    atoms = ROCK_SALT.to_ase_atoms()

    def answers(crystals: Any) -> list[tuple[str, str | None, float | None]]:
        found = predict_property(crystals, "formation_energy_per_atom", Scripted("-2.1"))
        return [(item.crystal_id, item.formula, item.value) for item in found]

    assert answers({"mine": atoms}) == [("mine", "NaCl", -2.1)]
    assert answers(atoms) == answers(ROCK_SALT) == [("0", "NaCl", -2.1)]
    assert answers([atoms, PEROVSKITE]) == [("0", "NaCl", -2.1), ("1", "CaTiO3", -2.1)]
