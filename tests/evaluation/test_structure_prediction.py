"""Structure prediction: the first n samples of each condition against its true crystal."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.comparison.matching import MatchResult
from crystalicl_jobflow.evaluation import evaluate, structure_prediction
from crystalicl_jobflow.evaluation.match_rates import match_rates
from crystalicl_jobflow.evaluation.structure_prediction import SampleMatch, passes_gate, rates_at
from crystalicl_jobflow.schemas import Candidate, Condition, Rate

Make = Callable[..., Candidate]


def cscl_type(first: str = "Cs", z: float = 0.5) -> Structure:
    return Structure(Lattice.cubic(4.12), [first, "Cl"], [[0, 0, 0], [0.5, 0.5, z]])


def counts(rates: dict[str, Rate], name: str) -> tuple[int, int]:
    return rates[name].count, rates[name].of


def test_a_small_case_worked_by_hand(nacl: Structure, cscl: Structure) -> None:
    # rms: half of 0.05 a on either atom, over (volume per atom)^(1/3) = a / 2^(1/3)
    moved, rms = cscl_type(z=0.55), 0.025 * 2 ** (1 / 3)
    found = structure_prediction(
        {
            "NaCl": [nacl, None],  # at once
            "CsCl": [cscl_type("Na"), moved, cscl],  # at the second, better at the third
            "KCl": [],  # never answered
        },
        {"NaCl": nacl, "CsCl": cscl, "KCl": cscl_type("K")},
        n=(1, 2, 3),
    )
    assert [counts(found.rates, f"match_at_{n}") for n in (1, 2, 3)] == [(1, 3), (2, 3), (2, 3)]
    assert found.metrics["rms_at_1"] == pytest.approx(0, abs=1e-6)
    assert found.metrics["rms_at_2"] == pytest.approx(rms / 2, rel=1e-3)
    assert found.metrics["rms_at_3"] == pytest.approx(0, abs=1e-6)
    assert [found.metrics[f"short_at_{n}"] for n in (1, 2, 3)] == [1, 1, 2]
    assert found.best["KCl"] is None
    assert [(row.key, row.sample, row.parsed, row.match.matched) for row in found.rows] == [
        ("NaCl", 0, True, True),
        ("NaCl", 1, False, False),
        ("CsCl", 0, True, False),
        ("CsCl", 1, True, True),
        ("CsCl", 2, True, True),
    ]


def test_the_reference_set_predicts_itself(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    truths = [structure for structure, _, _ in mp_20(40)]
    found = structure_prediction({i: [s] for i, s in enumerate(truths)}, truths, n=1)
    assert found.rates["match_at_1"].rate == 1
    assert found.rates["match_reduced_at_1"].rate == 1
    assert found.rates["polymorphs"].rate == 1
    assert found.metrics["rms_at_1"] == pytest.approx(0, abs=1e-6)


def test_the_matcher_of_pymatgen_says_the_same(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    truths = [structure for structure, _, _ in mp_20(12)]
    samples = [structure.copy().perturb(0.2) for structure in truths]
    found = structure_prediction({i: [s] for i, s in enumerate(samples)}, truths, n=1, metre=False)
    matcher = StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10)
    expected = [
        matcher.get_rms_dist(sample, truth) for sample, truth in zip(samples, truths, strict=True)
    ]
    for row, answer in zip(found.rows, expected, strict=True):
        if answer is not None:
            assert row.match.reduced
            assert row.match.rms == pytest.approx(answer[0])
    assert found.rates["match_reduced_at_1"].count == sum(a is not None for a in expected)


def test_the_gate_is_asked_of_the_prediction_alone(cscl: Structure) -> None:
    # CDVAE's composition rule does not pass magnetite, which is real
    magnetite = Structure.from_spacegroup(
        "Fd-3m",
        Lattice.cubic(8.4),
        ["Fe", "Fe", "O"],
        [[0, 0, 0], [0.625, 0.625, 0.625], [0.38, 0.38, 0.38]],
    )
    small = cscl.copy()
    small.scale_lattice(0.01)  # the matcher scales volumes: the same crystal to it
    found = structure_prediction(
        {0: [magnetite], 1: [small], 2: [cscl]}, [magnetite, cscl, cscl], n=1
    )
    assert counts(found.rates, "match_at_1") == (3, 3)
    assert counts(found.rates, "match_valid_at_1") == (1, 3)
    assert [row.valid for row in found.rows] == [False, False, True]
    assert not passes_gate(None)


def test_candidates_are_grouped_by_request_in_the_order_drawn(
    make: Make, nacl: Structure, cscl: Structure
) -> None:
    candidates = [
        make(NACL, request_index=1, sample_index=1),
        make(CSCL, request_index=1, sample_index=0),
        make("nonsense", request_index=0, sample_index=0),
        make(NACL, request_index=0, sample_index=1),
    ]
    found = structure_prediction(candidates, [nacl, cscl, nacl], n=(1, 2))
    assert counts(found.rates, "match_at_1") == (1, 3)
    assert counts(found.rates, "match_at_2") == (2, 3)


def test_a_sample_needs_a_reference_and_a_number(nacl: Structure) -> None:
    with pytest.raises(ValueError, match="condition 7 has samples, but no reference"):
        structure_prediction({7: [nacl]}, [nacl])
    with pytest.raises(ValueError, match="at least 1"):
        structure_prediction({0: [nacl]}, [nacl], n=0)


def test_distinct_polymorphs_count_once_each(nacl: Structure, cscl: Structure) -> None:
    high_pressure = cscl_type("Na")
    references = [nacl, high_pressure, nacl.get_primitive_structure(), cscl]
    # asked for rock salt: the other polymorph of NaCl came, and came again
    found = structure_prediction(
        {0: [high_pressure, high_pressure.copy()], 1: [], 2: [None], 3: [cscl]},
        references,
        n=2,
    )
    assert counts(found.rates, "polymorphs") == (2, 3)
    assert counts(found.rates, "polymorphs_of_many") == (1, 2)
    assert found.metrics["num_polymorphs"] == 3
    assert [row.polymorph for row in found.rows] == [1, 1, None, 3]
    assert counts(found.rates, "match_at_2") == (1, 4)


def test_a_match_that_only_full_cells_show_is_no_published_one(cscl: Structure) -> None:
    rows = [SampleMatch(0, 0, True, True, MatchResult(True, 0.1, 0.1, reduced=False))]
    rates, metrics = rates_at(1, rows, [0])
    assert counts(rates, "match_at_1") == (1, 1)
    assert counts(rates, "match_reduced_at_1") == (0, 1)
    assert metrics["rms_reduced_at_1"] is None


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 0.5)), max_size=25),
    st.randoms(use_true_random=False),
)
def test_more_samples_never_match_less_and_order_of_conditions_does_not_matter(
    drawn: list[tuple[int, bool, float]], shuffle: random.Random
) -> None:
    seen: dict[int, int] = {}
    rows = []
    for key, matched, rms in drawn:
        sample = seen.get(key, 0)
        seen[key] = sample + 1
        match = MatchResult(True, rms, rms, reduced=True) if matched else MatchResult(False)
        rows.append(SampleMatch(key, sample, True, matched, match))
    keys = list(range(5))
    results = [rates_at(n, rows, keys) for n in range(1, 27)]
    for n, (rates, metrics) in enumerate(results, start=1):
        by_hand = {row.key for row in rows if row.sample < n and row.match.matched}
        assert counts(rates, f"match_at_{n}") == (len(by_hand), 5)
        assert (metrics[f"rms_at_{n}"] is None) == (not by_hand)
    sizes = [rates[f"match_at_{n}"].count for n, (rates, _) in enumerate(results, start=1)]
    assert sizes == sorted(sizes)
    shuffled = rows.copy()
    shuffle.shuffle(shuffled)
    again, figures = rates_at(3, shuffled, keys)
    assert again == results[2][0]
    assert figures == pytest.approx(results[2][1])


def test_an_evaluation_has_the_same_rates(make: Make, nacl: Structure, cscl: Structure) -> None:
    salt, caesium = Condition(formula="NaCl"), Condition(formula="CsCl")
    candidates = [
        make("nonsense", condition=salt, request_index=0, sample_index=0),
        make(NACL, condition=salt, request_index=0, sample_index=1),
        make(CSCL, condition=caesium, request_index=1, sample_index=0),
        make(CSCL, condition=caesium, request_index=1, sample_index=1),
    ]
    truths = {0: nacl, 1: cscl}
    found = structure_prediction(candidates, truths, n=(1,))
    evaluation = evaluate(candidates, references=truths)
    for name in ("match_at_1", "match_valid_at_1", "match_reduced_at_1", "polymorphs"):
        assert evaluation.rates[name] == found.rates[name], name
    assert evaluation.metrics["rms_at_1"] == found.metrics["rms_at_1"]
    rates, _, _ = match_rates(candidates, truths, n=(2,))
    assert counts(rates, "match_at_2") == (2, 2)
    assert counts(rates, "match") == (3, 4)


def test_shuffled_candidates_have_the_same_sums(
    make: Make, nacl: Structure, cscl: Structure
) -> None:
    candidates = [
        make(text, request_index=request, sample_index=sample)
        for request, texts in enumerate([(NACL, CSCL, ""), (CSCL, NACL, CSCL)])
        for sample, text in enumerate(texts)
    ]
    first = evaluate(candidates, references={0: nacl, 1: cscl})
    again = evaluate(candidates[::-1], references={0: nacl, 1: cscl})
    assert again.rates == first.rates
    assert again.metrics == first.metrics
    assert again.reasons == first.reasons
