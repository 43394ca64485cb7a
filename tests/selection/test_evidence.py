"""Ranking by evidence: every piece of evidence counts, in the direction in which it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystalicl_jobflow.benchmarks.evidence import Case, fit_evidence
from crystalicl_jobflow.energies import Energy
from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    Condition,
    Generation,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.selection.evidence import (
    EVIDENCE_ENERGY,
    FEATURES,
    Evidence,
    EvidenceWeights,
    evidence_features,
    softmax,
)
from crystalicl_jobflow.selection.evidence_energies import EvidenceEnergies, add_energies
from crystalicl_jobflow.selection.select import SelectionRules, ranked_places, select_candidates
from crystalicl_jobflow.validation.validate import build_candidates

ROCK_SALT = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
CSCL_TYPE = "Pm-3m\n3.5 3.5 3.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
ZINC_BLENDE = "F-43m\n6.1 6.1 6.1\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.25 0.25 0.25"
MODEL = ModelInfo(engine="by hand", base_model="nobody")
SUBSTITUTION = ModelInfo(engine="substitution", base_model="substitution")


def draw(text: str, log_prob: float | None = None, **template: object) -> Completion:
    model = SUBSTITUTION if template else MODEL
    return Completion(
        request_index=0, sample_index=0, text=text, finished=True, num_tokens=10,
        log_prob=log_prob, model=model, **template,
    )  # fmt: skip


def checked(*completions: Completion) -> list[Candidate]:
    numbered = [item.model_copy(update={"sample_index": n}) for n, item in enumerate(completions)]
    return build_candidates(
        [
            Generation(
                condition=Condition(formula="NaCl"),
                prompt="",
                sampling=SamplingParams(),
                model=ModelInfo(engine="several", base_model="both"),
                completions=numbered,
            )
        ]
    )


def first(candidates: list[Candidate]) -> str:
    _, chosen = select_candidates(candidates, SelectionRules(number=1, ranking="evidence"))
    by_id = {item.candidate_id: item for item in candidates}
    return by_id[chosen[0].candidate_id].text


def test_the_crystal_drawn_most_often_is_first_where_nothing_else_speaks():
    assert first(checked(draw(CSCL_TYPE), draw(ROCK_SALT), draw(ROCK_SALT))) == ROCK_SALT


def test_the_more_probable_text_is_first():
    assert first(checked(draw(CSCL_TYPE, -20.0), draw(ROCK_SALT, -5.0))) == ROCK_SALT


def test_a_near_template_with_many_votes_is_worth_more_than_a_far_one():
    near = draw(ROCK_SALT, template_id="a", template_rank=0, template_distance=1.0,
                template_votes=20)  # fmt: skip
    far = draw(CSCL_TYPE, template_id="b", template_rank=1, template_distance=60.0,
               template_votes=1)  # fmt: skip
    assert first(checked(far, near)) == ROCK_SALT


def test_a_much_lower_energy_decides():
    candidates = checked(draw(CSCL_TYPE), draw(CSCL_TYPE), draw(ROCK_SALT))
    assert first(candidates) == CSCL_TYPE
    for candidate in candidates:
        low = candidate.text == ROCK_SALT
        candidate.properties[EVIDENCE_ENERGY] = -3.4 if low else -3.1
    assert first(candidates) == ROCK_SALT


def test_places_and_scores_are_those_of_the_crystal_not_of_its_text():
    candidates = checked(draw(CSCL_TYPE), draw(ROCK_SALT), draw(ROCK_SALT.replace("5.7", "5.8")))
    assert ranked_places(candidates, ranking="evidence") == [1, 0, 2]
    rows, _ = select_candidates(candidates, SelectionRules(ranking="evidence"))
    scores = [row.scores["evidence"] for row in rows]
    assert scores[1] == scores[2] > scores[0] > 0
    assert scores[0] + scores[1] < 1  # it may be that none is right


def test_what_is_not_known_of_any_crystal_changes_nothing():
    weights = EvidenceWeights.load()
    plain = [Evidence(met=1.0, draws=3), Evidence(met=1.0, draws=1)]
    assert weights.probabilities(plain, drawn=4) == weights.probabilities(
        [replace(item, log_prob=-7.0) for item in plain], drawn=4
    )
    assert weights.probabilities([], drawn=4) == []


def test_features_are_relative_to_the_best_of_the_condition():
    crystals = [
        Evidence(draws=1, log_prob=-3.0, energy=-5.0),
        Evidence(log_prob=-90.0, energy=-2.0, template_rank=0, template_votes=3),
        Evidence(template_rank=1),
    ]
    table = evidence_features(crystals, drawn=1)
    column = dict(zip(FEATURES, table.T, strict=True))
    assert column["log_prob"].tolist() == [0.0, -30.0, -15.0]
    assert column["energy"].tolist() == [0.0, 0.5, 0.0]
    assert column["no_energy"].tolist() == [0, 0, 1]
    assert column["first_template"].tolist() == [0, 1, 0]
    assert column["draws"][0] - column["draws"][1] == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    "content", ["no JSON", "[]", '{"without_energy": {}}', '{"without_energy": {"met": "x"}}']
)
def test_a_file_without_weights_is_refused_in_one_line(tmp_path: Path, content: str):
    path = tmp_path / "weights.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="holds no weights") as caught:
        EvidenceWeights.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="No such file"):
        EvidenceWeights.load(tmp_path / "nowhere.json")
    path.write_text(json.dumps({"without_energy": {"beauty": 1}, "with_energy": {}}))
    with pytest.raises(ValueError, match="'beauty', which is no evidence"):
        EvidenceWeights.load(path)


def made_cases(count: int, *, energies: bool) -> list[Case]:
    """Cases in which the lower energy is right nine times of ten, and votes two of three."""
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(count):
        right = int(rng.integers(2))
        voted = right if rng.random() < 2 / 3 else 1 - right
        low = right if rng.random() < 0.9 else 1 - right
        crystals = [
            Evidence(
                met=1.0,
                draws=6 if place == voted else 2,
                energy=(-1.0 if place == low else -0.9) if energies else None,
            )
            for place in range(2)
        ]
        cases.append(Case(crystals, np.array([place == right for place in range(2)]), drawn=8))
    return cases


def test_fitted_weights_follow_what_is_right():
    found = fit_evidence(made_cases(200, energies=True))
    assert found["without_energy"]["draws"] > 0
    assert found["with_energy"]["energy"] < 0
    measured = found["measured"]
    assert measured["first by evidence with energies"] == pytest.approx(0.9, abs=0.06)
    assert measured["first by draws"] == pytest.approx(0.67, abs=0.1)
    assert measured["first by evidence, the same without"] == measured["first by draws"]


def test_the_fit_does_not_depend_on_the_seed_and_ends_at_the_best_weights():
    cases = made_cases(60, energies=True)
    found = fit_evidence(cases)["with_energy"]

    def loss(weights: dict[str, float]) -> float:
        vector = np.array([weights.get(name, 0.0) for name in FEATURES])
        shares = [softmax(case.features() @ vector, none=weights["none"]) for case in cases]
        right = [part[case.right].sum() for part, case in zip(shares, cases, strict=True)]
        return -float(np.mean(np.log(right)))

    # all meet their condition and none of them has no answer: the constant of "none" is low
    assert found["none"] - found["met"] < -1
    assert loss(found) < loss({**found, "energy": 0.5 * found["energy"]})
    assert loss(found) < loss({**found, "draws": -found["draws"]})


def test_without_energies_the_weights_say_nothing_of_them():
    found = fit_evidence(made_cases(30, energies=False))
    assert found["with_energy"] == found["without_energy"]
    assert "energy" not in found["without_energy"]
    with pytest.raises(ValueError, match="too few"):
        fit_evidence(made_cases(3, energies=False))


class TestEnergies:
    """Energies of those for which most speaks already."""

    class Counting:
        name, version = "counting", "1"

        def __init__(self) -> None:
            self.asked = 0

        def energies(self, structures, *, progress=None):
            self.asked += len(structures)
            return [Energy(-float(item.get_space_group_info()[1])) for item in structures]

    def test_one_energy_for_each_crystal_and_the_best_ranked_only(self):
        wider = ROCK_SALT.replace("5.7", "5.8")
        candidates = checked(
            draw(ROCK_SALT), draw(wider), draw(ROCK_SALT), draw(CSCL_TYPE), draw("no crystal"),
            draw(CSCL_TYPE), draw(ZINC_BLENDE),
        )  # fmt: skip
        model = self.Counting()
        options = EvidenceEnergies(relaxed="nothing", crystals=2)
        found = add_energies(candidates, options, model=model)
        assert model.asked == 2
        energies = [item.properties.get(EVIDENCE_ENERGY) for item in found]
        assert energies == [-225.0, -225.0, -225.0, -221.0, None, -221.0, None]
        assert EVIDENCE_ENERGY not in candidates[0].properties
        # energies of an earlier call are dropped
        again = add_energies(found, EvidenceEnergies(relaxed="nothing", crystals=1), model=model)
        assert [EVIDENCE_ENERGY in item.properties for item in again].count(True) == 3

    def test_the_ranking_without_energies_stays_what_it_was(self):
        candidates = checked(draw(CSCL_TYPE), draw(CSCL_TYPE), draw(ROCK_SALT))
        options = EvidenceEnergies(relaxed="nothing")
        found = add_energies(candidates, options, model=self.Counting())
        plain = ranked_places(candidates, ranking="evidence")
        assert ranked_places(found, ranking="evidence_without_energy") == plain == [0, 2, 1]
        assert ranked_places(found, ranking="evidence") == [1, 2, 0]
