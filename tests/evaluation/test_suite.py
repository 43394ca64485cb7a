"""Everything that an evaluation can compute, over one set of candidates."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.energies import (
    Answer,
    ElementalReferences,
    Energy,
    EnergyFailure,
    Relaxation,
)
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all, rate_meaning
from crystalicl_jobflow.schemas import Candidate, Condition, Evaluation
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.text import CIF, SGS

Make = Callable[..., Candidate]

ENERGIES = {"NaCl": -2.0, "CsCl": -2.5, "KCl": -1.0, "FeNi": 0.05}
"""eV/atom, by hand; the elements have 0."""


class ModelByHand:
    """Energies from a table; caesium chloride does not converge when it is relaxed."""

    name = "by hand"
    version = "1"

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Any = None
    ) -> list[Energy]:
        return [
            Energy(None, EnergyFailure.NO_STRUCTURE, "There is no crystal.")
            if structure is None
            else Energy(ENERGIES[structure.composition.reduced_formula])
            for structure in structures
        ]

    def relax(
        self, structures: Sequence[Structure | None], *, progress: Any = None, **_: Any
    ) -> list[Relaxation]:
        answers = []
        for structure, energy in zip(structures, self.energies(structures), strict=True):
            stuck = structure is not None and "Cs" in structure.composition
            answers.append(
                Relaxation(
                    structure,
                    energy.energy_per_atom,
                    structure is not None and not stuck,
                    failure=EnergyFailure.NOT_CONVERGED if stuck else energy.failure,
                    message="It did not converge." if stuck else energy.message,
                )
            )
        return answers


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = ElementalReferences(
        "zero", "by hand", "1", dict.fromkeys(("Na", "Cl", "Cs", "K", "Fe", "Ni"), 0.0)
    )
    place = "crystalicl_jobflow.energies"
    monkeypatch.setattr(f"{place}.load_energy_model", lambda name: ModelByHand())
    monkeypatch.setattr(f"{place}.load_references", lambda model: elements)


@pytest.fixture
def candidates(make: Make) -> list[Candidate]:
    """Rock salt twice, caesium chloride, iron nickel, and two texts that are no crystal."""
    texts = [NACL, CSCL, "nonsense", NACL.replace("5.7 5.7 5.7", "5.6 5.6 5.6"), FENI, ""]
    return [make(text, sample_index=i) for i, text in enumerate(texts)]


def crystals(*structures: Structure, name: str = "known") -> CrystalData:
    ids = [f"{name}-{i}" for i in range(len(structures))]
    return CrystalData(ids, list(structures), [{} for _ in structures], name=name)


def counts(evaluation: Evaluation, *names: str) -> list[tuple[int, int]]:
    return [(evaluation.rates[name].count, evaluation.rates[name].of) for name in names]


def column(evaluation: Evaluation, name: str) -> list[Any]:
    return [row.get(name) for row in evaluation.results]


def test_what_is_long_is_off(candidates: list[Candidate]) -> None:
    evaluation = evaluate_all(candidates)
    assert not {"novel", "stable", "energy", "coverage_recall"} & set(evaluation.rates)
    assert counts(evaluation, "unique", "crystext_valid") == [(3, 6), (4, 6)]
    assert all(rate_meaning(name) for name in evaluation.rates)


def test_what_is_not_asked_for_needs_no_heavy_package() -> None:
    code = (
        "import sys; from crystalicl_jobflow.evaluation import evaluate_all; evaluate_all([]);"
        "print(sorted({'chgnet', 'jobflow', 'matgl', 'matminer', 'torch'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout.split() == [b"[]"]


def test_energies_hull_and_sun_worked_by_hand(
    candidates: list[Candidate], by_hand: None, nacl: Structure, cscl: Structure
) -> None:
    # rock salt is known and on the hull; the others are new, and Fe-Ni has no competitor
    rival = Structure.from_spacegroup("Fm-3m", Lattice.cubic(7), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    options = EvaluationOptions(energies="by hand", novelty=True)
    evaluation = evaluate_all(candidates, options, reference=crystals(nacl, rival))
    assert column(evaluation, "formation_energy_per_atom") == [-2.0, -2.5, None, -2.0, 0.05, None]
    assert column(evaluation, "energy_above_hull") == pytest.approx([0, 0, None, 0, None, None])
    assert column(evaluation, "energy_error")[2] == "There is no crystal."
    reason = "no competing phase of Fe-Ni in the reference set"
    assert column(evaluation, "no_hull_reason") == [None, None, None, None, reason, None]
    assert column(evaluation, "stable") == [True, True, None, True, None, None]
    names = ["energy", "negative_formation_energy", "stable", "metastable"]
    assert counts(evaluation, *names) == [(4, 6), (3, 6), (3, 3), (3, 3)]
    assert counts(evaluation, "novel", "sun", "sun_of_all") == [(2, 6), (1, 3), (1, 6)]
    assert column(evaluation, "known_as") == ["known-0", None, None, "known-0", None, None]
    assert evaluation.metrics["judged_by_hull"] == 3
    assert evaluation.metrics["without_competitors"] == 1
    assert evaluation.tolerances["not_judged_by_hull"] == f"1: {reason}"
    assert evaluation.tolerances["energies"] == "by hand 1, references zero, not relaxed"
    assert all(rate_meaning(name) for name in evaluation.rates)


def test_a_relaxation_that_fails_counts_as_unstable_where_something_competes(
    candidates: list[Candidate], by_hand: None, nacl: Structure, cscl: Structure
) -> None:
    options = EvaluationOptions(energies="by hand", relax=True)
    evaluation = evaluate_all(candidates, options, reference=crystals(nacl, cscl))
    assert column(evaluation, "relaxed") == [True, False, False, True, True, False]
    assert column(evaluation, "energy_above_hull")[1] == pytest.approx(0)  # told, not counted
    assert column(evaluation, "stable") == [True, False, None, True, None, None]
    assert counts(evaluation, "relaxed", "stable", "energy") == [(3, 6), (2, 3), (3, 6)]
    evaluation = evaluate_all(candidates, options, reference=crystals(nacl))
    assert column(evaluation, "stable") == [True, None, None, True, None, None]
    assert counts(evaluation, "relaxed", "stable", "energy") == [(3, 6), (2, 2), (3, 6)]


def test_without_any_competitor_there_is_no_rate_of_stable_ones(
    candidates: list[Candidate], by_hand: None, cscl: Structure
) -> None:
    potassium = cscl.copy()
    potassium.replace_species({"Na": "K"})
    options = EvaluationOptions(energies="by hand", novelty=True)
    evaluation = evaluate_all(
        [candidates[0], *candidates[2:]], options, reference=crystals(potassium)
    )
    assert set(column(evaluation, "stable")) == {None}
    for name in ("stable", "metastable", "sun", "metastable_sun"):
        assert (evaluation.rates[name].rate, evaluation.rates[name].of) == (None, 0)
    assert "sun_of_all" not in evaluation.rates


def test_relaxations_made_elsewhere(candidates: list[Candidate], nacl: Structure) -> None:
    """A force field's and DFT's of rock salt, a failed one of caesium chloride, no others."""
    salt, caesium = candidates[0].candidate_id, candidates[1].candidate_id
    hull = {"level": "dft", "energy_above_hull": 0.0, "formation_energy_per_atom": -2.1}
    field = {"energy_above_hull": 0.3, "formation_energy_per_atom": -1.9}
    relaxations = [
        CandidateRelaxation(candidate_id=salt, structure=nacl, converged=True, **hull),
        CandidateRelaxation(candidate_id=salt, structure=nacl, converged=True, **field),
        CandidateRelaxation(
            candidate_id=caesium,
            energy_above_hull=-1.0,
            failure_reason="walltime",
            failure_message="It ran out of time.",
        ),
        CandidateRelaxation(candidate_id=candidates[4].candidate_id, failure_reason="failed"),
    ]
    evaluation = evaluate_all(candidates, relaxations=relaxations)
    assert counts(evaluation, "relaxed", "stable", "energy") == [(1, 6), (1, 2), (1, 6)]
    assert column(evaluation, "stable") == [True, False, None, None, None, None]
    alone = "its relaxation failed, and no other crystal of its elements was judged"
    assert column(evaluation, "no_hull_reason") == [
        None, None, None, "not relaxed", alone, None
    ]  # fmt: skip
    assert column(evaluation, "formation_energy_per_atom")[:2] == [-2.1, None]
    assert column(evaluation, "energy_error")[1:3] == [
        "It ran out of time.",
        "There is no relaxation of it.",
    ]
    with pytest.raises(ValueError, match="not from both"):
        evaluate_all(candidates, EvaluationOptions(energies="chgnet"), relaxations=relaxations)


def test_energies_judge_what_was_asked(make: Make, by_hand: None) -> None:
    asked = Condition(properties={"formation_energy_per_atom": -1.0})
    candidates = [
        make(text, condition=asked, sample_index=i) for i, text in enumerate([NACL, FENI, ""])
    ]
    assert evaluate_all(candidates).rates["formation_energy_per_atom"].of == 0
    evaluation = evaluate_all(candidates, EvaluationOptions(energies="by hand"))
    assert counts(evaluation, "formation_energy_per_atom", "joint") == [(1, 3), (1, 3)]
    assert column(evaluation, "success_formation_energy_per_atom") == [True, False, False]
    assert column(evaluation, "failure_reason")[1] == "condition_not_met"


def test_the_reference_set_against_itself(
    make: Make, mp_20: Callable[[int], list[tuple[Structure, int, str]]]
) -> None:
    texts = [SGS.encode(structure) for structure, _, _ in mp_20(8)]
    candidates = [make(text, sample_index=i) for i, text in enumerate(texts)]
    known = crystals(*(c.structure for c in candidates if c.structure is not None))
    evaluation = evaluate_all(
        candidates, EvaluationOptions(coverage="mp-20", novelty=True), reference=known
    )
    names = ["coverage_recall", "coverage_precision", "polymorphs"]
    assert counts(evaluation, *names) == [(8, 8)] * 3
    assert counts(evaluation, "novel") == [(0, 8)]
    assert column(evaluation, "structure_distance") == pytest.approx([0] * 8, abs=1e-6)
    assert column(evaluation, "nearest_reference") == known.ids
    assert column(evaluation, "known_as") == known.ids
    assert evaluation.metrics["coverage_distance:structure_recall"] == pytest.approx(0, abs=1e-6)
    if all(candidate.valid for candidate in candidates):
        assert evaluation.metrics["wasserstein:density"] == pytest.approx(0, abs=1e-9)


def test_shuffled_candidates_have_the_same_sums(
    candidates: list[Candidate], by_hand: None, nacl: Structure, cscl: Structure
) -> None:
    options = EvaluationOptions(energies="by hand", novelty=True, coverage="perov-5", reward=True)
    known = crystals(nacl, cscl)
    first = evaluate_all(candidates, options, reference=known)
    shuffled = random.Random(1).sample(candidates, len(candidates))
    again = evaluate_all(shuffled, options, reference=known)
    assert again.rates == first.rates
    assert again.metrics == pytest.approx(first.metrics, nan_ok=True)


def test_a_failure_stays_in_every_denominator(
    candidates: list[Candidate], by_hand: None, nacl: Structure
) -> None:
    options = EvaluationOptions(energies="by hand", novelty=True, coverage="mp-20", relax=True)
    evaluation = evaluate_all(candidates, options, reference=crystals(nacl))
    of_others = {
        "overlap": 4,  # parsed candidates: less is better
        "coverage_recall": 1,  # reference crystals
        "coverage_recall_separate": 1,
        "polymorphs": 1,
        "polymorphs_of_many": 0,
        "parsed_per_draw": 6,
        # crystals that could be judged: only rock salt has a competing phase
        "stable": 2,
        "metastable": 2,
        "sun": 2,
        "metastable_sun": 2,
    }
    for name, rate in evaluation.rates.items():
        assert rate.of == of_others.get(name, 6), name


def test_polymorphs_of_what_was_asked(make: Make, nacl: Structure, cscl: Structure) -> None:
    high_pressure = Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    asked = Condition(formula="NaCl")
    candidates = [make(t, condition=asked, sample_index=i) for i, t in enumerate([NACL, CSCL])]
    evaluation = evaluate_all(candidates, reference=crystals(high_pressure, nacl, cscl))
    assert counts(evaluation, "polymorphs", "polymorphs_of_many") == [(1, 2), (1, 2)]
    assert column(evaluation, "matched_polymorph") == ["known-1", None]


def test_cif_texts_are_judged_by_crystallms_rules(make: Make, nacl: Structure) -> None:
    good = CIF.encode(nacl)
    candidates = [
        make(good, text_format="cif"),
        make(good.replace("'Na4 Cl4'", "'Na8 Cl8'"), text_format="cif", sample_index=1),
        make("data_NaCl", text_format="cif", sample_index=2),
        make(NACL, sample_index=3),
    ]
    evaluation = evaluate_all(candidates)
    names = ["crystallm_valid", "formula_consistent", "multiplicity_consistent"]
    assert counts(evaluation, *names) == [(1, 3), (2, 3), (1, 3)]
    assert column(evaluation, "crystallm_valid") == [True, False, False, None]
    assert evaluation.metrics["bond_length_score"] == 1


def test_rewards_of_what_was_asked(make: Make, nacl: Structure) -> None:
    asked = Condition(formula="NaCl")
    candidates = [
        make(text, condition=asked, sample_index=i) for i, text in enumerate([NACL, CSCL, ""])
    ]
    evaluation = evaluate_all(candidates, EvaluationOptions(reward=True), truths={0: nacl})
    assert column(evaluation, "crystext_reward") == [3.0, 1.0, -1.0]
    assert evaluation.metrics["crystext_reward"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": "mp-20"}, "coverage needs a reference set"),
        ({"coverage": "mp-21"}, "mp_21"),
        ({"novelty": True}, "novelty needs known crystals"),
        ({"relax": True}, "needs an energy model"),
        ({"hull": "hull.json"}, "needs an energy model"),
    ],
)
def test_what_cannot_be_computed_is_refused_at_once(
    options: dict[str, Any], message: str, candidates: list[Candidate]
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_all(candidates, EvaluationOptions(**options))


def test_crystals_without_a_predicted_value_have_a_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MEGNet's graph of a crystal may have no edge: no value is not the value 0, nor success."""

    class Shy:
        property_name, name, version = "band_gap", "shy", "1"

        def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
            return [
                Answer(5.0)
                if crystal is not None and "Na" in crystal.composition
                else Answer(None, "An atom has no neighbour within 4 Å.")
                for crystal in structures
            ]

        def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
            return [answer.value for answer in self.answers(structures)]

    monkeypatch.setattr("crystalicl_jobflow.energies.load_predictor", lambda *_: Shy())
    condition = Condition(properties={"band_gap": 5.0})
    candidates = [make(text, condition=condition) for text in (NACL, CSCL, "nothing")]
    evaluation = evaluate_all(candidates, EvaluationOptions(predict={"band_gap": None}))
    assert evaluation.tolerances["not_predicted:band_gap"] == (
        "1: An atom has no neighbour within 4 Å."
    )
    rate = evaluation.rates["band_gap"]
    assert (rate.count, rate.of) == (1, 3)
    assert "band_gap" not in evaluation.results[1] or evaluation.results[1]["band_gap"] is None
