"""Copies of demonstrations become likelier, as long as a text keeps to one."""

from __future__ import annotations

import numpy as np
import pytest

from crystalicl_jobflow.generation.base import GenerationRequest, TokenVocabulary
from crystalicl_jobflow.generation.copying import CELL_SHARE, CopyPrior
from crystalicl_jobflow.generation.generate import build_constraints
from crystalicl_jobflow.generation.loading import load_generator
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.generation.vocabulary import read_pieces
from crystalicl_jobflow.prompts import crystal_prompt, response_text
from crystalicl_jobflow.schemas import Condition, SamplingParams
from crystalicl_jobflow.training import BaseSize, build_base_model, build_tokenizer
from crystalicl_jobflow.training.base_model import save_base

CELL = "Cmcm\n4.0 10.0 5.0\n90 90 90\n"
SHOWN = CELL + "Sm\n0.00 0.09 0.25\nSm\n0.00 0.77 0.25\nMg\n0.00 0.43 0.25"
ASKED = Condition(formula="Gd2Zn", space_group=63)


class Trial:
    def __init__(self, formula: str = "Sm2Mg") -> None:
        self.tokenizer = build_tokenizer()
        pieces = read_pieces(self.tokenizer)
        self.vocabulary = TokenVocabulary(
            [piece.decode("utf-8", "replace") for piece in pieces],
            (self.tokenizer.eos_token_id,),
            pieces,
        )
        self.prior = CopyPrior(self.vocabulary, 2.0)
        sentence = f"The chemical formula is {formula}. The spacegroup number is 63."
        self.prompt = crystal_prompt(ASKED, [(sentence, SHOWN)])
        self.ids = np.arange(len(self.vocabulary))

    def raised(self, text: str) -> dict[str, float]:
        """Return what is raised after the lines of a text that has been begun."""
        prompt_ids = tuple(self.tokenizer(self.prompt)["input_ids"])
        request = GenerationRequest(prompt=self.prompt, key="trial")
        row = Row(request, 0, 0, prompt_ids, SamplingParams(), self.vocabulary)
        written = self.tokenizer(text and response_text(text), add_special_tokens=False)
        row.tokens = list(written["input_ids"])
        if row.tokens and row.tokens[0] == self.tokenizer.bos_token_id:
            row.tokens.pop(0)
        bonus = self.prior.bonus(row, self.ids)
        return {
            self.vocabulary.strings[token] or "end": float(bonus[token])
            for token in np.flatnonzero(bonus).tolist()
        }


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial()


def test_the_group_is_left_to_the_model(trial: Trial) -> None:
    assert trial.raised("") == {}


def test_lengths_keep_their_ratios(trial: Trial) -> None:
    first = trial.raised("Cmcm")
    assert first["\n### 4.0"] == first["\n### 4.4"] == pytest.approx(2 * CELL_SHARE)
    assert "\n### 5.0" not in first
    second = trial.raised("Cmcm\n4.4")
    assert {" 10.6", " 11.0", " 11.4"} <= second.keys()
    assert " 10.0" not in second
    angles = trial.raised("Cmcm\n4.4 11.0 5.5")
    assert {"\n### 90", "\n### 88"} <= angles.keys()
    assert "\n### 80" not in angles


def test_elements_of_the_same_amount_stand_for_each_other(trial: Trial) -> None:
    start = CELL
    assert trial.raised(start) == {"\n### Gd": 2.0}
    one = start + "Gd\n0.00 0.09 0.25\n"
    assert trial.raised(one) == {"\n### Gd": 2.0}
    assert trial.raised(one + "Gd\n0.00 0.77 0.25\n") == {"\n### Zn": 2.0}


def test_the_same_coordinate_is_raised_most(trial: Trial) -> None:
    found = trial.raised(CELL + "Gd\n0.00")
    assert found[" 0.09"] == 2.0
    assert found[" 0.11"] == found[" 0.06"] == 1.0
    assert " 0.13" not in found


def test_the_end_is_where_it_was(trial: Trial) -> None:
    text = SHOWN.replace("Sm", "Gd").replace("Mg", "Zn")
    assert trial.raised(text) == {"end": 2.0}


@pytest.mark.parametrize(
    "left",
    [
        CELL + "Gd\n0.00 0.20 0.25\nGd",
        CELL + "Zn\n0.00 0.09 0.25\nGd",
        CELL.replace("Cmcm", "Cmmm") + "Gd\n0.00",
    ],
    ids=["another place", "another element", "another group"],
)
def test_a_text_that_goes_its_own_way_is_left_alone(trial: Trial, left: str) -> None:
    assert trial.raised(left) == {}


def test_another_stoichiometry_says_nothing() -> None:
    assert Trial("SmMg").raised(CELL) == {}


def test_a_model_has_a_bias_of_its_own_unless_another_is_asked_for(trial: Trial, tmp_path) -> None:
    model = build_base_model(trial.tokenizer, BaseSize(32, 1, 2, 64), seed=2)
    save_base(model, trial.tokenizer, tmp_path, copy_bias=8.0)
    generator = load_generator(str(tmp_path), adapter=None)
    assert generator.info.copy_bias == 8.0
    constraint = build_constraints([ASKED])[0]
    request = GenerationRequest(prompt=trial.prompt, num_samples=2, constraint=constraint)

    def texts(bias: float | None) -> list[str]:
        sampling = SamplingParams(copy_bias=bias, max_new_tokens=60, max_redraws=0)
        return [item.text for item in generator.generate([request], sampling)[0]]

    assert texts(None) == texts(8.0) != texts(0.0)
